"""``check --offline``: valid and invalid files, where clients go, exit codes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.conftest import BUILT_IN_DATE, EAST_URL, SITE, WEST_URL, write

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run

BUILT_IN = (
    f"the built-in list of prefixes of {BUILT_IN_DATE} is used, since there is no newer copy; "
    "serve replaces it at its first fetch"
)
VALID = f"""\
configuration: valid
site *: origin {EAST_URL}
site *: clients in us-east-1 are redirected to {EAST_URL}
site *: clients in us-west-2 are redirected to {WEST_URL}
"""


def test_check_of_a_good_file_says_where_clients_go(nearbucket: Run, config: str) -> None:
    said = (
        f"{VALID}ok: regions.cache: {BUILT_IN}; run nearbucket ranges update --config {config}\n"
        "summary: 1 ok, 0 note, 0 warning, 0 wrong\n"
    )
    assert nearbucket("check", "--offline", "--config", config) == (0, said, "")


@pytest.mark.parametrize(
    ("key", "fix"),
    [
        ("source", "name a file that is such a list, or AWS's URL"),
        ("cache", "run nearbucket ranges update --config a.yaml"),
    ],
)
def test_a_file_that_is_no_list_is_a_warning_about_its_own_setting(
    nearbucket: Run, tmp_path: Path, key: str, fix: str
) -> None:
    (tmp_path / "list.txt").write_text("{}")
    write(tmp_path / "a.yaml", regions={key: "list.txt"}, sites=[SITE])
    done = nearbucket("check", "--offline", "--config", "a.yaml")
    assert f"warning: regions.{key}: list.txt: no syncToken; {fix}\n" in done.out


SHADOW = "are not redirected (mode: shadow)"
FULL = {"mode": "on", "percent": 100}


@pytest.mark.parametrize(
    ("redirect", "said"),
    [
        ({"mode": "off"}, "are not redirected (mode: off)"),
        ({"mode": "shadow"}, f"{SHADOW}; with mode: on, they would be, to {WEST_URL}"),
        ({"mode": "shadow", "percent": 5},
         f"{SHADOW}; with mode: on, 5 % of their requests would be, to {WEST_URL}"),
        ({"mode": "shadow", "percent": 0}, SHADOW),
        ({"percent": 12.5}, f"are redirected to {WEST_URL} for 12.5 % of their requests"),
        ({"percent": 0}, "are not redirected (percent: 0)"),
    ],
)  # fmt: skip
def test_check_says_where_clients_go_only_where_they_would(
    nearbucket: Run, tmp_path: Path, redirect: dict[str, Any], said: str
) -> None:
    site = {**SITE, "redirect": redirect}
    config = write(tmp_path / "a.yaml", sites=[site])
    done = nearbucket("check", "--offline", "--config", config)
    (line,) = [line for line in done.out.splitlines() if "us-west-2" in line]
    assert line.startswith(f"site *: clients in us-west-2 {said}")
    rollout = json.loads(nearbucket("check", "--offline", "--json", "--config", config).out)[
        "rollout"
    ]
    assert rollout["*"]["us-west-2"] == FULL | redirect


def test_check_of_one_target_in_shadow_speaks_of_that_target_alone(
    nearbucket: Run, tmp_path: Path
) -> None:
    east, west = {"bucket": "downloads"}, {"bucket": "west-downloads", "mode": "shadow"}
    site = {**SITE, "targets": {"us-east-1": east, "us-west-2": west}}
    config = write(tmp_path / "a.yaml", sites=[site])
    out = nearbucket("check", "--offline", "--config", config).out
    assert f"clients in us-east-1 are redirected to {EAST_URL}\n" in out
    assert "clients in us-west-2 are not redirected (mode: shadow" in out


def test_a_drain_that_takes_a_longer_stop_timeout_than_usual_is_a_note(
    nearbucket: Run, tmp_path: Path
) -> None:
    config = write(tmp_path / "a.yaml", limits={"drain_timeout": "110s"})
    done = nearbucket("check", "--offline", "--config", config)
    (line,) = [line for line in done.out.splitlines() if line.startswith("note: ")]
    assert line.startswith("note: limits.drain_timeout: 110 s is longer than containers usually")
    assert "StopTimeout" in line
    assert done.code == 0


def test_each_error_of_a_file_is_one_item(nearbucket: Run, tmp_path: Path) -> None:
    text = "lisen: {}\nlimits: {idle_timeout: soon}"
    (tmp_path / "bad.yaml").write_text(text, encoding="utf-8")
    done = nearbucket("check", "--offline", "--config", "bad.yaml", "--json")
    starts = ["bad.yaml:2: limits.idle_timeout: ", "bad.yaml:1: lisen: "]
    errors = json.loads(done.out)["errors"]
    assert {start for start in starts for error in errors if error.startswith(start)} == {*starts}
    missing = nearbucket("check", "--config", "none.yaml", "--json")
    assert "none.yaml" in json.loads(missing.out)["errors"][0]


def test_check_as_json_is_for_programs(nearbucket: Run, config: str) -> None:
    done = nearbucket("check", "--offline", "--json", "--config", config)
    assert json.loads(done.out) == {
        "valid": True,
        "sites": {"*": {"us-east-1": EAST_URL, "us-west-2": WEST_URL}},
        "rollout": {
            "*": {"us-east-1": FULL, "us-west-2": FULL},
        },
        "summary": {"ok": 1, "note": 0, "warning": 0, "wrong": 0},
        "findings": [
            {
                "level": "ok",
                "place": "regions.cache",
                "about": "ranges",
                "text": BUILT_IN,
                "fix": f"run nearbucket ranges update --config {config}",
                "objects": [],
                "reached": True,
            }
        ],
    }


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
def test_check_offline_finds_a_target_in_a_region_that_the_list_does_not_have(
    nearbucket: Run, tmp_path: Path, listed: str, form: list[str]
) -> None:
    target = {"bucket": "west", "endpoint": "https://s3.example"}
    site = {**SITE, "targets": {"us-wset-2": target}}
    config = write(tmp_path / "a.yaml", sites=[site], regions={"source": listed})
    done = nearbucket("check", "--offline", *form, "--config", config)
    key = "sites.*.targets.us-wset-2"
    said = "the list of prefixes has no EC2 address in this region: no client is redirected"
    assert (done.code, done.err) == (0, "")
    if form:
        found = json.loads(done.out)
        assert found["summary"]["warning"] == 1
        assert [(each["place"], each["text"]) for each in found["findings"]] == [(key, said)]
    else:
        assert " are redirected" not in done.out
        clients = "clients in us-wset-2 are not redirected: the list of prefixes has no such region"
        assert f"site *: {clients}\n" in done.out
        assert f"warning: {key}: {said}; did you mean us-west-2?" in done.out


def test_check_offline_names_a_service_that_the_list_does_not_have(
    nearbucket: Run, tmp_path: Path, listed: str
) -> None:
    regions = {"source": listed, "services": ["EC2", "ec2"]}
    done = nearbucket("check", "--offline", "--config", write(tmp_path / "a.yaml", regions=regions))
    assert (done.code, done.err) == (0, "")
    said = (
        "warning: regions.services: 'ec2' is not a label in the list of prefixes; did you mean EC2?"
    )
    assert f"{said}\nsummary: 0 ok, 0 note, 1 warning, 0 wrong\n" in done.out


def test_check_offline_says_that_the_list_has_the_regions_of_all_targets(
    nearbucket: Run, tmp_path: Path, listed: str
) -> None:
    config = write(tmp_path / "a.yaml", regions={"source": listed})
    ok = (
        "ok: regions.cache: the list of prefixes of 2026-01-01-00-00-00 has addresses in all "
        "targets' regions\nsummary: 1 ok, 0 note, 0 warning, 0 wrong\n"
    )
    assert nearbucket("check", "--offline", "--config", config) == (0, VALID + ok, "")


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        pytest.param("sites: [", "bad.yaml:1: sites: ", id="not YAML"),
        pytest.param("- a", "bad.yaml:1: is not a mapping", id="a list"),
        pytest.param("lisen: {}", "bad.yaml:1: lisen: is not a key here", id="unknown section"),
        pytest.param("regions: {source: 'https://user:s3cr3t@lists.example/ip-ranges.json'}",
                     "bad.yaml:1: regions.source: 'https://********@lists.example/ip-ranges.json' "
                     "has a user name or password, which does not belong in the file; give the URL "
                     "in NEARBUCKET_REGIONS__SOURCE", id="a password"),
        pytest.param("client_address: {origin_secret: {values: [s3cr3t]}}",
                     "bad.yaml:1: client_address.origin_secret.values.0: is a secret",
                     id="a secret"),
    ],
)  # fmt: skip
def test_check_of_a_bad_file_ends_with_2_and_names_file_and_key(
    nearbucket: Run, tmp_path: Path, text: str, finding: str
) -> None:
    (tmp_path / "bad.yaml").write_text(text, encoding="utf-8")
    code, out, err = nearbucket("check", "--offline", "--config", "bad.yaml")
    assert (code, out) == (2, "")
    assert err.startswith("nearbucket: bad.yaml:1: ")
    assert finding in err
    assert "s3cr3t" not in err


FILES = """\
listen:
  tls: {certificate: tls.pem, key: none.pem}
regions: {source: ~/none.json}
sites:
  - origin:
      bucket: downloads
      region: us-east-1
      inventory: inventory/manifest.json
      credentials:
        access_key_file: tls.pem
        secret_key_file: /none/secret
    targets:
      us-west-2: {bucket: west}
"""


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
def test_check_names_each_file_that_cannot_be_read_with_line_key_and_cure(
    nearbucket: Run, tmp_path: Path, form: list[str]
) -> None:
    (tmp_path / "tls.pem").write_text("x", encoding="utf-8")
    (tmp_path / "files.yaml").write_text(FILES, encoding="utf-8")
    code, out, err = nearbucket("check", "--offline", *form, "--config", "files.yaml")
    assert code == 1
    why = "cannot be read: No such file or directory; write the path of a readable file"
    lines = [
        f"files.yaml:2: listen.tls.key: 'none.pem' {why}",
        f"files.yaml:3: regions.source: '~/none.json' {why}",
        f"files.yaml:11: sites.0.origin.credentials.secret_key_file: '/none/secret' {why}",
        f"files.yaml:8: sites.0.origin.inventory: 'inventory/manifest.json' {why}",
    ]
    assert err.splitlines() == [f"nearbucket: {line}" for line in lines]
    if form:
        assert json.loads(out)["unreadable_files"] == lines
    else:
        assert out.startswith("configuration: valid; 4 files cannot be read\n")


def test_check_names_the_variable_that_is_wrong(
    nearbucket: Run, config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEARBUCKET_LISTEN__PORT", "many")
    code, out, err = nearbucket("check", "--offline", "--config", config)
    assert (code, out) == (2, "")
    assert err.startswith("nearbucket: NEARBUCKET_LISTEN__PORT: listen.port: ")
