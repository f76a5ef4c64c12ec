"""What the harness tells of bytes is right: otherwise no scene could fail."""

from __future__ import annotations

from collections import Counter
from math import inf

import pytest

from tests.story.books import Books
from tests.story.versions import BLOCK, FOREIGN, Content, History, body, content

SIZE = 10 * BLOCK + 7
OLD, NEW, OTHERS = (body("a", version, SIZE) for version in (1, 2, FOREIGN))


def history() -> History:
    return History(SIZE, began={1: 10.0, 2: 20.0}, done={1: 11.0, 2: 21.0})


@pytest.mark.parametrize(
    ("data", "first", "versions", "whole"),
    [
        (NEW, 0, {2}, True),
        (OLD[700:900], 700, {1}, True),
        (OTHERS, 0, {FOREIGN}, True),
        (OLD[:600] + NEW[600:], 0, {1, 2}, True),
        (NEW[BLOCK:], 0, {2}, False),
        (body("b", 2, SIZE), 0, {2}, False),
        (NEW + b"\x20", 0, {2}, False),
    ],
    ids=["new", "part of old", "foreign", "mixed", "elsewhere", "other object", "too long"],
)
def test_bytes_show_their_version_and_their_place(
    data: bytes, first: int, versions: set[int], *, whole: bool
) -> None:
    assert content(data, "a", history(), first) == Content(frozenset(versions), whole)


def test_a_version_is_old_from_the_end_of_its_successors_upload_on() -> None:
    known = history()
    assert [known.old_for(1, when) for when in (12.0, 20.5, 24.0)] == [0, 0, 3]
    assert known.old_for(2, 100.0) == 0
    assert known.old_for(FOREIGN, 100.0) == inf


def test_books_that_differ_say_where() -> None:
    seen = Counter({"in-region": 2})
    right = Books((2, 2, 2), (seen, seen, seen), (7, 7, 7), (1_000_000, 1_005_000))
    assert right.differences() == []
    fewer = ((2, 2, 2), (seen, seen, seen), (7, 7, 7), (900_000, 1_000_000))
    assert Books(*fewer, repeated=95_000).differences() == []
    assert Books(*fewer, repeated=80_000).differences() == ["saved 900000 / 1000000 bytes"]
    wrong = Books((2, 2, 3), (seen, Counter(), seen), (7, 8, 7), (1_000_000, 900_000))
    assert wrong.differences() == [
        "requests 2 / 2 / 3", "streamed 7 / 8 / 7", "reasons log in-region 0/2",
        "saved 1000000 / 900000 bytes",
    ]  # fmt: skip
