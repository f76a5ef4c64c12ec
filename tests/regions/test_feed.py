"""The feed: which lists are used, and what happens when the source or the copy on disk fails.

Downloads go to a server on loopback.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from nearbucket.config.settings import Regions
from nearbucket.regions.feed import RangesFeed, stored_list, update
from nearbucket.regions.ip_ranges import read_ranges
from nearbucket.regions.ip_ranges_source import LARGEST
from nearbucket.regions.list_guard import RangesUse, RefreshResult
from tests.ranges_lists import document, row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from nearbucket.regions.ip_ranges import Ranges

WIDE = [row("203.0.113.0/24"), row("198.51.100.0/24"), row("192.0.2.0/24")]


def listed(token: int, *rows: dict[str, str]) -> bytes:
    """A document of a number as its token; three /24 unless rows are given."""
    return document(*(rows or WIDE), v6=[row("2001:db8::/32")], syncToken=str(token))


class Source:
    """The server's answers, and the marks in the requests that it got."""

    def __init__(self) -> None:
        self.body = listed(5)
        self.status = 200
        self.etag: str | None = '"five"'
        self.asked: list[str | None] = []
        self.hang = False
        self.release = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """The server's answer to one request."""
        self.asked.append(request.headers.get("If-None-Match"))
        if self.hang:
            await self.release.wait()
        headers = {"ETag": self.etag} if self.etag else {}
        if self.etag and self.asked[-1] == self.etag:
            return web.Response(status=304, headers=headers)
        if self.status == 302:
            headers["Location"] = "/elsewhere"
        return web.Response(status=self.status, body=self.body, headers=headers)


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
async def settings(source: Source, tmp_path: Path) -> AsyncIterator[Regions]:
    """Settings that point at a running server and an empty folder."""
    app = web.Application()
    app.router.add_get("/ip-ranges.json", source.answer)
    async with TestServer(app) as server:
        yield Regions(
            source=str(server.make_url("/ip-ranges.json")), cache=tmp_path / "cache" / "list.json"
        )
        source.release.set()


class Desk:
    """A feed that starts with the stored list, the lists that were used, and its clock."""

    def __init__(self, settings: Regions, patience: float = 10.0) -> None:
        self.published: list[Ranges] = []
        self.now = 1000.0
        self.feed = RangesFeed(
            settings, self.published.append, patience=patience, clock=lambda: self.now
        )
        stored = stored_list(settings)
        if stored is not None:
            self.feed.adopt(stored)
            self.published.append(stored.ranges)

    @property
    def tokens(self) -> list[int]:
        return [ranges.token for ranges in self.published]


def test_the_results_of_a_refresh_have_the_words_that_are_promised() -> None:
    words = ["updated", "unchanged", "failed", "invalid", "older", "future", "shrunk", "grown"]
    assert [result.value for result in RefreshResult] == words
    assert [result.value for result in RefreshResult if result.good] == ["updated", "unchanged"]


async def test_a_good_list_is_published_and_kept_on_disk(source: Source, settings: Regions) -> None:
    desk = Desk(settings)
    assert await desk.feed.refresh() is RefreshResult.UPDATED
    assert (desk.tokens, desk.feed.confirmed_at, desk.feed.problem) == ([5], 1000.0, "")
    assert settings.cache.read_bytes() == source.body
    assert sorted(path.name for path in settings.cache.parent.iterdir()) == [
        "list.json",
        "list.json.meta",
        "list.json.prepared",
    ]


async def test_a_publisher_that_is_a_coroutine_is_awaited(settings: Regions) -> None:
    got: list[Ranges] = []

    async def publish(ranges: Ranges) -> None:
        await asyncio.sleep(0)
        got.append(ranges)

    assert await RangesFeed(settings, publish).refresh() is RefreshResult.UPDATED
    assert [ranges.token for ranges in got] == [5]


async def test_a_304_swaps_nothing_and_confirms(source: Source, settings: Regions) -> None:
    desk = Desk(settings)
    await desk.feed.refresh()
    desk.now = 2000.0
    assert await desk.feed.refresh() is RefreshResult.UNCHANGED
    assert (source.asked, desk.tokens) == ([None, '"five"'], [5])
    assert desk.feed.confirmed_at == settings.cache.stat().st_mtime == 2000.0


async def test_the_etag_survives_a_restart(source: Source, settings: Regions) -> None:
    await Desk(settings).feed.refresh()
    os.utime(settings.cache, (500, 500))
    desk = Desk(settings)
    assert (desk.tokens, desk.feed.confirmed_at) == ([5], 500.0)
    assert await desk.feed.refresh() is RefreshResult.UNCHANGED
    assert (source.asked[-1], desk.tokens, desk.feed.confirmed_at) == ('"five"', [5], 1000.0)


async def test_the_same_token_again_swaps_nothing(source: Source, settings: Regions) -> None:
    desk = Desk(settings)
    await desk.feed.refresh()
    source.etag = '"another"'
    assert await desk.feed.refresh() is RefreshResult.UNCHANGED
    assert await desk.feed.refresh() is RefreshResult.UNCHANGED
    assert (source.asked, desk.tokens) == ([None, '"five"', '"another"'], [5])


async def test_a_304_without_a_condition_is_a_failure(source: Source, settings: Regions) -> None:
    source.status = 304
    desk = Desk(settings)
    assert await desk.feed.refresh() is RefreshResult.FAILED
    assert desk.feed.problem == "regions.source: status 304"


@pytest.mark.parametrize(
    ("body", "status", "result", "problem"),
    [
        pytest.param(b"{}", 200, RefreshResult.INVALID, "no syncToken", id="empty-object"),
        pytest.param(document(), 200, RefreshResult.INVALID, "no usable prefix", id="empty-lists"),
        pytest.param(b"<html>login</html>", 200, RefreshResult.INVALID, "not JSON", id="html"),
        pytest.param(listed(6)[:-9], 200, RefreshResult.INVALID, "not JSON", id="truncated-json"),
        pytest.param(
            document(prefixes=5), 200, RefreshResult.INVALID, "not a list", id="wrong-types"
        ),
        pytest.param(b" " * (33 * 2**20), 200, RefreshResult.INVALID, "larger than", id="33-MiB"),
        pytest.param(listed(6), 500, RefreshResult.FAILED, "status 500", id="server-error"),
        pytest.param(listed(6), 203, RefreshResult.FAILED, "status 203", id="another-success"),
        pytest.param(listed(6), 302, RefreshResult.FAILED, "status 302", id="captive-portal"),
        pytest.param(listed(4), 200, RefreshResult.OLDER, "4 is older than 5", id="older"),
        pytest.param(
            listed(10**10), 200, RefreshResult.FUTURE, "a time in the future (2286-", id="future"
        ),
        pytest.param(listed(10**17), 200, RefreshResult.FUTURE, "(no date)", id="no-date"),
        pytest.param(
            listed(5, WIDE[0]), 200, RefreshResult.INVALID, "a different", id="same-token"
        ),
        pytest.param(
            listed(6, *WIDE, row("3.0.0.0/8")), 200, RefreshResult.GROWN, "more IPv4", id="grown"
        ),
        pytest.param(listed(6, WIDE[0]), 200, RefreshResult.SHRUNK, "67 % fewer IPv4", id="shrunk"),
        pytest.param(
            document(*WIDE, v6=[row("2001:db8::/33")], syncToken="6"),
            *(200, RefreshResult.SHRUNK, "50 % fewer IPv6"),
            id="shrunk-v6",
        ),
    ],
)
async def test_a_bad_answer_leaves_the_list_in_use_and_lets_its_age_rise(  # noqa: PLR0913, PLR0917 -- a table
    body: bytes, status: int, result: RefreshResult, problem: str, source: Source, settings: Regions
) -> None:
    desk = Desk(settings)
    await desk.feed.refresh()
    good, desk.now = source.body, 2000.0
    source.body, source.status, source.etag = body, status, '"bad"'
    assert await desk.feed.refresh() is result
    assert problem in desk.feed.problem
    (warning,) = desk.feed.warnings()
    assert f"({desk.feed.problem}); that of {desk.published[0].date} stays in use" in warning
    assert (desk.tokens, desk.feed.confirmed_at) == ([5], 1000.0)
    assert desk.feed.results == dict.fromkeys(RefreshResult, 0) | {
        RefreshResult.UPDATED: 1,
        result: 1,
    }
    assert settings.cache.read_bytes() == good
    source.body, source.status, source.etag = good, 200, '"five"'
    assert await desk.feed.refresh() is RefreshResult.UNCHANGED  # by the good list's ETag
    assert desk.feed.warnings() == []
    assert (source.asked[-1], desk.feed.confirmed_at) == ('"five"', 2000.0)


async def test_a_shrinkage_of_a_fifth_is_not_held_back(source: Source, settings: Regions) -> None:
    rows = [row(f"198.51.100.{n}/32") for n in range(10)]
    desk = Desk(settings)
    source.body = listed(1, *rows)
    await desk.feed.refresh()
    source.body, source.etag = listed(2, *rows[:8]), None
    assert await desk.feed.refresh() is RefreshResult.UPDATED
    source.body = listed(3, *rows[:6])
    assert await desk.feed.refresh() is RefreshResult.SHRUNK


HELD_BACK = [
    pytest.param(listed(6, WIDE[0]), RefreshResult.SHRUNK, id="shrunk"),
    pytest.param(listed(6, *WIDE, row("3.0.0.0/8")), RefreshResult.GROWN, id="grown"),
    pytest.param(listed(4), RefreshResult.OLDER, id="older"),
    pytest.param(listed(10**10), RefreshResult.FUTURE, id="future"),
    pytest.param(listed(5, WIDE[0]), RefreshResult.INVALID, id="the same token"),
]


@pytest.mark.parametrize(("body", "result"), HELD_BACK)
async def test_a_list_that_is_held_back_is_taken_once_the_command_has_confirmed_it(
    body: bytes, result: RefreshResult, source: Source, settings: Regions
) -> None:
    desk = Desk(settings)
    await desk.feed.refresh()
    source.body, source.etag = body, '"six"'
    assert await desk.feed.refresh() is result
    assert "`nearbucket ranges update --force`" in desk.feed.problem
    refused = await update(settings)
    assert (refused.result, refused.ranges and refused.ranges.token) == (result, 5)
    assert await desk.feed.refresh() is result
    forced = await update(settings, force=True)
    assert (forced.result, forced.ranges) == (RefreshResult.UPDATED, read_ranges(body))
    assert await desk.feed.refresh() is RefreshResult.UPDATED
    assert desk.published[1:] == [read_ranges(body)]
    assert await desk.feed.refresh() is RefreshResult.UNCHANGED


async def test_the_copy_of_another_instance_confirms_nothing(
    source: Source, settings: Regions
) -> None:
    desk = Desk(settings)
    await desk.feed.refresh()
    settings.cache.unlink()
    source.body, source.etag = listed(6, WIDE[0]), '"six"'
    assert await Desk(settings).feed.refresh() is RefreshResult.UPDATED  # its first list
    assert await desk.feed.refresh() is RefreshResult.SHRUNK
    assert (await update(settings, force=True)).result is RefreshResult.UNCHANGED  # as it is kept
    assert await desk.feed.refresh() is RefreshResult.UPDATED


async def test_the_same_rows_in_another_order_are_the_same_list(
    source: Source, settings: Regions
) -> None:
    desk = Desk(settings)
    await desk.feed.refresh()
    source.body, source.etag = listed(5, *WIDE[::-1], WIDE[0]), '"another"'
    assert await desk.feed.refresh() is RefreshResult.UNCHANGED
    assert desk.tokens == [5]


async def test_what_is_used_at_that_moment_counts(source: Source, settings: Regions) -> None:
    used = RangesUse(("EC2",), {})
    feed = RangesFeed(settings, lambda _: None, use=lambda: used)
    rows = [row(f"203.0.{n}.0/24") for n in range(9)]
    source.etag, source.body = None, listed(1, *rows, row("192.0.2.0/24", "us-west-2"))
    assert await feed.refresh() is RefreshResult.UPDATED
    source.body = listed(2, *rows)
    used = RangesUse(("EC2",), {}, frozenset({"us-west-2"}))  # a reload gave it a target
    assert await feed.refresh() is RefreshResult.SHRUNK
    assert "100 % fewer IPv4 addresses for the target us-west-2" in feed.problem


async def test_a_hanging_source_times_out_and_the_loop_goes_on(
    source: Source, settings: Regions
) -> None:
    source.hang = True
    desk = Desk(settings, patience=0.5)
    assert await desk.feed.refresh() is RefreshResult.FAILED
    assert desk.feed.problem == "regions.source: no whole answer within 0.5 s"
    assert source.asked == [None]  # in the same loop, which therefore went on


async def test_without_network_at_start_the_copy_on_disk_serves(
    settings: Regions, unused_tcp_port: int
) -> None:
    nowhere = settings.model_copy(update={"source": f"http://127.0.0.1:{unused_tcp_port}/"})
    settings.cache.parent.mkdir()
    settings.cache.write_bytes(listed(3))
    os.utime(settings.cache, (500.0, 500.0))
    desk = Desk(nowhere)
    assert await desk.feed.refresh() is RefreshResult.FAILED
    assert (desk.tokens, desk.feed.confirmed_at) == ([3], 500.0)


async def test_a_copy_of_a_clock_that_was_ahead_counts_as_confirmed_now(settings: Regions) -> None:
    await Desk(settings).feed.refresh()
    os.utime(settings.cache, (9000.0, 9000.0))
    assert Desk(settings).feed.confirmed_at == 1000.0


@pytest.mark.parametrize(
    ("spoil", "warned"),
    [
        pytest.param(lambda cache: cache.parent.rmdir(), False, id="missing"),
        pytest.param(lambda cache: cache.mkdir(), True, id="a-folder"),
        pytest.param(lambda cache: cache.write_bytes(b"{"), True, id="junk"),
        pytest.param(lambda cache: cache.write_bytes(b" " * (LARGEST + 1)), True, id="huge"),
    ],
)
async def test_a_copy_that_cannot_be_used_costs_nothing_but_a_download(
    spoil: Callable[[Path], object],
    warned: bool,  # noqa: FBT001 -- a column of the table
    settings: Regions,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings.cache.parent.mkdir()
    spoil(settings.cache)
    desk = Desk(settings)
    assert not desk.published
    assert ("regions.cache is not used" in caplog.text) is warned
    assert "Errno" not in caplog.text
    assert await desk.feed.refresh() is RefreshResult.UPDATED
    assert desk.tokens == [5]


async def test_the_log_says_once_an_hour_that_a_list_is_over_a_day_old(
    source: Source, settings: Regions, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk(settings)
    desk.now = began = 1e9
    await desk.feed.refresh()
    source.status, source.etag = 500, '"bad"'
    caplog.clear()
    reminded = []
    for minutes in range(0, 27 * 60, 5):
        desk.now = began + 60 * minutes
        await desk.feed.refresh()
        reminded += [minutes / 60] * ("the list is over a day old" in caplog.text)
        caplog.clear()
    assert reminded == [24 + 5 / 60, 25 + 5 / 60, 26 + 5 / 60]
    source.status = 200
    assert (await desk.feed.refresh()).good
    source.status, source.etag = 500, '"worse"'
    desk.now += 86400
    await desk.feed.refresh()
    assert "over a day old" not in caplog.text


async def test_the_log_says_once_an_hour_that_there_is_no_list(
    source: Source, settings: Regions, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk(settings)
    source.status = 500
    for desk.now in (1e9, 1e9 + 3599):
        desk.feed._reminded_at = 1e9
        await desk.feed.refresh()
    assert "or missing" not in caplog.text
    desk.now = 1e9 + 3600
    await desk.feed.refresh()
    assert "old, or missing: " in caplog.text
    assert "there is no list yet" in caplog.text
