"""Downloads in several ranges at a change of their object: each gets one version."""

from __future__ import annotations

import os
import random
from mmap import mmap
from typing import TYPE_CHECKING

import pytest

from nearbucket.frontend.returning_clients.sibling_ranges import (
    AGAIN,
    NEW,
    NEXT,
    OLDER,
    PAUSE,
    QUIET,
    RANGES_SIZE,
    SLOTS,
    TOGETHER,
    TOLD,
    AskedRange,
    SiblingRanges,
    mark_of_bytes,
)
from nearbucket.replicas.replica_status import OlderCopy
from tests.frontend.returning_clients.changed_object import (
    CHANGED,
    LENGTH,
    MARK,
    OLDER_COPY,
    PARTS,
    SIZE,
    table,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nearbucket.frontend.returning_clients.sibling_ranges import RangeOf

ALL_KNOW = CHANGED + TOLD + 0.1


def redirected(parts: Iterable[int], *, ago: float = 0.1) -> SiblingRanges:
    ranges = table()
    for number, part in enumerate(parts):
        ranges.record(AskedRange(MARK, part, LENGTH), SIZE, CHANGED - ago + number / 1e6)
    return ranges


def asked(ranges: SiblingRanges, part: int, now: float = ALL_KNOW, waited: float = 0.0) -> RangeOf:
    return ranges.download_of(AskedRange(MARK, part, LENGTH), OLDER_COPY, now, now - waited)


def took(ranges: SiblingRanges, part: int) -> RangeOf:
    return ranges.take(AskedRange(MARK, part, LENGTH), OLDER_COPY, ALL_KNOW, ALL_KNOW)


def test_a_range_from_byte_0_is_told_from_the_others() -> None:
    assert [part & 1 for part in PARTS] == [1] + [0] * 7
    assert mark_of_bytes("bytes=0-") & 1


def test_while_a_download_is_under_way_only_a_range_from_byte_0_waits() -> None:
    for complete in ((), PARTS):
        ranges = redirected((*complete, *PARTS[:3]))
        assert [asked(ranges, part) for part in PARTS] == [NEXT] + [OLDER] * 7


def test_when_all_downloads_are_complete_a_range_from_byte_0_begins_the_new_version() -> None:
    ranges = redirected((*PARTS, *PARTS))
    assert [took(ranges, part) for part in (PARTS[0], *PARTS)] == [NEW] * 9


def test_the_other_ranges_of_a_new_download_wait_for_its_range_from_byte_0() -> None:
    ranges = redirected(PARTS)
    assert took(ranges, PARTS[5]) is NEXT
    assert took(ranges, PARTS[0]) is NEW
    assert took(ranges, PARTS[5]) is NEW


def test_a_download_that_missed_the_answer_to_its_last_range_gets_it_from_the_copy_again() -> None:
    assert asked(redirected(PARTS), PARTS[7], waited=AGAIN + 0.01) is OLDER


def test_a_range_from_byte_0_that_comes_with_others_of_its_download_is_redirected_as_they_are() -> (
    None
):
    ranges = redirected((*PARTS, *PARTS[2:4]), ago=-TOLD)  # a download that asks for several
    came = CHANGED + TOLD
    assert asked(ranges, PARTS[0], came + TOGETHER / 2) is OLDER
    assert asked(ranges, PARTS[0], came + TOGETHER * 2) is NEXT  # another download
    ranges.record(AskedRange(MARK, PARTS[5], LENGTH), SIZE, came + TOGETHER * 3)
    assert asked(ranges, PARTS[0], came + TOGETHER * 5, waited=TOGETHER * 3) is OLDER


def test_until_all_workers_know_of_the_change_every_range_is_redirected() -> None:
    for before in ((), PARTS[:3], PARTS):
        ranges = redirected(before)
        assert {asked(ranges, part, CHANGED + TOLD - 0.01) for part in PARTS} == {OLDER}


def test_a_change_after_the_change_is_another_one() -> None:
    ranges = redirected(PARTS)
    assert took(ranges, PARTS[0]) is NEW
    for part in PARTS[:3]:
        ranges.record(AskedRange(MARK, part, LENGTH), SIZE, CHANGED + 0.3)
    assert (
        ranges.download_of(
            AskedRange(MARK, PARTS[3], LENGTH),
            OlderCopy(CHANGED + 0.4, SIZE),
            CHANGED + 0.6,
            CHANGED + 0.6,
        )
        is OLDER
    )


def test_all_ranges_of_a_download_that_begins_after_the_change_are_of_the_new_version() -> None:
    for ranges in (table(), redirected(PARTS[:3], ago=PAUSE + 0.1)):
        for part in PARTS[3:] + PARTS[:3]:
            assert took(ranges, part) is NEW
            ranges.record(AskedRange(MARK, part, LENGTH), SIZE, ALL_KNOW)  # streamed


def test_what_was_counted_of_another_version_of_another_size_is_of_no_download() -> None:
    ranges = table()
    for part in PARTS[:3]:
        ranges.record(AskedRange(MARK, part, LENGTH), SIZE + 1, CHANGED - 0.1)
    assert took(ranges, PARTS[3]) is NEW


def test_an_empty_range_is_not_counted() -> None:
    ranges = redirected(PARTS)
    beyond = AskedRange(MARK, 8888, 0)
    assert ranges.take(beyond, OLDER_COPY, CHANGED + 0.1, CHANGED + 0.1) is OLDER
    assert took(ranges, PARTS[0]) is NEW


def test_an_asker_in_the_slot_of_another_one_has_not_begun_to_get_the_new_version() -> None:
    ranges = redirected(PARTS)
    assert took(ranges, PARTS[0]) is NEW
    other = AskedRange(MARK + SLOTS, PARTS[0], LENGTH)
    ranges.record(other, SIZE, ALL_KNOW)
    part = other._replace(part=PARTS[1])
    assert ranges.take(part, OLDER_COPY, ALL_KNOW, ALL_KNOW) is OLDER


def test_a_waiting_download_gets_the_new_version_when_the_older_ones_have_ended() -> None:
    ranges = redirected(PARTS[:3])
    ended = CHANGED - 0.1 + PAUSE + 0.01
    assert {asked(ranges, part, ended) for part in PARTS} == {NEW}


@pytest.mark.parametrize(
    ("mark", "ago"), [(MARK + 1, 0.1), (MARK, PAUSE + 0.1)], ids=["other", "old"]
)
def test_without_a_redirect_a_moment_ago_every_download_is_new(mark: int, ago: float) -> None:
    ranges = table()
    ranges.record(AskedRange(mark, PARTS[0], LENGTH), SIZE, CHANGED - ago)
    assert asked(ranges, PARTS[1]) is NEW


@pytest.mark.parametrize(("pause", "expected"), [(QUIET - 0.1, NEXT), (QUIET + 0.1, NEW)])
def test_ranges_that_were_repeated_are_forgotten_when_it_is_quiet(
    pause: float, expected: RangeOf
) -> None:
    ranges = redirected((PARTS[0], PARTS[1], PARTS[1]), ago=pause)
    for part in PARTS:
        ranges.record(AskedRange(MARK, part, LENGTH), SIZE, CHANGED)
    assert asked(ranges, PARTS[0]) is expected


def test_workers_that_share_the_memory_count_together() -> None:
    memory = memoryview(mmap(-1, RANGES_SIZE))
    one, other = SiblingRanges(memory), SiblingRanges(memory)
    for part in PARTS:
        (one if part & 2 else other).record(AskedRange(MARK, part, LENGTH), SIZE, CHANGED)
    assert took(one, PARTS[0]) is NEW
    assert took(other, PARTS[5]) is NEW


def test_ranges_that_processes_count_at_the_same_time_all_count() -> None:
    file = os.memfd_create("test")
    os.ftruncate(file, RANGES_SIZE)
    view, many = memoryview(mmap(file, RANGES_SIZE)), 5_000
    children = []
    for part in PARTS[1:3]:
        child = os.fork()
        if not child:
            ranges = SiblingRanges(view, file)
            for number in range(many):
                ranges.record(AskedRange(MARK, part, LENGTH), SIZE, CHANGED + number / 1e9)
            os._exit(0)
        children.append(child)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    ranges = SiblingRanges(view, file)
    for _ in range(many):
        ranges.record(AskedRange(MARK, PARTS[0], LENGTH), SIZE, CHANGED)
    for part in PARTS[3:]:
        for _ in range(many):
            ranges.record(AskedRange(MARK, part, LENGTH), SIZE, CHANGED)
    os.close(file)
    assert asked(ranges, PARTS[0]) is NEW  # nothing is missing


def test_a_range_that_is_taken_counts_if_it_is_of_an_older_download() -> None:
    ranges = redirected(PARTS[:7])
    took = [AskedRange(MARK, part, LENGTH) for part in (PARTS[0], PARTS[7], PARTS[0])]
    found = [ranges.take(each, OLDER_COPY, ALL_KNOW, ALL_KNOW) for each in took]
    assert found == [NEXT, OLDER, NEW]


def test_with_another_size_of_the_object_counting_begins_anew() -> None:
    ranges = redirected(PARTS[:3], ago=0.2)
    for part in PARTS:
        ranges.record(AskedRange(MARK, part, LENGTH), SIZE + 1, CHANGED - 0.1)
    ranges.record(AskedRange(MARK, PARTS[7] + 2, 1), SIZE + 1, CHANGED - 0.1)
    older = OlderCopy(CHANGED, SIZE + 1)
    first = AskedRange(MARK, PARTS[0], LENGTH)
    assert ranges.download_of(first, older, ALL_KNOW, ALL_KNOW) is NEW


def test_the_ranges_of_a_thousand_askers_have_room() -> None:
    chance, ranges = random.Random(1), table()  # noqa: S311  # not a secret
    marks = [chance.getrandbits(64) for _ in range(1000)]
    for part in PARTS[:4]:
        for mark in marks:
            ranges.record(AskedRange(mark, part, LENGTH), SIZE, CHANGED - 0.1)
    found = [
        ranges.download_of(AskedRange(mark, part, LENGTH), OLDER_COPY, ALL_KNOW, ALL_KNOW)
        for mark in marks
        for part in PARTS[4:]
    ]
    assert found.count(OLDER) > 0.99 * len(found)


def test_no_range_takes_the_slot_of_its_object() -> None:
    ranges = table()
    ranges.record(AskedRange(MARK, SLOTS * 3, LENGTH), SIZE, CHANGED)
    assert [asked(ranges, part) for part in PARTS] == [NEXT] + [OLDER] * 7
