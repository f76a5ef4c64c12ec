"""What the lanes tell each other when one passes a request to another.

What S3 already said about the request, the protocols that client connection, relay and aiohttp
lane show each other, and the answer to a connection over the limit.
"""

from __future__ import annotations

import sys
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import asyncio

    from nearbucket.frontend.decision_cache import CachedDecision
    from nearbucket.origin.error_response import ErrorResponse
    from nearbucket.origin.pool.signed_requests import SignedRequestCache

TOO_MANY_CONNECTIONS = (
    b"HTTP/1.1 503 Service Unavailable\r\nServer: nearbucket\r\nRetry-After: 5\r\n"
    b"Cache-Control: no-store\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)
"""The answer to a connection over ``limits.max_connections``; no request was read."""


class OriginAttempt(Enum):
    """What came of asking S3, where aiohttp is to answer."""

    NOT_COUNTED = auto()
    """Nothing that counts: S3's answer is one for the other lane, or there was none to ask."""
    FAILED = auto()
    """S3 failed once, which may be of the moment."""
    TIMED_OUT = auto()
    """S3 did not answer in time."""


class HandedBackRequest(NamedTuple):
    """A request that the streaming lane has not answered, for aiohttp to answer.

    Attributes:
        origin: What came of asking S3, or what S3 said.
        started: Monotonic time at which the request came.
    """

    origin: OriginAttempt | ErrorResponse
    started: float


class RelayRequest(NamedTuple):
    """A request for an object that the streaming lane is to answer.

    Attributes:
        chunk: Its bytes, for aiohttp if the streaming lane cannot answer.
        cached: Client and object.
        signed_requests: The bucket to ask.
        started: Monotonic time at which the request came.
        keep_alive: Whether the client's connection stays open.
    """

    chunk: bytes
    cached: CachedDecision
    signed_requests: SignedRequestCache
    started: float
    keep_alive: bool


class AiohttpProtocol(Protocol):
    """What the lane needs of the protocol it hands over to, beside asyncio's calls."""

    @property
    def unanswered(self) -> int:
        """Requests that will still be answered if the client sends nothing more."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """As of ``asyncio.Protocol``."""

    def connection_lost(self, exc: BaseException | None) -> None:
        """As of ``asyncio.Protocol``."""

    def data_received(self, data: bytes) -> None:
        """As of ``asyncio.Protocol``."""

    def pause_writing(self) -> None:
        """As of ``asyncio.Protocol``."""

    def resume_writing(self) -> None:
        """As of ``asyncio.Protocol``."""


class Downstream(Protocol):
    """The client's side of a relay: it is told how the answer ended."""

    def complete(self, now: float, *, keep_alive: bool) -> None:
        """It is written whole, at this monotonic time."""

    def abort_response(self) -> None:
        """It cannot be completed."""

    def hand_back(self, chunk: bytes, attempt: HandedBackRequest) -> None:
        """Nothing was sent: another lane has to answer."""


def peer_address(transport: asyncio.Transport) -> str | None:
    """The remote address of a connection; None where it has none."""
    name = transport.get_extra_info("peername")
    # all connections of a load balancer have one address: they share one text
    return sys.intern(name[0]) if isinstance(name, tuple) else None
