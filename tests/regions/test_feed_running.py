"""The feed over time: when it refreshes, what it logs, and a copy that cannot be written."""

from __future__ import annotations

import itertools
import logging
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nearbucket.config.settings import Regions
from nearbucket.errors import ConfigError
from nearbucket.regions.feed import RangesFeed, update
from nearbucket.regions.list_guard import RefreshResult
from tests.ranges_lists import document, row

if TYPE_CHECKING:
    from collections.abc import Callable

    from nearbucket.regions.ip_ranges import Ranges

    Put = Callable[[bytes], None]


class OverError(Exception):
    """Ends a feed that runs for ever."""


def listed(token: int) -> bytes:
    """A document with a number as its token."""
    return document(row("203.0.113.0/24"), syncToken=str(token))


@pytest.fixture
def settings(tmp_path: Path) -> Regions:
    """A file as the source, and a folder for the copy."""
    return Regions(source=str(tmp_path / "source.json"), cache=tmp_path / "cache" / "list.json")


@pytest.fixture
def put(settings: Regions) -> Put:
    """Writes the source; the change time counts up, as a clock's tick may be too coarse to."""
    times = itertools.count(1)

    def write(body: bytes) -> None:
        Path(settings.source).write_bytes(body)
        os.utime(settings.source, ns=(now := next(times) * 10**9, now))

    return write


async def pauses(
    settings: Regions,
    count: int,
    chance: float,
    *steps: Callable[[], None] | None,
    publish: Callable[[Ranges], Any] = lambda _: None,
) -> list[float]:
    """The first pauses of a running feed, in seconds; ``steps`` are called during them."""
    slept: list[float] = []
    waiting = list(steps)

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == count:
            raise OverError
        if waiting and (step := waiting.pop(0)) is not None:
            step()

    feed = RangesFeed(settings, publish, sleep=sleep, chance=lambda: chance)
    with pytest.raises(OverError):
        await feed.run()
    return slept


async def test_a_good_source_is_asked_once_a_period_give_or_take_a_tenth(
    settings: Regions, put: Put
) -> None:
    put(listed(1))
    assert await pauses(settings, 2, 0.5) == [3600.0, 3600.0]
    assert await pauses(settings, 1, 0.0) == [3240.0]
    assert await pauses(settings, 1, 1.0) == [pytest.approx(3960)]


async def test_after_a_failure_the_source_is_asked_in_seconds_then_ever_slower(
    settings: Regions,
) -> None:
    slept = await pauses(settings, 10, 1.0)
    assert slept == [2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 300.0, 300.0]
    assert await pauses(settings, 2, 0.0) == [1.0, 2.0]


async def test_a_short_period_bounds_the_retries_too(settings: Regions) -> None:
    often = settings.model_copy(update={"refresh": 5.0})
    assert await pauses(often, 4, 1.0) == [2.0, 4.0, 5.0, 5.0]


async def test_a_failure_of_years_does_not_overflow(settings: Regions) -> None:
    assert RangesFeed(settings, lambda _: None, chance=lambda: 1.0)._pause(10**9) == 300.0


async def test_one_good_answer_ends_the_retries(settings: Regions, put: Put) -> None:
    slept = await pauses(settings, 5, 0.5, None, lambda: put(listed(1)), lambda: put(b"{"))
    assert slept == [1.5, 3.0, 3600.0, 1.5, 3.0]


async def test_a_source_that_stays_broken_is_logged_once(
    settings: Regions, put: Put, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "nearbucket.regions.feed")
    bodies = (b"{", b"{}", b"[]", listed(1))
    await pauses(settings, 9, 0.5, None, None, None, *(partial(put, body) for body in bodies))
    levels = [(record.levelname, record.getMessage().split(":")[1]) for record in caplog.records]
    assert levels == [
        ("WARNING", " failed"),
        ("WARNING", " invalid"),
        ("INFO", " list 1 (2023-11-14-22-13-20) in use"),
        ("INFO", " the source is usable again (updated)"),
    ]
    assert settings.source in caplog.text


async def test_a_list_that_flaps_is_published_once_a_change_and_logged_in_one_line_each(
    settings: Regions, put: Put, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "nearbucket.regions.feed")
    published: list[Ranges] = []
    feed = RangesFeed(settings, published.append)
    for token in range(1, 16):
        put(listed(token))
        await feed.refresh()
        await feed.refresh()
    assert [ranges.token for ranges in published] == list(range(1, 16))
    assert len(caplog.records) == 15
    assert feed.results[RefreshResult.UNCHANGED] == 15


async def test_a_disk_that_takes_no_copy_costs_one_warning_and_no_list(
    settings: Regions, put: Put, caplog: pytest.LogCaptureFixture
) -> None:
    settings.cache.parent.write_bytes(b"a file where the folder belongs")
    published: list[Ranges] = []
    feed = RangesFeed(settings, published.append)
    for token in (1, 1, 2, 3):
        put(listed(token))
        assert (await feed.refresh()).good
    assert [ranges.token for ranges in published] == [1, 2, 3]
    warnings = [record for record in caplog.records if record.levelname != "INFO"]
    assert [record.levelname for record in warnings] == ["WARNING"]
    assert feed.warnings() == [warnings[0].getMessage()]
    settings.cache.parent.unlink()
    put(listed(4))
    assert await feed.refresh() is RefreshResult.UPDATED
    assert (feed.warnings(), settings.cache.read_bytes()) == ([], listed(4))


async def test_a_copy_that_was_deleted_comes_back(settings: Regions, put: Put) -> None:
    put(listed(1))
    feed = RangesFeed(settings, lambda _: None)
    await feed.refresh()
    settings.cache.unlink()
    assert [await feed.refresh() for _ in range(2)] == [RefreshResult.UNCHANGED] * 2
    assert settings.cache.read_bytes() == listed(1)
    assert not feed.cache_problem


async def test_a_list_that_could_not_be_handed_over_is_not_in_use(
    settings: Regions, put: Put
) -> None:
    put(listed(1))
    published: list[Ranges] = []

    def publish(ranges: Ranges) -> None:
        published.append(ranges)
        if len(published) == 1:
            raise OverError

    feed = RangesFeed(settings, publish)
    with pytest.raises(OverError):
        await feed.refresh()
    assert (feed.current, feed.confirmed_at, settings.cache.exists()) == (None, None, False)
    assert await feed.refresh() is RefreshResult.UPDATED


async def test_a_list_that_cannot_be_handed_over_is_tried_again_ever_slower(
    settings: Regions, put: Put, caplog: pytest.LogCaptureFixture
) -> None:
    put(listed(1))
    assert await pauses(settings, 3, 1.0, publish=lambda _: 1 // 0) == [2.0, 4.0, 8.0]
    assert caplog.text.count("could not be put into use") == 3


async def test_the_command_keeps_the_list_on_disk(settings: Regions, put: Put) -> None:
    put(listed(1))
    done = await update(settings)
    assert (done.result, done.ranges and done.ranges.token, done.problem) == (
        RefreshResult.UPDATED,
        1,
        "",
    )
    assert (await update(settings)).result is RefreshResult.UNCHANGED
    put(b"{}")
    done = await update(settings)
    assert (done.result, done.problem) == (RefreshResult.INVALID, "no syncToken")
    assert done.ranges is not None
    put(listed(0))
    assert (await update(settings)).result is RefreshResult.OLDER
    assert (await update(settings, force=True)).result is RefreshResult.UPDATED
    assert settings.cache.read_bytes() == listed(0)


async def test_the_command_fails_when_the_disk_takes_no_copy(settings: Regions, put: Put) -> None:
    put(listed(1))
    settings.cache.parent.write_bytes(b"a file where the folder belongs")
    with pytest.raises(ConfigError, match=r"regions.cache: no copy .*; let this process write"):
        await update(settings)
