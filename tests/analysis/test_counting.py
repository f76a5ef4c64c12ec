"""What is counted of files, and that it does not depend on how requests are spread over them."""

from __future__ import annotations

import gzip
import pickle
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Timer
from typing import TYPE_CHECKING, Any

import pytest

from nearbucket.analysis.counting.aggregate_store import AggregateStore
from nearbucket.analysis.counting.local_engine import LocalEngine
from nearbucket.analysis.reading.log_blocks import open_file
from nearbucket.analysis.reading.sources import ALWAYS, Period, local_sources
from nearbucket.analysis.reducing.reduce import ReduceOptions, reduce_parts
from nearbucket.analysis.reducing.reduced_file import ReducedFile, merged
from nearbucket.analysis.reducing.request_flags import SiteRules
from nearbucket.analysis.traffic import CREDENTIALS, OPTED_OUT
from nearbucket.cli.analyze.analyze_run import _rules
from nearbucket.errors import ConfigError
from nearbucket.telemetry.log_format import JsonFormat, W3cFormat
from tests.analysis.counting import BASE, counted, rules, written
from tests.analysis.log_writers import json_lines, w3c
from tests.analysis.made_logs import Mixed, mixed
from tests.analysis.test_log_reader import FULL
from tests.build import EAST, WEST
from tests.log_lines import line_of

if TYPE_CHECKING:
    from nearbucket.analysis.reading.sources import LogSource
    from tests.analysis.made_logs import Record

_NO_FORMAT = "neither JSON, nor W3C below a #Fields line, nor S3's format"


def test_only_whole_responses_to_get_are_downloads(tmp_path: Path) -> None:
    cases: tuple[tuple[dict[str, Any], int, int], ...] = (
        ({}, 1, 0),
        ({"bytes": 950}, 1, 0),
        ({"bytes": 949}, 0, 1),
        ({"result": "Error"}, 0, 1),
        ({"length": -1, "bytes": 1}, 1, 0),
        ({"method": "HEAD", "bytes": 400}, 0, 0),
        ({"status": 304, "length": -1}, 0, 0),
        ({"status": 301}, 0, 0),
        ({"status": 0, "bytes": 0, "result": "Error"}, 0, 0),
    )
    # each comes twice as often as the one before, so that a sum tells which ones it is of
    often = [1 << number for number in range(len(cases))]
    requests = [
        BASE._replace(**changes)
        for (changes, *_), times in zip(cases, often, strict=True)
        for _ in range(times)
    ]
    _, found = counted([written(tmp_path / "a.log", *requests)])
    counts = found.counts
    assert counts.requests == len(requests)
    assert [bool(counts.downloads & times) for times in often] == [case[1] for case in cases]
    assert [bool(counts.aborted & times) for times in often] == [case[2] for case in cases]
    assert max(counts.downloads, counts.aborted) < counts.requests


def test_flags_tell_requests_that_are_not_redirected(tmp_path: Path) -> None:
    requests = [
        BASE,
        BASE._replace(query="x=1&X-Amz-Signature=0"),
        BASE._replace(query="a=b&redirect=no"),
        BASE._replace(cookie="session=1"),
        BASE._replace(agent="Never/1.0", cookie="other=1"),
    ]
    path = written(tmp_path / "a.log", *requests)

    def flags(options: ReduceOptions) -> list[int]:
        facts = counted([path], options)[1].traffic.facts.to_pylist()
        return sorted(row["flags"] for row in facts for _ in range(row["requests"]))

    assert flags(ReduceOptions()) == sorted([0, *[CREDENTIALS] * 3, OPTED_OUT])
    own = SiteRules(opt_out_query="a=b", opt_out_agents=("Never/*",), cookies=("sess*",))
    assert flags(rules(sites=((("*",), own),))) == sorted([0, *[CREDENTIALS] * 2, *[OPTED_OUT] * 2])
    own = SiteRules(opt_out_query="", cookies=())  # no query is the empty argument
    assert flags(rules(sites=((("*",), own),))) == [0, 0, 0, 0, CREDENTIALS]
    own = SiteRules(opt_out_networks=(BASE.client,), cookies=(), arguments=("a",))
    assert flags(rules(sites=((("*",), own),))) == sorted(
        [*[OPTED_OUT] * 3, *[CREDENTIALS | OPTED_OUT] * 2]
    )


def test_opt_outs_are_those_of_the_site_of_the_host(tmp_path: Path) -> None:
    sites = (
        ((BASE.host,), SiteRules(opt_out_agents=("a/*",))),
        (("other.example", "*"), SiteRules(opt_out_agents=("b/*",), opt_out_query=None)),
    )
    asked = {
        (BASE.host, "a/1", ""): OPTED_OUT,
        (BASE.host, "b/1", ""): 0,
        (BASE.host, "b/1", "redirect=no"): OPTED_OUT,
        ("other.example", "a/1", "redirect=no"): 0,
        ("other.example", "b/1", ""): OPTED_OUT,
        ("unknown.example", "b/1", ""): OPTED_OUT,
    }
    for number, ((host, agent, query), flags) in enumerate(asked.items()):
        others = [BASE._replace(host=name, time=BASE.time - 86400 * 9) for name, *_ in asked]
        request = BASE._replace(host=host, agent=agent, query=query)
        path = written(tmp_path / f"{number}.log", *others, request)
        facts = counted([path], rules(sites=sites))[1].traffic.facts.to_pylist()
        last = max(row["day"] for row in facts)
        assert [row["flags"] for row in facts if row["day"] == last and row["requests"]] == [flags]


def test_networks_of_requests_that_are_never_redirected_have_no_bytes(tmp_path: Path) -> None:
    requests = [BASE, BASE._replace(query="redirect=no"), BASE._replace(cookie="a=b", bytes=9)]
    _, found = counted([written(tmp_path / "a.log", *requests)])
    assert [row["bytes"] for row in found.traffic.networks.to_pylist()] == [BASE.bytes]
    assert [each.bytes for each in found.counts.networks] == [2 * BASE.bytes + 9]
    path = written(tmp_path / "b.log", BASE, BASE._replace(cookie="a=b", bytes=BASE.bytes // 20))
    (few,) = counted([path])[1].traffic.networks.to_pylist()
    assert few["bytes"] == BASE.bytes + BASE.bytes // 20


def test_other_times_and_hosts_are_left_out_and_told(tmp_path: Path) -> None:
    late = BASE._replace(time=BASE.time + 3600)
    path = written(tmp_path / "a.log", BASE, late, late._replace(host="other.example"))
    period = Period(datetime.fromtimestamp(late.time, UTC), None)
    scope, found = counted([path], rules(period=period, hosts=(BASE.host,)))
    assert scope.left_out == {"of other hosts": 1, "outside the period": 1}
    assert (scope.lines, found.counts.requests) == (1, 1)
    assert scope.first == scope.last == period.since


@pytest.mark.parametrize(("later", "told"), [(0, True), (1, True), (2, False)])
def test_formats_of_the_same_time_are_told(tmp_path: Path, later: int, *, told: bool) -> None:
    days = [BASE._replace(time=BASE.time + 86400 * day) for day in range(5)]
    w3c(tmp_path / "a.log", days)
    json_lines(tmp_path / "b.log", [row._replace(time=row.time + 86400 * later) for row in days])
    scope, _ = counted([tmp_path / "a.log", tmp_path / "b.log"])
    assert scope.kinds == ("json", "w3c")
    assert scope.overlapping_kinds == scope.kinds * told
    assert scope.days == pytest.approx(4 + later, abs=0.001)


def test_the_period_of_one_host_is_that_of_the_log(tmp_path: Path) -> None:
    other = BASE._replace(time=BASE.time + 7 * 86400 - 1, host="other.example")
    path = written(tmp_path / "a.log", BASE, other)
    scope, _ = counted([path], rules(hosts=(BASE.host,)))
    assert (scope.lines, scope.days) == (1, 7)


def test_a_host_is_one_with_a_port_a_dot_or_capitals(tmp_path: Path) -> None:
    names = ["dl.example", "dl.example:8080", "DL.example.", "[2001:db8::1]:80", "a b:c", ".."]
    path = written(tmp_path / "a.log", *(BASE._replace(host=name) for name in names))
    hosts = {host.name: host.requests for host in counted([path])[1].counts.hosts}
    assert hosts == {"dl.example": 3, "[2001:db8::1]": 1, "a b:c": 1, "..": 1}
    assert counted([path], ReduceOptions(_rules(None, ALWAYS, ("DL.example:443",))))[0].lines == 3


def test_addresses_are_those_of_requests_that_count(tmp_path: Path) -> None:
    others = [BASE._replace(host="other.example", client=f"10.0.0.{n}") for n in range(9)]
    _, found = counted([written(tmp_path / "a.log", BASE, *others)], rules(hosts=(BASE.host,)))
    assert [(each.requests, each.addresses) for each in found.counts.regions] == [(1, 1)]


def test_a_time_of_another_century_is_none(tmp_path: Path) -> None:
    wrong = [BASE._replace(time=time) for time in (0, 32503680000)]
    scope, _ = counted([written(tmp_path / "a.log", BASE, *wrong)])
    assert (scope.lines, scope.left_out, scope.days) == (1, {"without a time": 2}, 60 / 86400)


def test_a_quarter_of_an_hour_is_not_scaled_as_an_hour(tmp_path: Path) -> None:
    last = BASE._replace(time=BASE.time + 899)
    scope, _ = counted([written(tmp_path / "a.log", BASE, last)])
    assert scope.days == 900 / 86400


def test_one_request_is_not_scaled_as_one_in_each_second(tmp_path: Path) -> None:
    scope, _ = counted([written(tmp_path / "a.log", BASE)])
    assert (scope.first, scope.days) == (scope.last, 60 / 86400)


def test_without_a_content_length_an_object_is_as_large_as_its_whole_response(
    tmp_path: Path,
) -> None:
    unknown = BASE._replace(length=-1, bytes=5000)
    broken = unknown._replace(result="Error", bytes=9000)

    def size(*requests: Record) -> Any:
        found = counted([written(tmp_path / "a.log", *requests)])[1].traffic.objects
        (size,) = found["size"].to_pylist()
        return size

    assert size(unknown, broken) == 5000
    assert size(unknown, BASE) == 1000
    assert size(unknown, BASE._replace(status=206, start=0, end=7999, length=8000)) == 8000
    assert size(broken) is None


def test_a_sampled_log_is_scaled(tmp_path: Path) -> None:
    path = written(tmp_path / "a.log", BASE, BASE)
    _, found = counted([path], ReduceOptions(factor=100 / 5))
    counts = found.counts
    assert (counts.requests, counts.bytes, counts.downloads) == (40, 40 * BASE.bytes, 40)
    assert counts.top_files[0].addresses == 1


def test_what_rounding_takes_from_one_row_of_a_sample_it_gives_to_the_next(tmp_path: Path) -> None:
    requests = [BASE._replace(client=f"10.0.0.{number}") for number in range(100)]
    path = written(tmp_path / "a.log", *requests)
    for percent, whole in ((40, 250), (75, 133), (30, 333)):
        counts = counted([path], ReduceOptions(factor=100 / percent))[1].counts
        assert (counts.requests, counts.downloads) == (whole, whole)
        assert [each.requests for each in counts.results] == [whole]


def test_ranges_in_s3s_log_are_no_aborts_though_it_has_the_whole_size(tmp_path: Path) -> None:
    line = (
        "o b [06/Nov/2026:00:00:00 +0000] {} - R REST.GET.OBJECT k "
        '"GET /k HTTP/1.1" {} - 1000 100000 1 1 "-" "a" -\n'
    )
    (tmp_path / "s3.log").write_text(line.format(WEST, 206) * 3 + line.format(WEST, 200))
    counts = counted([tmp_path / "s3.log"])[1].counts
    assert (counts.downloads, counts.aborted) == (1, 1)


def test_one_absurd_line_costs_no_other(tmp_path: Path) -> None:
    good = written(tmp_path / "good.log", BASE).read_text()
    written(tmp_path / "status.log", BASE, BASE._replace(status=99999))
    written(tmp_path / "bytes.log", *[BASE._replace(bytes=10**18 - 1)] * 12, BASE)
    (tmp_path / "nested.log").write_text(good + '{"a":' * 50000 + "\n")
    (tmp_path / "deep.json").write_text('{"a":' * 50000 + "\n")
    (tmp_path / "year.log").write_text(
        "o b [01/Jan/0001:00:00:00 +0100] 1.2.3.4 - R REST.GET.OBJECT k "
        '"GET /k HTTP/1.1" 200 - 10 10 1 1 "-" "a" -\n'
    )
    scope, found = counted([tmp_path])
    assert found.counts.requests == scope.lines == 4
    assert found.counts.bytes == 4 * BASE.bytes
    assert scope.left_out == {"unreadable": 16}
    assert [Path(each.name).name for each in scope.damaged] == [
        "bytes.log", "deep.json", "nested.log", "status.log", "year.log",
    ]  # fmt: skip


def test_nearbuckets_own_log_tells_who_does_not_follow(tmp_path: Path) -> None:
    redirected = FULL._replace(action="redirect", reason="in-region", status=301)
    again = FULL._replace(action="stream", reason="came-back")
    names = []
    for form in (JsonFormat(), W3cFormat()):
        names.append(tmp_path / f"{type(form).__name__}.log")
        lines = (line_of(form, each) for each in (redirected, redirected, again))
        names[-1].write_bytes(form.header() + b"".join(lines))
    for name in names:
        _, found = counted([name])
        (agent,) = found.counts.user_agents
        assert (agent.agent, agent.requests) == (FULL.user_agent, 3)
        assert (agent.redirected, agent.came_back) == (2, 1)
        assert found.counts.top_files[0].size == 1000


@pytest.mark.parametrize("form", [JsonFormat(), W3cFormat()], ids=["json", "w3c"])
def test_a_range_that_ends_behind_the_object_makes_it_no_larger(
    tmp_path: Path, form: JsonFormat | W3cFormat
) -> None:
    part = FULL._replace(status=206, range="bytes=400-999999999999", bytes=600)
    (tmp_path / "own.log").write_bytes(form.header() + line_of(form, part))
    _, found = counted([tmp_path])
    assert found.counts.top_files[0].size == 1000


_NO_PARQUET = (
    "Parquet that cannot be read: Parquet magic bytes not found in footer. Either the file is "
    "corrupted or this is not a parquet file."
)


def test_a_damaged_file_costs_no_other(tmp_path: Path) -> None:
    good = written(tmp_path / "good.log", BASE, BASE)
    (tmp_path / "cut.log.gz").write_bytes(gzip.compress(good.read_bytes() * 9)[:-30])
    (tmp_path / "none.log").write_bytes(b"\0" * 100)
    (tmp_path / "bad.log").write_bytes(good.read_bytes() + b"x\n")
    (tmp_path / "cut.parquet").write_bytes(b"PAR1" + bytes(100))
    scope, found = counted([tmp_path])
    assert {Path(each.name).name: (each.lines > 0, each.why) for each in scope.damaged} == {
        "bad.log": (True, "1 line cannot be read: line 5: 1 columns, and #Fields names 33"),
        "cut.log.gz": (True, "its gzip data ends too early"),
        "cut.parquet": (False, _NO_PARQUET),
        "none.log": (False, f"1 line cannot be read: line 1: {_NO_FORMAT}"),
    }  # fmt: skip
    assert found.counts.requests == scope.lines > 4


def test_a_full_disk_for_temporary_files_is_told(tmp_path: Path) -> None:
    query = "SELECT count(*) FROM (SELECT DISTINCT hash(range) FROM range(3000000))"

    def ask() -> None:
        with AggregateStore(8 << 20, 1, tmp_path) as store:
            store.connection.execute("SET max_temp_directory_size = '1MiB'")
            store.rows(query)

    with pytest.raises(ConfigError, match=f"no room for temporary files in {tmp_path}: set TMPDIR"):
        ask()
    assert list(tmp_path.iterdir()) == []


def test_a_reduced_file_is_pickled_and_comes_back_from_its_table(tmp_path: Path) -> None:
    log = written(tmp_path / "a.log", *mixed(Mixed(500, 1), 0))
    (source,) = local_sources([str(log)], ALWAYS)
    options = pickle.loads(pickle.dumps(ReduceOptions()))  # noqa: S301
    found = merged(list(reduce_parts(source, options)))
    assert pickle.loads(pickle.dumps(found)) == found  # noqa: S301
    assert ReducedFile.from_table(found.to_table()) == found
    with pytest.raises(ValueError, match="not a reduced log file"):
        ReducedFile.from_table(found.to_table().slice(1))


def test_counts_do_not_depend_on_the_size_of_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = written(tmp_path / "a.log.gz", *mixed(Mixed(2000, 1), 0))
    whole = counted([log])
    monkeypatch.setattr("nearbucket.analysis.reading.log_blocks.BLOCK", 30_000)
    monkeypatch.setattr("nearbucket.analysis.reading.log_blocks._TEXT", 10_000)
    monkeypatch.setattr("nearbucket.analysis.reducing.reduce.ROWS", 700)
    assert counted([log])[1].counts == whole[1].counts


def test_regions_with_the_same_bytes_come_in_the_same_order(tmp_path: Path) -> None:
    both = [BASE, BASE._replace(client=EAST)]
    here = counted([written(tmp_path / "a.log", *both)])[1].counts
    there = counted([written(tmp_path / "b.log", *both[::-1])])[1].counts
    assert here.regions == there.regions
    assert [list(day.by_region) for day in here.days] == [list(day.by_region) for day in there.days]


def test_what_ends_a_run_ends_it_within_a_file(tmp_path: Path) -> None:
    log, told = written(tmp_path / "a.log", BASE), []
    *head, line = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(head) + line * 50_000)  # of several reads
    (tmp_path / "none.log").write_bytes(b"")
    begun = Event()

    def progress(size: int) -> None:
        told.append(size)
        begun.set()
        ended.wait(60)

    def opened(source: LogSource) -> Any:
        if Path(source.name) == log:
            return open_file(source)
        begun.wait(60)
        Timer(0.2, ended.set).start()
        raise MemoryError

    ended = Event()
    names = [str(tmp_path / "none.log"), str(log)]
    engine = LocalEngine(ReduceOptions(), 2, None, opened, progress)
    with AggregateStore(128 << 20, 1) as store, pytest.raises(MemoryError):
        engine.run(local_sources(names, ALWAYS), store)
    assert 1 <= len(told) <= 2 < log.stat().st_size >> 20
