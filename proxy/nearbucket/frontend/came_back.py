"""The rule of ``redirect.came_back``: tells clients that cannot use redirects from crowds.

An asker is all that has one client address and one User-Agent: one client, or a crowd of machines
behind a NAT gateway. Both ask for an object again right after they were redirected to it: the
client because it cannot reach the bucket or does not follow redirects, the crowd because each
machine wants the object. What tells them apart:

* Nothing that was redirected asks again within ``SAME_MOMENT``, and one client is not redirected
  ``MANY`` times a minute: that is a crowd. It is redirected for ``HOLDS`` seconds, whatever it asks
  for; the same evidence prolongs that.
* One client that does not get through asks for the first object until it has it. At the third try
  the asker is stuck: this and every other object is streamed to it for ``HOLDS`` seconds.
* An asker that goes on to another object after one redirect got the first one. Each time, up to
  ``MOST_PASSED`` in a row, adds one to the number of tries that it takes to be stuck.
* While a target is down, redirects of a moment ago failed for everyone: an asker that is streamed
  to for that reason begins anew, also if it was found stuck in the last ``OUTAGE_BEGAN`` seconds.
* A stuck asker that asks for an object again within ``SAME_MOMENT``, or again after each of
  ``COMPLETE`` complete streams of it, wants it more than once: it is a crowd.

Nothing here is kept, and there is no clock: ``recent_redirects.py`` has the table. The reasoning is
in docs/design.md, the figures come from bench/redirect/returning.py.
"""

from __future__ import annotations

from typing import NamedTuple

SAME_MOMENT = 0.8
"""Seconds in which no client comes back by itself: tools wait for a second at least."""
MANY = 30
"""Redirects a minute of one client at most."""
TRIES = 3
"""The try of one object at which an asker is stuck, if it never went on after one redirect."""
MOST_PASSED = 5
COMPLETE = 3
HOLDS = 3600.0
"""Seconds for which a verdict holds."""
RENEWED_AFTER = 0.5
"""Seconds for which a worker redirects a crowd without another look: less than ``SAME_MOMENT``, so
that the next look sees that the crowd is still there."""

OUTAGE_BEGAN = 60.0
"""Seconds by which a target may have failed before it is known to be down."""

_MINUTE = 60.0
_MOST = 0xFFFF


class AskerState(NamedTuple):
    """What is known of one asker.

    Attributes:
        asker: Mark of site, address and User-Agent.
        asked: Mark of the last object and the Range.
        time: Monotonic time of the last try, or of the begin of the last stream.
        until: When the verdict ends: crowd; negative: stuck; 0: there is none.
        minute: When the minute began in which redirects are counted.
        claimed: Bytes that count as saved by the tries for this object.
        withheld: Bytes that were taken back, and are saved if the asker is a crowd.
        redirects: Number of redirects in this minute.
        tries: Redirects for this object in a row; of a stuck asker its complete streams.
        passed: How often it went on to another object after one redirect.
        head: Whether the tries are HEAD requests.
    """

    asker: int
    asked: int = 0
    time: float = 0.0
    until: float = 0.0
    minute: float = 0.0
    claimed: int = 0
    withheld: int = 0
    redirects: int = 0
    tries: int = 0
    passed: int = 0
    head: bool = False

    def is_stuck(self, now: float) -> bool:
        """Whether everything is streamed to it."""
        return -self.until > now

    def is_over(self, now: float, window: float) -> bool:
        """Whether it says nothing about a request of now."""
        return abs(self.until) <= now if self.until else now - self.time >= window


class Try(NamedTuple):
    """One request of an asker.

    Attributes:
        asked: Mark of the object and the Range.
        head: Whether the method is HEAD.
        size: Bytes that its redirect saves.
        now: Monotonic time.
    """

    asked: int
    head: bool
    size: int
    now: float


class Outcome(NamedTuple):
    """What follows from a redirect.

    Attributes:
        free_until: Until when the asker's redirects need no look; it is a crowd.
        taken_back: Bytes that were not saved after all; negative if they were.
        got_through: Whether this request is the first to show that the redirect before it served
            its purpose.
    """

    free_until: float = 0.0
    taken_back: int = 0
    got_through: bool = False


_NOTHING = Outcome()
_PASSED = Outcome(got_through=True)


def after_redirect(state: AskerState, request: Try, window: float) -> tuple[AskerState, Outcome]:
    """The state of an asker that has been redirected, and what follows."""
    asked, head, size, now = request
    if state.is_stuck(now):  # another worker came to that while this one answered
        return state, _NOTHING
    minute, redirects = state.minute, state.redirects + 1
    if now - minute >= _MINUTE:
        minute, redirects = now, 1
    if state.is_over(now, window):
        state = AskerState(state.asker)
    same = state.tries > 0 and state.asked == asked
    if same and state.head is not head:  # HEAD and GET are one try
        return state._replace(claimed=state.claimed + size), _NOTHING
    crowd = redirects > MANY or (same and now - state.time < SAME_MOMENT)
    if crowd or state.until:
        until = now + HOLDS if crowd else state.until
        return _crowd(state, request, until, minute, min(redirects, _MOST))
    follow = _tried_again if same else _went_on
    return follow(state, request, minute, redirects)


# Positional arguments: they take half the time of names.


def _crowd(
    state: AskerState, request: Try, until: float, minute: float, redirects: int
) -> tuple[AskerState, Outcome]:
    asked, head, _, now = request
    after = AskerState(state.asker, asked, now, until, minute, 0, 0, redirects, 1, 0, head)
    return after, Outcome(min(until, now + RENEWED_AFTER), -state.withheld)


def _tried_again(
    state: AskerState, request: Try, minute: float, redirects: int
) -> tuple[AskerState, Outcome]:
    asked, head, size, now = request
    asker, _, _, _, _, claimed, withheld, _, tries, passed, _ = state
    # An asker that got other objects may want this one twice: its bytes stay counted until it is
    # stuck.
    back = 0 if passed else claimed
    after = AskerState(
        asker, asked, now, 0.0, minute, claimed - back + size, withheld + back, redirects,
        min(tries + 1, _MOST), passed, head,
    )  # fmt: skip
    return after, Outcome(0.0, back)


def _went_on(
    state: AskerState, request: Try, minute: float, redirects: int
) -> tuple[AskerState, Outcome]:
    asked, head, size, now = request
    asker, _, _, _, _, _, withheld, _, tries, passed, _ = state
    got = tries == 1
    if got and passed < MOST_PASSED:
        passed += 1
    after = AskerState(asker, asked, now, 0.0, minute, size, withheld, redirects, 1, passed, head)
    return after, _PASSED if got else _NOTHING


def stuck(state: AskerState, asked: int, now: float) -> AskerState:
    """The state of an asker that does not get through; ``claimed`` bytes were not saved."""
    return AskerState(
        state.asker, asked, until=-(now + HOLDS), withheld=state.withheld + state.claimed
    )


def stream_began(state: AskerState, asked: int, now: float) -> AskerState:
    """The state of a stuck asker to which a stream begins."""
    if state.asked != asked:
        return state._replace(asked=asked, time=now, tries=0)
    if now - state.time < SAME_MOMENT:
        return _wants_more(state, now)
    return state._replace(time=now)


def target_down(state: AskerState, now: float) -> AskerState:
    """The state of an asker to which a stream begins because its target is down."""
    is_new = not state.until or -state.until > now + HOLDS - OUTAGE_BEGAN
    return AskerState(state.asker) if is_new else state


def stream_completed(state: AskerState, asked: int, now: float) -> AskerState:
    """The state of a stuck asker that has got an object whole."""
    if state.asked != asked:
        return state
    if state.tries + 1 >= COMPLETE:
        return _wants_more(state, now)
    return state._replace(tries=state.tries + 1)


def _wants_more(state: AskerState, now: float) -> AskerState:
    return AskerState(state.asker, state.asked, state.time, now + HOLDS, tries=1)
