"""Since when targets are up or down, and the last times that they were down.

The supervisor looks once a second. What was before its start it does not know.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from nearbucket.telemetry.utc_text import utc_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

KEPT = 20
"""Ended outages that are kept."""

Name = tuple[str, ...]
"""Site, and region of the target or key of the origin."""


class Outage(NamedTuple):
    """A time in which a target or an origin was down.

    Attributes:
        name: Site, and region or key of the origin.
        since: Unix time from which on it was.
        until: Unix time at which it was up again, or no longer in use; None if it is down.
        why: Why it was, as far as that is known.
    """

    name: Name
    since: float
    until: float | None
    why: str

    def as_json(self) -> dict[str, Any]:
        """The outage as plain data."""
        site, target = self.name
        until = None if self.until is None else utc_text(self.until)
        return {
            "site": site,
            "target": target,
            "since": utc_text(self.since),
            "until": until,
            "why": self.why,
        }


class TargetTimes:
    """The outages of all targets and of origins that have failover buckets."""

    def __init__(self) -> None:
        self._down: dict[Name, Outage] = {}
        self._ended: deque[Outage] = deque(maxlen=KEPT)
        self._up_since: dict[Name, float] = {}

    def look(
        self, now: float, up: Mapping[Name, float], down: Mapping[tuple[str, str], str]
    ) -> None:
        """Note what is down now.

        Args:
            now: Unix time.
            up: ``nearbucket_target_up``.
            down: Why targets and origins are down.
        """
        why = {name: down.get((name[0], name[1]), "") for name, value in up.items() if not value}
        why |= {(site, target): text for (site, target), text in down.items()}
        for name, text in why.items():
            known = self._down.get(name)
            since = known.since if known else now
            self._down[name] = Outage(name, since, None, text or (known.why if known else ""))
        for name in [name for name in self._down if name not in why]:
            self._ended.appendleft(self._down.pop(name)._replace(until=now))
            self._up_since[name] = now
        for name in up:
            self._up_since.setdefault(name, now)
        self._up_since = {name: at for name, at in self._up_since.items() if name in up}

    def since(self, site: str, target: str) -> float | None:
        """Unix time since which it is as it is; None if it has not been seen yet."""
        name = site, target
        outage = self._down.get(name)
        return outage.since if outage else self._up_since.get(name)

    @property
    def outages(self) -> Iterator[Outage]:
        """Those of now, the longest first, and then the last ones that have ended."""
        yield from sorted(self._down.values(), key=lambda outage: outage.since)
        yield from self._ended
