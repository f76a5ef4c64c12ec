"""``ranges show``, ``diff`` and ``update``."""

from __future__ import annotations

import itertools
import json
import os
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.build import WEST, ranges_document
from tests.cli.conftest import SITE, TITLE, lines_of, write
from tests.e2e.running import free_port
from tests.ranges_lists import document, row

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run


FACTS = {
    "token": 1700000000,
    "created": "2026-01-01-00-00-00",
    "rows": 7,
    "rows_skipped": 0,
    "regions": 3,
    "services": 2,
    "ipv4_addresses": 736,
    "ipv6_addresses": 2**80,
}


def test_ranges_show_counts_the_list(nearbucket: Run, listed: str) -> None:
    lines = lines_of(nearbucket("ranges", "show", "--ranges", listed))
    as_json = json.loads(nearbucket("ranges", "show", "--json", "--ranges", listed).out)
    assert as_json.pop("age_days") > 0
    assert as_json.pop("prefixes_by_region") == {"us-east-1": 3, "eu-west-1": 1, "us-west-2": 1}
    assert as_json == FACTS
    facts = dict(line.split("\t") for line in lines)
    assert float(facts.pop("age_days")) > 0
    assert facts.pop("prefixes_by_region") == "us-east-1 3, eu-west-1 1, us-west-2 1"
    assert facts == {name: str(value) for name, value in FACTS.items()}


def test_ranges_show_names_twelve_regions_and_counts_a_prefix_of_several_services_once(
    nearbucket: Run, tmp_path: Path
) -> None:
    regions = [f"region-{number:02}" for number in range(20)]
    rows = [row(f"203.0.113.{8 * number}/29", name) for number, name in enumerate(regions)]
    file = tmp_path / "many.json"
    file.write_bytes(document(*rows, *({**each, "service": "S3"} for each in rows)))
    options = ["ranges", "show", "--ranges", str(file)]
    names = ", ".join(f"{name} 1" for name in regions[:12])
    shown = f"prefixes_by_region\t{names}, and 8 more (--json)"
    assert shown in lines_of(nearbucket(*options))
    found = json.loads(nearbucket(*options, "--json").out)
    assert found["prefixes_by_region"] == dict.fromkeys(regions, 1)


BEFORE = document(row("192.0.2.0/24"), row("198.51.100.0/24", "us-west-2"), syncToken="1")
AFTER = document(
    row("192.0.2.0/24"),
    row("198.51.100.0/24", "us-east-1"),
    row("203.0.113.0/25", "GLOBAL"),
    v6=[row("2001:db8::/64", "us-east-1")],
    syncToken="2",
)


DIFFERENCE = """\
token\t1\t2
removed\t198.51.100.0/24\tus-west-2\tEC2
added\t198.51.100.0/24\tus-east-1\tEC2
added\t203.0.113.0/25\tGLOBAL\tEC2
added\t2001:db8::/64\tus-east-1\tEC2
us-east-1\t0\t256\t0\t18446744073709551616
us-west-2\t256\t0\t0\t0
GLOBAL\t0\t128\t0\t0
"""


@pytest.fixture
def two(tmp_path: Path) -> tuple[str, str]:
    (tmp_path / "before.json").write_bytes(BEFORE)
    (tmp_path / "after.json").write_bytes(AFTER)
    return "before.json", "after.json"


def test_ranges_diff_shows_rows_and_regions_that_changed(
    nearbucket: Run, two: tuple[str, str]
) -> None:
    assert nearbucket("ranges", "diff", *two) == (0, DIFFERENCE, "")


def test_ranges_diff_as_json_says_the_same(nearbucket: Run, two: tuple[str, str]) -> None:
    def change(what: str, prefix: str, region: str | None) -> dict[str, str | None]:
        return {"change": what, "prefix": prefix, "region": region, "service": "EC2"}

    def sizes(region: str | None, *counts: int) -> dict[str, Any]:
        names = ("v4_before", "v4_after", "v6_before", "v6_after")
        return {"region": region, **dict(zip(names, counts, strict=True))}

    assert json.loads(nearbucket("ranges", "diff", "--json", *two).out) == {
        "old_token": 1,
        "new_token": 2,
        "rows": [
            change("removed", "198.51.100.0/24", "us-west-2"),
            change("added", "198.51.100.0/24", "us-east-1"),
            change("added", "203.0.113.0/25", None),
            change("added", "2001:db8::/64", "us-east-1"),
        ],
        "regions": [
            sizes("us-east-1", 0, 256, 0, 2**64),
            sizes("us-west-2", 256, 0, 0, 0),
            sizes(None, 0, 128, 0, 0),
        ],
    }


def test_ranges_diff_of_a_list_with_itself_finds_nothing(
    nearbucket: Run, two: tuple[str, str]
) -> None:
    assert nearbucket("ranges", "diff", two[0], two[0]) == (0, "token\t1\t1\nno differences\n", "")


@pytest.mark.parametrize(
    ("content", "finding"),
    [
        pytest.param(None, "bad.json: No such file or directory", id="missing"),
        pytest.param(b"{", "bad.json: ", id="not JSON"),
        pytest.param(b"{}", "bad.json: ", id="not a list"),
        pytest.param(b"\xff\x00", "bad.json: ", id="not text"),
    ],
)
def test_a_list_that_cannot_be_used_ends_with_2_and_names_the_file(
    nearbucket: Run, two: tuple[str, str], tmp_path: Path, content: bytes | None, finding: str
) -> None:
    if content is not None:
        (tmp_path / "bad.json").write_bytes(content)
    for command, option in (("diff", two[0]), ""), (("show",), "--ranges "):
        code, out, err = nearbucket("ranges", *command, *option.split(), "bad.json")
        assert (code, out) == (2, "")
        assert err.startswith(f"nearbucket: {option}{finding}")


class Source:
    """A file that ``ranges update`` fetches, and a configuration with it as source."""

    def __init__(self, folder: Path) -> None:
        self.path, self.cache = folder / "source.json", folder / "kept" / "list.json"
        self._times = itertools.count(1)
        regions = {"source": str(self.path), "cache": str(self.cache)}
        self.config = write(folder / "ranges.yaml", regions=regions)

    def put(self, body: bytes) -> None:
        self.path.write_bytes(body)
        os.utime(self.path, ns=(now := next(self._times) * 10**9, now))


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return Source(tmp_path)


def a_list(token: int, *prefixes: str) -> bytes:
    rows = [row(prefix) for prefix in prefixes or ("192.0.2.0/24", "198.51.100.0/24")]
    return document(*rows, syncToken=str(token))


def test_ranges_update_fetches_then_confirms(nearbucket: Run, source: Source) -> None:
    source.put(a_list(5))
    update = ["ranges", "update", "--config", source.config]
    code, out, _ = nearbucket(*update)
    assert (code, out) == (0, f"updated: token 5, kept in {source.cache}\n")
    code, out, _ = nearbucket(*update)
    assert (code, out) == (0, f"unchanged: token 5, kept in {source.cache}\n")
    source.put(a_list(6))
    code, out, _ = nearbucket(*update)
    assert (code, out) == (0, f"updated: token 6, kept in {source.cache}\n")
    assert source.cache.read_bytes() == a_list(6)


@pytest.mark.parametrize(
    ("offered", "word"),
    [
        pytest.param(a_list(4), "older: its token 4 is older than 5, in use", id="older"),
        pytest.param(a_list(6, "192.0.2.0/24"), "shrunk: list 6 covers 50 % fewer IPv4 addresses",
                     id="shrunk"),
        pytest.param(b"{}", "invalid: ", id="invalid"),
    ],
)  # fmt: skip
def test_ranges_update_refuses_a_worse_list_with_1_and_keeps_the_good_one(
    nearbucket: Run, source: Source, offered: bytes, word: str
) -> None:
    source.put(a_list(5))
    update = ["ranges", "update", "--config", source.config]
    assert nearbucket(*update).code == 0
    source.put(offered)
    code, out, err = nearbucket(*update)
    assert (code, out) == (1, "")
    assert err.startswith(f"nearbucket: {word}")
    assert err.endswith(f" ({source.path}); the copy on disk of 2023-11-14 stays in use\n")
    assert source.cache.read_bytes() == a_list(5)


@pytest.mark.parametrize("offered", [a_list(4), a_list(6, "192.0.2.0/24")], ids=["older", "shrunk"])
def test_ranges_update_force_takes_what_was_refused(
    nearbucket: Run, source: Source, offered: bytes
) -> None:
    source.put(a_list(5))
    nearbucket("ranges", "update", "--config", source.config)
    source.put(offered)
    assert nearbucket("ranges", "update", "--force", "--config", source.config).code == 0
    assert source.cache.read_bytes() == offered


def test_ranges_update_ends_with_3_when_the_source_cannot_be_reached(
    nearbucket: Run, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    update = ["ranges", "update", "--config", source.config]
    code, out, err = nearbucket(*update)
    assert (code, out) == (3, "")
    assert err.startswith("nearbucket: failed: regions.source: ")
    assert err.count(str(source.path)) == 1
    url = f"http://127.0.0.1:{free_port()}/ip-ranges.json"
    monkeypatch.setenv("NEARBUCKET_REGIONS__SOURCE", url)
    code, out, err = nearbucket(*update)
    assert (code, out) == (3, "")
    assert err.startswith("nearbucket: failed: regions.source: ")
    assert err.count(url) == 1


def test_ranges_update_without_network_says_that_the_built_in_list_is_used(
    nearbucket: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    config = write(tmp_path / "aws.yaml", regions={"cache": str(tmp_path / "list.json")})
    code, out, err = nearbucket("ranges", "update", "--config", config)
    assert (code, out) == (3, "")
    assert re.search(r"\); the built-in list of \d{4}-\d\d-\d\d stays in use\n$", err)


def test_ranges_update_ends_with_2_when_the_list_cannot_be_kept(
    nearbucket: Run, source: Source
) -> None:
    source.put(a_list(5))
    source.cache.parent.write_bytes(b"a file where the folder belongs")
    code, out, err = nearbucket("ranges", "update", "--config", source.config)
    assert (code, out) == (2, "")
    assert err.startswith("nearbucket: regions.cache: no copy is kept on disk: ")
    assert str(source.path) not in err


def test_ranges_update_shows_no_password(
    nearbucket: Run, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("NEARBUCKET_REGIONS__SOURCE", f"http://user:s3cr3t@{host}/?sig=s3cr3t")
    code, out, err = nearbucket("ranges", "update", "--config", source.config)
    assert (code, out) == (3, "")
    assert err.endswith(f"(http://********@{host}/?********)\n")  # there is no list yet
    assert "s3cr3t" not in err


def test_ranges_update_holds_back_a_list_without_a_targets_region(
    nearbucket: Run, source: Source, tmp_path: Path
) -> None:
    """The whole configuration tells what is used; the section alone would not."""
    rows = [row(f"203.0.{number}.0/24") for number in range(9)]
    west = row("192.0.2.0/24", "us-west-2")
    regions = {"source": str(source.path), "cache": str(source.cache)}
    whole = write(tmp_path / "whole.yaml", sites=[SITE], regions=regions)
    source.put(document(*rows, west, syncToken="5"))
    assert nearbucket("ranges", "update", "--config", whole).code == 0
    source.put(document(*rows, syncToken="6"))
    code, _, err = nearbucket("ranges", "update", "--config", whole)
    assert (code, "100 % fewer IPv4 addresses for the target us-west-2" in err) == (
        1,
        True,
    )
    assert "`nearbucket ranges update --force`" in err
    section = tmp_path / "section.yaml"
    section.write_text(json.dumps({"regions": regions}), encoding="utf-8")
    assert nearbucket("ranges", "update", "--config", str(section)).code == 0


def test_what_was_fetched_is_what_the_other_commands_use(
    nearbucket: Run, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.put(ranges_document())
    nearbucket("ranges", "update", "--config", source.config)
    source.path.unlink()
    monkeypatch.setenv("NEARBUCKET_CONFIG", source.config)
    assert nearbucket("lookup", WEST).out == "198.51.100.7\tus-west-2\n"
    assert json.loads(nearbucket("ranges", "show", "--json").out)["token"] == 1700000000
    explained = nearbucket("explain", "--ip", WEST, "/a.tar.gz")
    assert "region\tus-west-2\t198.51.100.0/24\n" in explained.out


# control characters that must not reach a terminal


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["lookup", TITLE], id="lookup"),
        pytest.param(["lookup", "--details", TITLE], id="lookup --details"),
        pytest.param(["lookup", "--json", TITLE], id="lookup --json"),
        pytest.param(["lookup", "--service", TITLE, WEST], id="lookup --service"),
        pytest.param(["explain", "--ip", WEST, f"/{TITLE}"], id="path"),
        pytest.param(["explain", "--ip", TITLE, "/a"], id="address"),
        pytest.param(["explain", "--ip", WEST, "--host", TITLE, "/a"], id="host"),
        pytest.param(["explain", "--ip", WEST, "--method", TITLE, "/a"], id="method"),
        pytest.param(["explain", "--ip", WEST, "--header", TITLE, "/a"], id="header"),
        pytest.param(["explain", "--json", "--ip", TITLE, f"/{TITLE}"], id="explain --json"),
        pytest.param([TITLE], id="command"),
        pytest.param(["lookup", f"--{TITLE}"], id="option"),
        pytest.param(["check", "--offline", "--config", TITLE], id="--config"),
        pytest.param(["ranges", "show", "--ranges", TITLE], id="--ranges"),
        pytest.param(["ranges", "diff", TITLE, TITLE], id="ranges diff"),
    ],
)
def test_terminal_escapes_in_an_argument_do_not_reach_the_output(
    nearbucket: Run, source: Source, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    source.put(ranges_document())
    monkeypatch.setenv("NEARBUCKET_CONFIG", source.config)
    _, out, err = nearbucket(*arguments)
    assert out + err
    assert {"\x1b", "\x07"}.isdisjoint(out + err), ascii(out + err)
