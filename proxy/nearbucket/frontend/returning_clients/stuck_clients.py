"""The clients whose redirects fail (``came_back.py``), as far as this worker has found them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from nearbucket.frontend.returning_clients.came_back import HOLDS
from nearbucket.policy.model import UNKNOWN
from nearbucket.telemetry.utc_text import utc_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nearbucket.frontend.returning_clients.recent_redirects import RecentRedirects

MOST = 100
"""Clients that are kept: the last ones that were found."""
ADVICE = "open its egress to the target, or name it in opt_out.networks"
_ADVICE_FOR_CDN = "let it follow redirects to bypass.to, or name it in opt_out.networks"

_LONGEST = 200  # characters of a User-Agent that are shown


class StuckClient(NamedTuple):
    """A client whose redirects fail.

    Attributes:
        site: Name of the site.
        region: The client's region; ``UNKNOWN`` if redirects to the CDN fail.
        client: Its address.
        user_agent: Its User-Agent, shortened.
        key: The object that it asked for several times.
        since: Unix time at which that was found.
    """

    site: str
    region: str
    client: str
    user_agent: str
    key: str
    since: float

    @classmethod
    def of(cls, site: str, region: str, client: str, key: str, agent: bytes) -> StuckClient:
        """A client that is found to be stuck now.

        ``region`` is empty if redirects to the CDN fail; ``agent`` is the User-Agent as sent.
        """
        user_agent = agent.decode("utf-8", "replace")[:_LONGEST]
        return cls(site, region or UNKNOWN, client, user_agent, key, time.time())

    @property
    def advice(self) -> str:
        """What helps the client."""
        return _ADVICE_FOR_CDN if self.region == UNKNOWN else ADVICE

    def as_json(self) -> dict[str, str]:
        """The client for ``/api/status``, with the times from when and until when it is stuck."""
        times = {"since": utc_text(self.since), "until": utc_text(self.since + HOLDS)}
        return {**self._asdict(), **times, "advice": self.advice}

    def warning(self) -> str:
        """A line for the log; what the client sent is quoted."""
        where = "to the CDN" if self.region == UNKNOWN else f"in {self.region}"
        return (
            f"redirects of client {self.client} {where} ({self.user_agent!r}) seem to "
            f"fail at site {self.site}: it asked for {self.key!r} several times in a row. "
            "Everything is streamed to it for an hour, or until it turns out to want the object "
            f"more than once; {self.advice}"
        )


class StuckClients:
    """The last stuck clients, each for as long as it is stuck."""

    __slots__ = ("_clients",)

    def __init__(self) -> None:
        self._clients: dict[int, StuckClient] = {}

    def add(self, asker: int, client: StuckClient) -> None:
        """Keep a client; ``asker`` is its mark."""
        self._clients.pop(asker, None)
        self._clients[asker] = client
        if len(self._clients) > MOST:
            del self._clients[next(iter(self._clients))]

    def current(
        self, recent_redirects: Mapping[str, RecentRedirects], now: float
    ) -> tuple[StuckClient, ...]:
        """Those that are stuck at this monotonic time, by the recent redirects of each site."""
        self._clients = {
            asker: client
            for asker, client in self._clients.items()
            if (redirects := recent_redirects.get(client.site)) and redirects.is_stuck(asker, now)
        }
        return tuple(self._clients.values())
