"""Requests the rest of a body that S3 dropped, from the same origin or from another one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple, Protocol

from nearbucket.errors import OriginError
from nearbucket.origin.failover.origin_breaker import is_failure

if TYPE_CHECKING:
    from collections.abc import Sequence

    import aiohttp

PAUSE = 0.1
"""Seconds before the second attempt; twice as long before each further one, up to ten times."""

_MOST_PAUSES = 10
_PARTIAL_CONTENT = 206


class RestSource(Protocol):
    """An origin (``OriginClient``), as far as it is needed here."""

    failover: str

    @property
    def is_down(self) -> bool:
        """Whether other origins are asked before it."""

    async def rest(self, path: str, wanted: dict[str, str]) -> aiohttp.ClientResponse:
        """The response to a GET with these header fields; raises ``OriginError``."""

    def on_failover(self) -> None:
        """Count a request that it answers instead of another origin."""


class RestResponse(NamedTuple):
    """A response with the rest, and the failover bucket that sent it; empty if it is the origin."""

    response: aiohttp.ClientResponse
    failover: str


class RestOfBody:
    """Requests the rest of one body.

    From another origin than the one that sent the beginning it takes only an object with the same
    strong ETag: the client already has bytes, and the head of the answer.
    """

    def __init__(self, sources: Sequence[tuple[RestSource, str]]) -> None:
        """Take the origins and the object's path in each; the first sent the beginning."""
        self._sources = list(sources)
        self._began = sources[0][0]

    async def __call__(self, attempt: int, wanted: dict[str, str]) -> RestResponse:
        """Ask each origin until one has the rest.

        Args:
            attempt: Number of the attempt, from 1, by which it waits.
            wanted: Header fields: ``range`` and ``if-match``.

        Returns:
            The rest; or a response of the one origin left, which shows that it has another
            version of the object, or none.

        Raises:
            OriginError: No origin answers now; another attempt may help.
        """
        if attempt > 1:
            await asyncio.sleep(PAUSE * min(2 ** (attempt - 2), _MOST_PAUSES))
        failure: OriginError | None = None
        for source, path in sorted(self._sources, key=lambda each: each[0].is_down):
            try:
                response = await source.rest(path, wanted)
            except OriginError as error:
                failure = failure or error
                continue
            same = response.headers.get("ETag") == wanted["if-match"]
            if response.status == _PARTIAL_CONTENT and same:
                if source.failover and source is not self._began:
                    source.on_failover()
                return RestResponse(response, source.failover)
            if is_failure(response.status):
                failure = failure or OriginError(502, f"S3 answered {response.status}")
            elif len(self._sources) == 1:
                return RestResponse(response, source.failover)
            else:
                self._sources.remove((source, path))
            response.close()
        raise failure or OriginError(502, "no origin has the rest of this version")
