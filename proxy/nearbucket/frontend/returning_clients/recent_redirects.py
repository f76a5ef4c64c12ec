"""The redirects of the last minutes, by asker, in a table that all workers share.

An asker is everything with one client address and one User-Agent. The table has its last redirects,
from which the rule in ``came_back.py`` tells whether redirects fail.

Marks are hashes. The table has ``SLOTS`` slots and does not grow: an asker replaces another one in
the same slot, unless that is stuck. Nothing is locked. If two workers write one slot at the same
time, one redirect is not counted, or the slot becomes a mixture that belongs to no asker.
"""

from __future__ import annotations

from enum import IntEnum
from hashlib import blake2b
from mmap import mmap
from struct import Struct
from typing import TYPE_CHECKING

from nearbucket.frontend.returning_clients.came_back import (
    OUTAGE_BEGAN,
    SAME_MOMENT,
    TRIES,
    AskerState,
    Outcome,
    Try,
    after_redirect,
    stream_began,
    stream_completed,
    stuck,
    target_down,
)
from nearbucket.frontend.returning_clients.sibling_ranges import RANGES_SIZE, SiblingRanges
from nearbucket.policy.model import Reason

if TYPE_CHECKING:
    from nearbucket.policy.model import Request

STREAMED_INSTEAD = frozenset({
    Reason.NOT_REPLICATED, Reason.UNVERIFIED, Reason.UNREADABLE, Reason.ABSENT, Reason.SMALL,
    Reason.OPT_OUT, Reason.CREDENTIALS, Reason.NO_TARGET, Reason.PATH, Reason.MUTABLE,
    Reason.PERCENT, Reason.SHADOW, Reason.OFF,
})  # fmt: skip
"""Reasons of streams of what may have been redirected before: the copy, the client's request or the
configuration is another one now."""

SLOTS = 1 << 16
_TO_CDN = 1 << 63 | 1
"""Turns the mark of an asker into that for redirects to the CDN, in the next slot."""
_STATE = Struct("=QQdddQQHHHBx")
"""An ``AskerState`` in 64 bytes, one cache line of the processor."""
_ASKERS = SLOTS * _STATE.size
SIZE = _ASKERS + RANGES_SIZE
"""Bytes of the memory that the workers share: the states of askers, and the table of ranges."""


class SharedTable:
    """The table, in memory that other processes may map as well.

    Attributes:
        askers: The states of askers.
        ranges: The answers to ranges.
    """

    __slots__ = ("askers", "ranges")

    def __init__(self, file: int | None = None) -> None:
        """Map ``SIZE`` bytes.

        Args:
            file: Descriptor of memory that processes share; by default memory of this one alone.
        """
        view = memoryview(mmap(-1 if file is None else file, SIZE))  # pages as they are used
        self.askers = view[:_ASKERS]
        self.ranges = SiblingRanges(view[_ASKERS:], file)


class AskerVerdict(IntEnum):
    """What the table says of a request before it is answered."""

    NOTHING = 0
    CAME_BACK = 1
    """Its last redirect was for the same object and may have failed. It is redirected again."""
    STUCK = 2
    """The asker is stuck: the request is streamed."""


NOTHING, CAME_BACK, STUCK = AskerVerdict


class RecentRedirects:
    """The recent redirects of one site.

    Attributes:
        window: For how many seconds a redirect counts as the last one; 0 if ``came_back`` is off.
        counts_ranges: Whether answers to ranges are counted, because copies are compared.
    """

    __slots__ = ("_askers", "counts_ranges", "window")

    def __init__(self, window: float, table: SharedTable, *, counts_ranges: bool = False) -> None:
        """Use the table of all sites."""
        self.window = window
        self.counts_ranges = counts_ranges
        self._askers = table.askers

    def verdict(self, asker: int, asked: int, now: float, method: int) -> AskerVerdict:
        """Whether the asker of a request came back, or is stuck; changes nothing.

        Args:
            asker: Mark of the asker.
            asked: Mark of the object and the Range.
            now: Monotonic time.
            method: ``GET`` or ``HEAD``.
        """
        if not self.window:
            return NOTHING
        state = self._state(asker)
        if state.is_stuck(now):
            return STUCK
        if (
            state.until
            or state.asked != asked
            or not state.methods & method
            or not SAME_MOMENT <= now - state.time < self.window
        ):
            return NOTHING
        return STUCK if state.tries + 1 >= TRIES + state.passed else CAME_BACK

    def stuck(self, asker: int, asked: int, now: float) -> int | None:
        """Note that an asker is stuck; return the bytes it did not save, None if known before."""
        state = self._state(asker)
        if state.is_stuck(now):
            return None
        self._write(stuck(state, asked, now))
        return state.claimed

    def is_stuck(self, asker: int, now: float) -> bool:
        """Whether an asker is stuck: everything is streamed to it."""
        return self.window > 0 and self._state(asker).is_stuck(now)

    def after_redirect(self, asker: int, request: Try) -> Outcome:
        """Note a redirect for the rule, and return what follows from it."""
        state = self._slot(asker)
        if state.asker != asker:
            if state.is_stuck(request.now):
                return Outcome()
            state = AskerState(asker)
        after, outcome = after_redirect(state, request, self.window)
        self._write(after)
        return outcome

    def stream_began(self, asker: int, asked: int, now: float) -> int:
        """Note that a stream to a stuck asker begins; return the bytes that it saved after all."""
        state = self._state(asker)
        return self._streamed(state, stream_began(state, asked, now), now)

    def stream_completed(self, asker: int, asked: int, now: float) -> int:
        """Note that such a stream is complete; return the bytes that the asker saved after all."""
        state = self._state(asker)
        return self._streamed(state, stream_completed(state, asked, now), now)

    def target_down(self, asker: int, asked: int, now: float) -> int:
        """Note a stream because the target is down; return the bytes that were not saved."""
        state = self._slot(asker)
        after = target_down(state, now)
        if state.asker != asker or after is state:
            return 0
        self._write(after)
        is_recent = state.asked == asked and now - state.time < OUTAGE_BEGAN
        return state.claimed if is_recent else 0

    def streamed_instead(self, asker: int, asked: int, now: float) -> int:
        """Note a stream of what may be redirected at other times; return the bytes not saved.

        If it was redirected a short time ago, the client has not got it there.
        """
        state = self._slot(asker)
        if state.asker != asker or state.asked != asked or state.until or not state.claimed:
            return 0
        if not SAME_MOMENT <= now - state.time < self.window:
            return 0
        self._write(AskerState(asker))
        return state.claimed

    def sent_to_cdn(self, asker: int, asked: int, now: float) -> int:
        """Note a redirect to the CDN of what may have been redirected to a target before.

        Args:
            asker: Mark of the asker for redirects to the CDN.
            asked: Mark of the object and the Range.
            now: Monotonic time.

        Returns:
            The bytes that were not saved, as ``streamed_instead``.
        """
        return self.streamed_instead(asker ^ _TO_CDN, asked, now)

    def _streamed(self, before: AskerState, after: AskerState, now: float) -> int:
        if not before.is_stuck(now):
            return 0
        self._write(after)
        return 0 if after.is_stuck(now) else before.withheld

    def _state(self, asker: int) -> AskerState:
        state = self._slot(asker)
        return state if state.asker == asker else AskerState(asker)

    def _slot(self, asker: int) -> AskerState:
        """The state in an asker's slot, which may be another one's."""
        return AskerState._make(_STATE.unpack_from(self._askers, asker % SLOTS * _STATE.size))

    def _write(self, state: AskerState) -> None:
        _STATE.pack_into(self._askers, state.asker % SLOTS * _STATE.size, *state)


def mark_of_asker(site: str, client: str | None, request: Request, *, cdn: bool = False) -> int:
    """The mark of site, client address and User-Agent; another one for redirects to the CDN.

    A client may reach the CDN and not the target, and ask for objects of both by turns.
    """
    agent = request.headers.get(b"user-agent", b"")
    mark = _hashed(site.encode(), (client or "").encode(), agent)
    return mark ^ _TO_CDN if cdn else mark


def mark_of_object(key: str) -> int:
    """The mark of an object; marks are joined by ``^``."""
    return _hashed(key.encode())


def mark_of_range(request: Request) -> int:
    """The mark of a request's Range; 0 without one."""
    part = request.headers.get(b"range")
    return 0 if part is None else _hashed(part)


def _hashed(*parts: bytes) -> int:
    """A hash that is the same in every process, unlike ``hash``."""
    return int.from_bytes(blake2b(b"\0".join(parts), digest_size=8).digest(), "little")
