"""``nearbucket init``: a first configuration, from options or from answers on a terminal."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nearbucket.config.file import load
from tests.cli.conftest import lines_of

if TYPE_CHECKING:
    from tests.cli.conftest import Run

OPTIONS = ("init", "--bucket", "downloads", "--region", "us-east-1")


def test_options_give_a_configuration_that_redirects_nothing_yet(nearbucket: Run) -> None:
    hosts = ("--host", "dl.example.com", "--host", "dl.example.io")
    targets = ("--target", "us-west-2", "--target", "eu-west-1=mirror.eu")
    lines = lines_of(nearbucket(*OPTIONS, *hosts, *targets))
    assert lines[-1] == "next: nearbucket check --config nearbucket.yaml"
    (site,) = load().sites
    assert site.hosts == ("dl.example.com", "dl.example.io")
    assert (site.origin.bucket, site.origin.region) == ("downloads", "us-east-1")
    assert {region: target.bucket for region, target in site.targets.items()} == {
        "us-east-1": "downloads",
        "us-west-2": "downloads-us-west-2",
        "eu-west-1": "mirror.eu",
    }
    assert site.redirect.mode == "shadow"


def test_without_hosts_and_targets_it_is_for_all_hosts_and_the_own_region(nearbucket: Run) -> None:
    assert nearbucket(*OPTIONS).code == 0
    (site,) = load().sites
    assert site.hosts == ("*",)
    assert list(site.targets) == ["us-east-1"]


def test_editors_find_the_schema_that_the_first_line_names(nearbucket: Run) -> None:
    assert nearbucket(*OPTIONS).code == 0
    first = Path("nearbucket.yaml").read_text(encoding="utf-8").splitlines()[0]
    schema = first.removeprefix("# yaml-language-server: $schema=")
    assert "sites" in json.loads(Path(schema).read_bytes())["properties"]


def test_check_accepts_it(nearbucket: Run, listed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert nearbucket(*OPTIONS, "--target", "us-west-2").code == 0
    monkeypatch.setenv("NEARBUCKET_REGIONS__CACHE", listed)
    assert "configuration: valid" in nearbucket("check", "--offline").out


def test_a_file_that_is_there_is_kept(nearbucket: Run) -> None:
    Path("nearbucket.yaml").write_text("mine", encoding="utf-8")
    outcome = nearbucket(*OPTIONS)
    assert (outcome.code, Path("nearbucket.yaml").read_text(encoding="utf-8")) == (2, "mine")
    assert "give another name with --output FILE" in outcome.err


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--bucket", "No_Bucket", "--bucket: 'No_Bucket' is not a bucket name"),
        ("--region", "us east", "--region: 'us east' is not"),
        ("--target", "us-west-2=x", "--target: 'x' is not a bucket name"),
        ("--target", "us-west-2:mirror", "'us-west-2:mirror' has a colon; write us-west-2=mirror"),
        ("--target", "us-west-2,eu-west-1", "has a comma; give one --target for each region"),
        ("--target", "us-wset-2", "is not an AWS region; did you mean us-west-2?\n"),
        ("--target", "=mirror", "--target: '' is not"),
        ("--target", "", "--target: '' is not"),
        ("--host", "a b: [", "--host: 'a b: [' is not a host name"),
        ("--host", "https://dl.example.com/", "write dl.example.com, without scheme"),
        ("--output", "nearbucket.schema.json", "is the name of the schema"),
    ],
)
def test_a_wrong_value_is_named_and_nothing_is_written(
    nearbucket: Run, option: str, value: str, said: str
) -> None:
    outcome = nearbucket(*OPTIONS, option, value)
    assert outcome.code == 2
    assert said in outcome.err
    assert not list(Path().glob("nearbucket.*"))


def test_a_region_has_one_bucket(nearbucket: Run) -> None:
    outcome = nearbucket(*OPTIONS, "--target", "us-west-2", "--target", "us-west-2=mirror")
    assert outcome.code == 2
    assert "--target: us-west-2 is given twice" in outcome.err


def test_a_host_that_is_given_twice_is_one_host(nearbucket: Run) -> None:
    assert nearbucket(*OPTIONS, "--host", "dl.example.com", "--host", "dl.example.com").code == 0
    assert load().sites[0].hosts == ("dl.example.com",)


def test_a_schema_that_cannot_be_written_is_named_and_leaves_no_configuration(
    nearbucket: Run,
) -> None:
    Path("nearbucket.schema.json").mkdir()
    outcome = nearbucket(*OPTIONS)
    assert outcome.code == 2
    assert "nearbucket.schema.json: Is a directory" in outcome.err
    assert not Path("nearbucket.yaml").exists()


def test_a_missing_folder_is_an_error_about_the_option(nearbucket: Run) -> None:
    outcome = nearbucket(*OPTIONS, "--output", "none/a.yaml")
    assert outcome.code == 2
    assert outcome.err == "nearbucket: --output none/a.yaml: there is no such folder\n"


def test_without_a_terminal_missing_options_are_named(nearbucket: Run) -> None:
    outcome = nearbucket("init", "--region", "us-east-1", stdin=b"downloads\n")
    assert outcome.code == 2
    assert "--bucket: missing; give it, or" in outcome.err


def answered(folder: Path, *answers: str) -> subprocess.CompletedProcess[bytes]:
    """``nearbucket init`` on a terminal at which these lines are entered."""
    ours, theirs = pty.openpty()
    try:
        os.write(ours, "".join(f"{answer}\n" for answer in answers).encode())
        return subprocess.run(
            [sys.executable, "-m", "nearbucket", "init"],
            stdin=theirs,
            capture_output=True,
            cwd=folder,
            check=False,
            timeout=60,
        )
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_terminal_is_asked_for_the_rest(tmp_path: Path) -> None:
    regions = "us-west-2, eu-west-1"
    ended = answered(
        tmp_path, "No_Bucket", " downloads ", "", "dl.example.com", regions, "", "mirror.eu"
    )
    assert ended.returncode == 0
    assert b"'No_Bucket' is not a bucket name" in ended.stderr  # and the question is put again
    (site,) = load(tmp_path / "nearbucket.yaml").sites
    assert (site.origin.bucket, site.origin.region) == ("downloads", "us-east-1")
    assert {region: target.bucket for region, target in site.targets.items()} == {
        "us-east-1": "downloads",
        "us-west-2": "downloads-us-west-2",
        "eu-west-1": "mirror.eu",
    }
    assert site.hosts == ("dl.example.com",)


def test_wrong_hosts_and_regions_are_asked_for_again_and_the_own_region_stays(
    tmp_path: Path,
) -> None:
    hosts = ("https://dl.example.com/, dl.example.io", "dl.example.com, dl.example.io")
    regions = ("us-wset-2", "us-east-1, us-west-2, us-west-2")
    ended = answered(tmp_path, "downloads", "", *hosts, *regions, "")
    assert ended.returncode == 0
    assert b"write dl.example.com, without scheme" in ended.stderr
    assert b"did you mean us-west-2?" in ended.stderr
    (site,) = load(tmp_path / "nearbucket.yaml").sites
    assert site.hosts == ("dl.example.com", "dl.example.io")
    assert {region: target.bucket for region, target in site.targets.items()} == {
        "us-east-1": "downloads",
        "us-west-2": "downloads-us-west-2",
    }
