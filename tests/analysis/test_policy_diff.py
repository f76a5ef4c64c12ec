"""The totals of the changes between two policies: requests, bytes, dollars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nearbucket.analysis import policy_diff as changes
from nearbucket.analysis.policy_diff import PolicyDiff
from nearbucket.analysis.reading.log_reader import LogEntry, UnreadableInput
from nearbucket.analysis.replay import Replay
from nearbucket.config.prices import GB, Prices
from nearbucket.pricing.bill import Usage, bill
from nearbucket.pricing.tariff import tariff
from tests.analysis.compared_policies import GONE, count, site
from tests.analysis.test_log_reader import ASKED
from tests.build import EAST, OUTSIDE, engine, settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nearbucket.policy.engine import Engine


def line(size: int = 0, *, status: int = 200, **asked: Any) -> LogEntry:
    return LogEntry(ASKED._replace(**asked), status, size, None, served=status not in {301, 421})


def gone(**asked: Any) -> LogEntry:
    return line(120, status=301, reason="in-region", **asked)


def test_streamed_bytes_are_those_sent_and_redirected_ones_the_largest_seen() -> None:
    found = [
        gone(),
        line(700, reason="opt-out"),
        line(1000, client=OUTSIDE),
        gone(),
        line(9999, status=206),
        gone()._replace(range_size=10),
        gone(method="HEAD"),
        gone(target="/other.tar.gz"),
    ]
    totals = count(Replay(site(), site(mode="off")), found)
    (row,) = totals.rows
    assert (row.requests, row.size, row.unknown, row.way) == (6, 2 * 1000 + 9999 + 10, 1, -1)
    assert (totals.requests, totals.changed, totals.as_logged) == (8, 6, 1)


def test_sizes_of_another_site_do_not_count() -> None:
    more = [{"hosts": ["other.example"], "origin": {"bucket": "others", "region": "us-east-1"}}]
    before, after = (
        engine(settings(site={"redirect": {"mode": mode}}, more=more)) for mode in ("on", "off")
    )
    totals = count(Replay(before, after), [gone(), line(1000, host="other.example")])
    assert [(row.size, row.unknown) for row in totals.rows] == [(0, 1)]


def test_dollars_are_those_of_the_region_that_gets_or_loses_the_bytes() -> None:
    by = tariff(Prices(cdn_per_gb=0.1, region_per_gb={"us-west-2": 0.2}))
    before = engine(settings(site={"redirect": {"mode": "off"}}))
    found = [line(GB, client=EAST), line(GB), line(GB, client=OUTSIDE)]
    more, less = count(Replay(before, site()), found), count(Replay(site(), before), found)
    assert [row.region for row in more.rows] == ["us-east-1", "us-west-2"]
    assert list(more.saved_usd(by).values()) == [0.1, 0.2]
    assert list(less.saved_usd(by).values()) == [-0.1, -0.2]


@pytest.mark.parametrize(("last", "months"), [(1, 1), (30, 1), (303, 10), (None, 1)])
def test_a_log_of_several_months_has_the_tiers_of_each(last: int | None, months: int) -> None:
    by = tariff(Prices(monthly_gb=50_000))
    off = engine(settings(site={"redirect": {"mode": "off"}}))
    days = (None,) * 3 if last is None else (20_000 + last, 20_000, 20_001)
    found = [line(45_000 * GB)._replace(day=day) for day in days]
    (usd,) = count(Replay(off, site()), found).saved_usd(by).values()
    left = max(0, 50_000 - 135_000 / months)
    both = bill(Usage({"north-america": 50_000}), by) - bill(Usage({"north-america": left}), by)
    assert usd == pytest.approx(both * months)


@pytest.mark.parametrize("status", [0, 304, 403, 404, 416, 500])
def test_an_answer_without_bytes_of_an_object_is_no_redirect_gained_or_lost(status: int) -> None:
    found = [line(500, status=status), line(700), line(700, status=206, method="GET")]
    off = engine(settings(site={"redirect": {"mode": "off"}}))
    for replay, way in (Replay(off, site()), 1), (Replay(site(), off), -1):
        totals = count(replay, found)
        assert [(row.requests, row.size, row.way) for row in totals.rows] == [(2, 1400, way)]
        assert (totals.requests, totals.changed, totals.without_bytes) == (3, 2, 1)


def test_a_request_that_was_refused_counts_if_it_is_now_redirected() -> None:
    found = line(20, status=403)._replace(served=False)
    off = engine(settings(site={"redirect": {"mode": "off"}}))
    totals = count(Replay(off, site()), [found, line(700)])
    assert [(row.requests, row.size) for row in totals.rows] == [(2, 1400)]


TB = GB * 1024


def usd_of(before: Engine, after: Engine, found: Sequence[LogEntry], gb: float | None) -> float:
    by = tariff(Prices(monthly_gb=gb))
    return sum(count(Replay(before, after), found).saved_usd(by).values())


def test_no_more_is_saved_than_the_bill_of_the_month() -> None:
    off, east, both = site(mode="off"), site(paths=["east/*"]), site(paths=["*"])
    found = [
        line(TB, target="/east/a", client=EAST),
        line(TB, target="/a", client=EAST),
        line(900 * GB, target="/b"),
    ]
    volume = (2 * TB + 900 * GB) / GB
    whole = bill(Usage({"north-america": volume}), tariff(Prices()))
    assert usd_of(off, both, found, volume) == pytest.approx(whole)
    assert usd_of(both, off, found, volume) == pytest.approx(-whole)
    first = usd_of(off, east, found, volume)
    assert first == pytest.approx(TB / GB * 0.085)
    assert usd_of(east, both, found, volume) == pytest.approx(whole - first)
    other = site(paths=["east/*"], status=302)
    assert usd_of(other, both, found, volume) == pytest.approx(whole - first)
    moved = [gone(target="/east/a", client=EAST), line(TB, target="/east/a", client=OUTSIDE)]
    assert usd_of(east, both, [*moved, *found[1:]], volume) == pytest.approx(whole - first)
    assert usd_of(off, both, found, 100) == 0
    assert usd_of(off, both, found, None) == pytest.approx(volume * 0.085)


def test_the_transfer_from_a_bucket_in_another_region_is_subtracted() -> None:
    by = tariff(Prices(cdn_per_gb=0.1))
    near = settings(site={"targets": {"us-west-2": {"bucket": "west"}}})
    far = settings(site={"targets": {"us-west-2": {"bucket": "east", "region": "us-east-1"}}})
    off = settings(site={"redirect": {"mode": "off"}})
    saved = []
    for before, after in ((off, near), (off, far), (far, off), (near, far)):
        counted = PolicyDiff(Replay(engine(before), engine(after)), before, after)
        counted.add(line(GB))
        saved.append(round(sum(counted.finish().saved_usd(by).values()), 6))
    assert saved == [0.1, 0.08, -0.08, -0.02]


@pytest.mark.parametrize(
    ("before", "after", "asked"),
    [
        ({"mode": "off"}, {"mode": "shadow"}, {}),
        ({"paths": ["*.zip"]}, {"mode": "off"}, {}),
        ({"status": 301}, {"status": 302}, {"client": OUTSIDE}),
    ],
)
def test_another_reason_for_the_same_answer_is_counted_but_is_no_change(
    before: dict[str, Any], after: dict[str, Any], asked: dict[str, Any]
) -> None:
    totals = count(Replay(site(**before), site(**after)), [line(GB, **asked)])
    assert (totals.rows, totals.changed) == ([], 0)
    assert totals.reason_changed == (not asked)


def floored(before: int, after: int) -> Replay:
    return Replay(site(), site(), ({"*": before}, {"*": after}))


@pytest.mark.parametrize(
    ("before", "after", "way"),
    [(0, 1000, 0), (0, 1001, -1), (1001, 0, 1), (1001, 1002, 0), (500, 1000, 0), (1001, 7, 1)],
)
def test_the_size_floor_is_that_of_the_largest_size_in_the_log(
    before: int, after: int, way: int
) -> None:
    found = [gone(), line(700, client=OUTSIDE), line(1000, client=OUTSIDE), gone()]
    totals = count(floored(before, after), found)
    assert [(row.way, row.requests, row.size) for row in totals.rows] == [(way, 2, 2000)] * bool(
        way
    )
    assert (totals.requests, totals.changed) == (4, 2 * bool(way))


def test_the_size_is_also_known_from_content_lengths_and_the_ends_of_ranges() -> None:
    broken = line(10, client=OUTSIDE)._replace(length=1000)
    part = line(10, status=206, client=OUTSIDE)._replace(range_end=1000)
    for shown in (broken, part):
        totals = count(floored(0, 1001), [gone(), shown])
        assert [(row.way, row.requests, row.size) for row in totals.rows] == [(-1, 1, 1000)]
    assert count(floored(0, 1000), [gone(), broken]).rows == []


def test_an_object_of_unknown_size_counts_as_large() -> None:
    assert count(floored(0, 1000), [gone()]).rows == []
    assert count(floored(0, 1000), [line(reason="in-region", status=301)]).changed == 0


def test_what_was_logged_as_small_is_decided_by_its_size() -> None:
    found = [line(1000, reason="small")]
    lowered = count(floored(2000, 500), found)
    assert [str(row.after) for row in lowered.rows] == [GONE]
    assert lowered.as_logged == 0
    raised = count(floored(2000, 3000), found)
    assert (raised.rows, raised.as_logged) == ([], 0)


def test_requests_that_the_log_has_otherwise_are_counted() -> None:
    assert count(Replay(site(), site()), [line(reason="outside-aws"), gone()]).other == 1


def test_memory_is_bounded_and_what_does_not_fit_is_of_unknown_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(changes, "_MOST_KNOWN", 3)
    monkeypatch.setattr(changes, "_MOST_PATHS", 2)
    counted = PolicyDiff(Replay(site(), site(mode="off")))
    for number in range(10):
        path = f"/{number}.tar.gz"
        for each in (line(1000, target=path, client=OUTSIDE), gone(target=path)):
            counted.add(each)
        assert len(counted._fates) <= 3
        assert len(counted._sizes) <= 2
        assert len(counted._pending) <= 2
    (row,) = counted.finish().rows
    assert (row.requests, row.size, row.unknown) == (10, 2000, 8)


def test_the_first_line_that_is_no_request_is_kept() -> None:
    found: list[LogEntry | UnreadableInput] = [
        UnreadableInput("a"),
        UnreadableInput("b"),
        UnreadableInput("c", rest=True),
        line(),
    ]
    totals = count(Replay(site(), site()), found)
    assert (totals.unreadable, totals.first, totals.broken, totals.requests) == (2, "a", ["c"], 1)
