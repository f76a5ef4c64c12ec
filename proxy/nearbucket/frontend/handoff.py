"""What one lane tells another when it passes on a request, and the protocols between the lanes."""

from __future__ import annotations

import sys
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple, Protocol

from nearbucket.errors import OriginError
from nearbucket.origin.failover.failover import EarlierAttempt

if TYPE_CHECKING:
    import asyncio

    from nearbucket.frontend.limits.client_pace import ClientPace
    from nearbucket.origin.client import OriginClient
    from nearbucket.origin.error_response import ErrorResponse

TOO_MANY_CONNECTIONS = (
    b"HTTP/1.1 503 Service Unavailable\r\nServer: nearbucket\r\nRetry-After: 5\r\n"
    b"Cache-Control: no-store\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)
"""The answer to a connection over ``limits.max_connections``; no request was read."""


class OriginAttempt(Enum):
    """What came of the streaming lane's request to S3, before the aiohttp lane makes its own."""

    NOT_COUNTED = auto()
    """It does not count as an attempt: no request, or a response for the aiohttp lane."""
    FAILED = auto()
    """S3 failed once; the next attempt may succeed."""
    TIMED_OUT = auto()
    """S3 did not answer in time."""


class HandedBackRequest(NamedTuple):
    """A request that the streaming lane leaves to the aiohttp lane.

    Attributes:
        origin: What came of the request to S3; S3's error, where it has no object to send.
        started: Monotonic time at which the request came.
        asked: The origin that the request was sent to.
    """

    origin: OriginAttempt | ErrorResponse
    started: float
    asked: OriginClient

    def earlier(self) -> EarlierAttempt | None:
        """What the request to S3 means for the next one."""
        match self.origin:
            case OriginAttempt.NOT_COUNTED:
                return None
            case OriginAttempt.FAILED:
                return EarlierAttempt(self.asked, None)
            case OriginAttempt.TIMED_OUT:
                return EarlierAttempt(self.asked, OriginError(504, "S3 did not answer in time"))
            case error:
                return EarlierAttempt(self.asked, error)


class AiohttpProtocol(Protocol):
    """The aiohttp lane's protocol of one connection, as the client connection uses it."""

    @property
    def unanswered(self) -> int:
        """Requests that will still be answered if the client sends nothing more."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See ``asyncio.Protocol``."""

    def connection_lost(self, exc: BaseException | None) -> None:
        """See ``asyncio.Protocol``."""

    def data_received(self, data: bytes) -> None:
        """See ``asyncio.Protocol``."""

    def pause_writing(self) -> None:
        """See ``asyncio.Protocol``."""

    def resume_writing(self) -> None:
        """See ``asyncio.Protocol``."""


class Downstream(Protocol):
    """A client connection, as the relay reports the end of an answer to it."""

    def begin_pace(self) -> ClientPace:
        """The speed of the client, to which a long body is sent from now on."""

    def complete(self, now: float, *, keep_alive: bool) -> None:
        """The whole answer is written, at this monotonic time."""

    def abort_response(self) -> None:
        """The answer cannot be completed."""

    def hand_back(self, chunk: bytes, attempt: HandedBackRequest) -> None:
        """Nothing of the answer is sent: the aiohttp lane has to answer these bytes."""


def peer_address(transport: asyncio.Transport) -> str | None:
    """The remote address of a connection; None if it has none (a Unix socket)."""
    name = transport.get_extra_info("peername")
    # all connections of a load balancer have one address: they share one text
    return sys.intern(name[0]) if isinstance(name, tuple) else None
