"""The rule of ``redirect.came_back``: tells clients whose redirects fail from crowds.

An *asker* is everything with one client address and one User-Agent: one client, or a crowd of
machines behind a NAT gateway. Both ask for an object again soon after they were redirected to it:
the client because it cannot reach the bucket or does not follow redirects, the crowd because each
machine wants the object. What tells them apart:

* A client waits for a moment before it tries again. So an asker that asks for one object twice
  within ``SAME_MOMENT`` seconds, or is redirected more than ``MANY`` times a minute, is a *crowd*.
  It is redirected for ``HOLDS`` seconds after the last such evidence, whatever it asks for.
* A client whose redirects fail asks for its first object until it has it. At the third try in a row
  the asker is *stuck*: this and every other object is streamed to it for ``HOLDS`` seconds. A HEAD
  and a GET are one try; a second HEAD or a second GET begins the next one.
* An asker that goes on to another object after one redirect *got through*: it has the first one.
  Each time, up to ``MOST_PASSED`` times in a row, it is allowed one more try.
* When a target is found to be down, the last redirects to it failed for everyone. So the tries of
  an asker are forgotten when an object is streamed to it because its target is down, also if it
  was found stuck in the last ``OUTAGE_BEGAN`` seconds.
* A stuck asker that asks for an object again within ``SAME_MOMENT``, or again after each of
  ``COMPLETE`` complete streams of it, is not one client: it is a crowd.

These are functions of state and time; ``recent_redirects.py`` has the table of states. Reasons are
in docs/design.md, the figures come from bench/redirect/returning.py.
"""

from __future__ import annotations

from typing import NamedTuple

SAME_MOMENT = 0.8
"""Seconds within which one client does not try again: tools wait for a second at least."""
MANY = 30
"""Redirects that one client gets in a minute at most."""
TRIES = 3
"""The try of one object at which an asker is stuck, if it never got through."""
MOST_PASSED = 5
"""Tries that an asker is allowed in addition, because it got through, at most."""
COMPLETE = 3
"""Complete streams of one object by which a stuck asker turns out to be a crowd."""
HOLDS = 3600.0
"""Seconds for which an asker counts as stuck, or as a crowd."""
RENEWED_AFTER = 0.5
"""Seconds for which a worker redirects a crowd without the table: less than ``SAME_MOMENT``, so
that the next request that is looked up shows whether the crowd is still there."""

OUTAGE_BEGAN = 60.0
"""Seconds that may pass from a target's first failure until it is known to be down."""

_MINUTE = 60.0
_MOST = 0xFFFF

GET, HEAD = 1, 2
"""Bits of ``AskerState.methods``."""


class AskerState(NamedTuple):
    """What is known of one asker.

    Attributes:
        asker: Hash of site, address and User-Agent.
        asked: Hash of the object and the Range that it asked for last.
        time: Monotonic time of the last try, or of the start of the last stream.
        until: Monotonic time until which it is a crowd; negated: until which it is stuck; 0: it is
            neither.
        minute: Monotonic time at which the minute began in which redirects are counted.
        claimed: Bytes that count as saved by the tries for this object.
        withheld: Bytes that were subtracted from the savings, to be added again if the asker turns
            out to be a crowd.
        redirects: Number of redirects in this minute.
        tries: Redirects for this object in a row; of a stuck asker, its complete streams.
        passed: How often in a row it got through, up to ``MOST_PASSED``.
        methods: Methods of the last try: ``GET``, ``HEAD``, or both.
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
    methods: int = 0

    def is_stuck(self, now: float) -> bool:
        """Whether it is stuck: everything is streamed to it."""
        return -self.until > now

    def is_over(self, now: float, window: float) -> bool:
        """Whether this state has expired."""
        return abs(self.until) <= now if self.until else now - self.time >= window


class Try(NamedTuple):
    """One request of an asker.

    Attributes:
        asked: Hash of the object and the Range.
        method: ``GET`` or ``HEAD``.
        size: Bytes that its redirect is counted to save.
        now: Monotonic time.
    """

    asked: int
    method: int
    size: int
    now: float


class Outcome(NamedTuple):
    """What follows from a redirect.

    Attributes:
        free_until: Monotonic time until which the asker, a crowd, is redirected without the table.
        taken_back: Bytes to subtract from the savings; negative: to add again.
        got_through: Whether this request shows that the redirect before it worked.
    """

    free_until: float = 0.0
    taken_back: int = 0
    got_through: bool = False


_NOTHING = Outcome()
_PASSED = Outcome(got_through=True)


def after_redirect(state: AskerState, request: Try, window: float) -> tuple[AskerState, Outcome]:
    """The state of an asker that has been redirected, and what follows."""
    asked, method, _, now = request
    if state.is_stuck(now):  # by a request that another worker handled meanwhile
        return state, _NOTHING
    minute, redirects = state.minute, state.redirects + 1
    if now - minute >= _MINUTE:
        minute, redirects = now, 1
    if state.is_over(now, window):
        state = AskerState(state.asker)
    same = state.tries > 0 and state.asked == asked
    if same and not state.methods & method:
        return _rest_of_try(state, request)
    crowd = redirects > MANY or (same and now - state.time < SAME_MOMENT)
    if crowd or state.until:
        until = now + HOLDS if crowd else state.until
        return _crowd(state, request, until, minute, min(redirects, _MOST))
    follow = _tried_again if same else _went_on
    return follow(state, request, minute, redirects)


def _rest_of_try(state: AskerState, request: Try) -> tuple[AskerState, Outcome]:
    _, method, size, now = request
    after = state._replace(time=now, claimed=state.claimed + size, methods=state.methods | method)
    return after, Outcome(min(state.until, now + RENEWED_AFTER))


# Positional arguments: they take half the time of names.


def _crowd(
    state: AskerState, request: Try, until: float, minute: float, redirects: int
) -> tuple[AskerState, Outcome]:
    asked, method, _, now = request
    after = AskerState(state.asker, asked, now, until, minute, 0, 0, redirects, 1, 0, method)
    return after, Outcome(min(until, now + RENEWED_AFTER), -state.withheld)


def _tried_again(
    state: AskerState, request: Try, minute: float, redirects: int
) -> tuple[AskerState, Outcome]:
    asked, method, size, now = request
    asker, _, _, _, _, claimed, withheld, _, tries, passed, _ = state
    # An asker that got other objects may want this one twice: what it saved stays counted until it
    # is stuck.
    back = 0 if passed else claimed
    saved = claimed - back + size, withheld + back
    tried = min(tries + 1, _MOST), passed, method
    after = AskerState(asker, asked, now, 0.0, minute, *saved, redirects, *tried)
    return after, Outcome(0.0, back)


def _went_on(
    state: AskerState, request: Try, minute: float, redirects: int
) -> tuple[AskerState, Outcome]:
    asked, method, size, now = request
    asker, _, _, _, _, _, withheld, _, tries, passed, _ = state
    got = tries == 1
    if got and passed < MOST_PASSED:
        passed += 1
    after = AskerState(asker, asked, now, 0.0, minute, size, withheld, redirects, 1, passed, method)
    return after, _PASSED if got else _NOTHING


def stuck(state: AskerState, asked: int, now: float) -> AskerState:
    """The state of an asker that is found stuck; ``claimed`` bytes were not saved."""
    return AskerState(
        state.asker, asked, until=-(now + HOLDS), withheld=state.withheld + state.claimed
    )


def stream_began(state: AskerState, asked: int, now: float) -> AskerState:
    """The state of a stuck asker when a stream to it begins."""
    if state.asked != asked:
        return state._replace(asked=asked, time=now, tries=0)
    if now - state.time < SAME_MOMENT:
        return _wants_more(state, now)
    return state._replace(time=now)


def target_down(state: AskerState, now: float) -> AskerState:
    """The state of an asker when a stream to it begins because its target is down."""
    is_new = not state.until or -state.until > now + HOLDS - OUTAGE_BEGAN
    return AskerState(state.asker) if is_new else state


def stream_completed(state: AskerState, asked: int, now: float) -> AskerState:
    """The state of a stuck asker when a stream to it is complete."""
    if state.asked != asked:
        return state
    if state.tries + 1 >= COMPLETE:
        return _wants_more(state, now)
    return state._replace(tries=state.tries + 1)


def _wants_more(state: AskerState, now: float) -> AskerState:
    return AskerState(state.asker, state.asked, state.time, now + HOLDS, tries=1)
