"""Who was sent away a moment ago: a client that asks again did not get through.

In: marks of redirects. Out: whether one was given so lately. Refuses to know clients and
objects, of which a mark is the hash, and to grow: two generations of ``MOST`` marks, about 100
bytes each, of which the older goes when the younger is full.

A mark stands for site, client address, User-Agent, Range, method and key. Two clients behind one
address that ask for the same within the window look like one that came back, and the second is
streamed: that costs money, not a download. Having been streamed, it is forgotten, so of a crowd
behind one address every other request is redirected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.decide.model import Request

MOST = 32_768


class Returns:
    """The redirects of one site's last seconds."""

    __slots__ = ("_before", "_now", "_window")

    def __init__(self, window: float) -> None:
        """Args: seconds for which a redirect is remembered."""
        self._window = window
        self._now: dict[int, float] = {}
        self._before: dict[int, float] = {}

    def came_back(self, mark: int, now: float) -> bool:
        """Whether this was sent away less than a window ago."""
        at = self._now.get(mark)
        if at is None:
            at = self._before.get(mark)
        return at is not None and now - at < self._window

    def sent_away(self, mark: int, now: float) -> None:
        """A redirect was given."""
        if len(self._now) >= MOST:
            self._before, self._now = self._now, {}
        self._now[mark] = now

    def served(self, mark: int) -> None:
        """It came back, and was streamed."""
        self._now.pop(mark, None)
        self._before.pop(mark, None)


def mark_of_client(site: str, client: str | None, request: Request) -> int:
    """The half of a mark that says who asks."""
    headers = request.headers
    return hash((site, client, headers.get(b"user-agent"), headers.get(b"range")))


def mark_of_object(method: str, key: str) -> int:
    """The half of a mark that says what for; both are joined by ``^``."""
    return hash((method, key))
