"""The list that comes with a version: what it has, and when it is used."""

from __future__ import annotations

import gzip
import logging
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nearbucket.config.settings import AWS_LIST, Regions
from nearbucket.regions import built_in_list as module
from nearbucket.regions.built_in_list import built_in_list
from nearbucket.regions.feed import RangesFeed, stored_list, update
from nearbucket.regions.ip_ranges import read_ranges
from nearbucket.regions.ip_ranges_source import RangesCache, ranges_in_use
from nearbucket.regions.list_guard import RangesUse, RefreshResult, refusal
from nearbucket.regions.region_table import build_table, regions_of
from tests.ranges_lists import FOLDER, PUBLISHED, document, needs_published, row

if TYPE_CHECKING:
    from nearbucket.regions.ip_ranges import Ranges

FILE = Path(module.__file__).with_name("ip-ranges.json.gz")
BODY = gzip.decompress(FILE.read_bytes())
RANGES = read_ranges(BODY)
EC2 = RangesUse(("EC2",), {})


def as_of(token: int) -> bytes:
    """The built-in document with another token."""
    return BODY.replace(str(RANGES.token).encode(), str(token).encode(), 1)


# What it has


def test_the_built_in_list_is_a_whole_list_of_its_date_and_small() -> None:
    published = datetime.fromtimestamp(RANGES.token, UTC)
    assert f"{published:%Y-%m-%d-%H-%M-%S}" == RANGES.created
    assert published < datetime.now(UTC)
    assert RANGES.skipped_rows == 0
    assert refusal(None, RANGES, EC2, time.time()) is None
    regions = regions_of(RANGES, ("EC2",), {})
    assert {"us-east-1", "us-west-2", "eu-central-1", "cn-north-1", "us-gov-west-1"} <= regions
    assert len(regions) > 35
    v4, v6 = RANGES.addresses()
    assert v4 > 5e7
    assert v6 > 2**90
    assert FILE.stat().st_size < 2**18


@needs_published
def test_the_built_in_list_is_the_published_one_of_its_date() -> None:
    published = FOLDER / f"ip-ranges-{RANGES.date}.json"
    if published.is_file():
        assert published.read_bytes() == BODY
    assert built_in_list(AWS_LIST).is_same_list(RANGES)  # type: ignore[union-attr]
    assert build_table(RANGES, ("EC2",), {}).region(PUBLISHED.seoul) == "ap-northeast-2"


# When it is used


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Regions:
    """A file stands for AWS's URL; there is none yet."""
    source = str(tmp_path / "source.json")
    monkeypatch.setattr(module, "AWS_LIST", source)
    return Regions(source=source, cache=tmp_path / "cache" / "list.json")


class Started:
    """A feed, and the lists that were used: their tokens, and whether they were built in."""

    def __init__(self, settings: Regions, now: float) -> None:
        self.published: list[tuple[int, bool]] = []
        self.feed = RangesFeed(settings, self._take, clock=lambda: now)
        stored = stored_list(settings)
        if stored is not None:
            self.feed.adopt(stored)
            self._take(stored.ranges)

    def _take(self, ranges: Ranges) -> None:
        self.published.append((ranges.token, ranges.built_in))


def publish(settings: Regions, body: bytes) -> None:
    """Have the source return a document."""
    Path(settings.source).write_bytes(body)


def keep(settings: Regions, body: bytes, confirmed_at: float) -> None:
    """Put a copy on disk."""
    RangesCache(settings.cache, settings.source).save(body, None, read_ranges(body))
    os.utime(settings.cache, (confirmed_at, confirmed_at))


NOW = RANGES.token + 86400.0 * 100


async def test_without_a_copy_the_built_in_list_is_used_and_its_age_is_since_its_publication(
    settings: Regions, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    started = Started(settings, NOW)
    assert started.published == [(RANGES.token, True)]
    assert started.feed.confirmed_at == RANGES.token
    (warning,) = started.feed.warnings()
    assert f"the built-in list of prefixes of {RANGES.date} is used" in warning
    assert "(it is being fetched)" in warning
    assert f"ranges: built-in list {RANGES.token} ({RANGES.created}) in use" in caplog.text
    assert await started.feed.refresh() is RefreshResult.FAILED
    assert f"; the built-in list of {RANGES.date} stays in use" in caplog.text
    (warning,) = started.feed.warnings()
    assert f"(regions.source: {settings.source}: No such file or directory" in warning
    assert (started.published, started.feed.confirmed_at) == ([(RANGES.token, True)], RANGES.token)
    assert not settings.cache.exists()


@pytest.mark.parametrize(
    ("token", "result"),
    [
        pytest.param(RANGES.token + 1, RefreshResult.UPDATED, id="a-newer-list"),
        pytest.param(RANGES.token, RefreshResult.UNCHANGED, id="the-same-list"),
    ],
)
async def test_the_first_fetch_ends_it(
    settings: Regions, token: int, result: RefreshResult
) -> None:
    started = Started(settings, NOW)
    publish(settings, as_of(token))
    assert await started.feed.refresh() is result
    assert started.published == [(RANGES.token, True), (token, False)]
    assert (started.feed.warnings(), started.feed.confirmed_at) == ([], NOW)
    again = Started(settings, NOW)
    assert again.published == [(token, False)]


async def test_a_first_list_that_would_be_held_back_does_not_replace_it(settings: Regions) -> None:
    started = Started(settings, NOW)
    publish(settings, document(row("198.51.100.0/24"), syncToken=str(RANGES.token + 1)))
    assert await started.feed.refresh() is RefreshResult.SHRUNK
    assert started.published == [(RANGES.token, True)]
    assert "% fewer IPv4 addresses" in started.feed.warnings()[0]
    done = await update(settings)
    assert (done.result, settings.cache.exists()) == (RefreshResult.SHRUNK, False)


@pytest.mark.parametrize(
    ("token", "used"),
    [
        pytest.param(RANGES.token + 1, (RANGES.token + 1, False), id="newer"),
        pytest.param(RANGES.token, (RANGES.token, False), id="the-same"),
        pytest.param(RANGES.token - 1, (RANGES.token, True), id="older"),
    ],
)
async def test_the_newer_one_of_the_copy_and_the_built_in_list_is_used(
    settings: Regions, token: int, used: tuple[int, bool]
) -> None:
    keep(settings, as_of(token), NOW - 5)
    started = Started(settings, NOW)
    assert started.published == [used]
    assert started.feed.confirmed_at == (RANGES.token if used[1] else NOW - 5)
    ranges = ranges_in_use(settings, None)
    assert ranges is not None
    assert (ranges.token, ranges.built_in) == used


async def test_a_copy_that_cannot_be_used_leaves_the_built_in_list(settings: Regions) -> None:
    settings.cache.parent.mkdir()
    settings.cache.write_bytes(b"{")
    started = Started(settings, NOW)
    assert started.published == [(RANGES.token, True)]


async def test_another_source_than_aws_has_no_built_in_list(tmp_path: Path) -> None:
    settings = Regions(source="http://mirror.example/list.json", cache=tmp_path / "list.json")
    assert built_in_list(settings.source) is None
    assert ranges_in_use(settings, None) is None
    assert not Started(settings, NOW).published
