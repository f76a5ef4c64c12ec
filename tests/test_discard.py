"""Truths about letting go: all of it goes, and the loop is never held for long."""

from __future__ import annotations

import asyncio
import weakref

from proxy.discard import let_go
from proxy.edge.memo import Memo


class Kept:
    """Something that tells when it is gone."""


async def test_everything_goes_a_little_in_each_turn_of_the_loop() -> None:
    count = 5000
    one = {number: Kept() for number in range(count)}
    two = {"last": Kept()}
    gone = [0]
    for each in (*one.values(), *two.values()):
        weakref.finalize(each, lambda: gone.__setitem__(0, gone[0] + 1))
    del each
    let_go(one, {}, two)
    steps = []
    while gone[0] <= count:
        before = gone[0]
        await asyncio.sleep(0)
        steps.append(gone[0] - before)
        assert len(steps) < count
    assert max(steps) <= 300
    assert not one
    assert not two


def test_where_no_loop_runs_nobody_waits() -> None:
    kept = Kept()
    gone = weakref.ref(kept)
    held = {"one": kept}
    let_go(held)
    del kept, held
    assert gone() is None


async def test_what_a_memo_forgets_is_no_longer_there_at_once() -> None:
    memo = Memo()
    memo.streams[None, b""] = None  # type: ignore[assignment]
    forgotten = memo.streams
    memo.forget()
    assert not memo.streams
    assert forgotten, "it goes later"
    await asyncio.sleep(0)
    assert not forgotten
