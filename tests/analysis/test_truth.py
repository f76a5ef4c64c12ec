"""All figures of ``analyze --format json`` equal an independent count of the same requests."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, Any

import pytest

from tests.analysis.independent_count import Key, count, top
from tests.analysis.log_writers import KINDS, records_of, write
from tests.analysis.made_logs import Mixed
from tests.command_server import Begun
from tests.made_ranges import MADE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from tests.analysis.independent_count import Count, Sum

pytestmark = pytest.mark.usefixtures("commands")

TINY = Mixed(lines=3000, files=5)
SMALL = Mixed(lines=6000, files=5)
MEDIUM = Mixed(lines=30_000, files=5)
LARGE = Mixed(lines=2_000_000, files=40, objects=20_000, addresses=200_000)


def analyzed(*arguments: str | Path) -> dict[str, Any]:
    """The document of ``nearbucket analyze`` with these arguments."""
    words = ["analyze", *map(str, arguments), "--format", "json", "--ranges", str(MADE)]
    code, out, err = Begun(*words, env=os.environ).end(600)
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def counted(spec: Mixed, *, asn: bool) -> Count:
    """The independent count of all files."""
    records = chain.from_iterable(records_of(spec, file) for file in range(spec.files))
    return count(records, asn=asn)


def assert_equal(report: dict[str, Any], truth: Count) -> None:
    """Compare each figure that was counted."""
    scope, total = report["scope"], truth.total
    assert (scope["lines"], scope["left_out"], scope["damaged"]) == (total.requests, {}, [])
    assert (scope["from"], scope["to"]) == (moment(truth.first), moment(truth.last))
    assert scope["days"] == pytest.approx((truth.last - truth.first + 1) / 86400)
    assert report["totals"] == {
        "requests": total.requests,
        "bytes": total.bytes,
        "downloads": total.downloads,
        "aborted": truth.aborted,
    }
    names = ("requests", "bytes", "downloads", "addresses")
    assert by_name(report["regions"], "region", *names) == sums(truth.regions, *names)
    assert by_name(report["hosts"], "name") == sums(truth.hosts)
    assert by_name(report["results"], "name") == sums(truth.results)
    assert by_name(report["sizes"], "at_least", "requests", "bytes", "objects") == sums(
        truth.sizes, "requests", "bytes", "objects"
    )
    assert_top(report, truth)
    assert report["days"] == [
        {
            "day": day.isoformat(),
            "requests": each.requests,
            "bytes": each.bytes,
            "by_region": dict(each.by_region),
        }
        for day, each in sorted(truth.days.items())
    ]


def assert_top(report: dict[str, Any], truth: Count) -> None:
    """Compare what has the most bytes, in order."""
    files = {"/".join(key): key for key in top(truth.files)}
    assert [each["key"] for each in report["top_files"]] == list(files)
    for each in report["top_files"]:
        key = files[each["key"]]
        assert each.pop("size") == truth.known_sizes.get(key)
        assert each == {"key": each["key"], **values(truth.files[key], "aws_bytes", "addresses")}
    for each in report["user_agents"]:
        assert (each.pop("redirected"), each.pop("came_back")) == (0, 0)
    assert report["user_agents"] == [
        {"agent": name, **values(truth.agents[name])} for name in top(truth.agents)
    ]
    networks = top(truth.networks)
    for each, network in zip(report["networks"], networks, strict=True):
        of_network = truth.networks[network].by_key
        assert of_network[key_in(each.pop("top_key"), of_network)] == max(of_network.values())
    assert report["networks"] == [
        {**name._asdict(), **values(truth.networks[name], "addresses")} for name in networks
    ]


def key_in(shown: str, keys: Iterable[Key]) -> Key:
    """The object that a report shows, with or without its host."""
    return next(key for key in keys if shown in {key.key, "/".join(key)})


def values(each: Sum, *more: str) -> dict[str, Any]:
    """Some figures of a sum by their names in a report."""
    names = ("requests", "bytes", *more)
    return {name: number(each, name) for name in names}


def number(each: Sum, name: str) -> int:
    """One figure of a sum."""
    found = getattr(each, name)
    return len(found) if isinstance(found, set) else found


def by_name(rows: list[dict[str, Any]], name: str, *names: str) -> dict[Any, tuple[int, ...]]:
    """Figures of rows by what they are of."""
    assert len({row[name] for row in rows}) == len(rows)
    return {row[name]: tuple(row[each] for each in names or ("requests", "bytes")) for row in rows}


def sums(found: Mapping[Any, Sum], *names: str) -> dict[Any, tuple[int, ...]]:
    """The same figures of the count."""
    wanted = names or ("requests", "bytes")
    return {name: tuple(number(each, one) for one in wanted) for name, each in found.items()}


def moment(seconds: int) -> str:
    """A time as reports have it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        pytest.param("w3c", SMALL, id="w3c"),
        *[pytest.param(kind, MEDIUM, id=f"{kind}-long", marks=pytest.mark.long) for kind in KINDS],
    ],
)
def test_every_figure_equals_an_independent_count(kind: str, spec: Mixed, tmp_path: Path) -> None:
    write(tmp_path, spec, kind)
    assert_equal(analyzed(tmp_path), counted(spec, asn=kind != "w3c"))


def test_w3c_json_and_parquet_of_the_same_requests_give_the_same_report(tmp_path: Path) -> None:
    reports = []
    for kind in ("w3c-asn", "json", "parquet"):
        write(tmp_path / kind, TINY, kind)
        reports.append(analyzed(tmp_path / kind))
    formats = [report["scope"].pop("kinds") for report in reports]
    assert formats == [["w3c"], ["json"], ["parquet"]]
    assert reports[0] == reports[1] == reports[2]
    assert_equal(reports[0], counted(TINY, asn=True))


def test_neither_threads_nor_memory_nor_the_number_of_files_change_a_report(
    tmp_path: Path,
) -> None:
    files = write(tmp_path / "many", TINY)
    whole = tmp_path / "whole.gz"
    whole.write_bytes(b"".join(path.read_bytes() for path in files))
    expected = analyzed(tmp_path / "many")
    for arguments in (("--threads", "1"), ("--memory", "128MiB")):
        assert analyzed(tmp_path / "many", *arguments) == expected
    joined = analyzed(whole)
    assert joined.pop("scope") == expected.pop("scope") | {"files": 1}
    assert joined == expected


@pytest.mark.long
def test_every_figure_of_two_million_lines_equals_an_independent_count(tmp_path: Path) -> None:
    write(tmp_path, LARGE, processes=2)
    assert_equal(analyzed(tmp_path), counted(LARGE, asn=False))
