"""Asks one bucket for objects on connections of our own: the plain GETs, as bytes.

In: a key, and the one part of it that is wanted. Out: a signed request, a connection to send it
on, and, when S3 drops a body, the rest of it through aiohttp (``OriginClient``). It remembers the
head of an object's last response, but judges none, and knows neither clients nor conditions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nearbucket.origin.object_response import ObjectResponse
from nearbucket.origin.pool.response_head import HeadTemplate
from nearbucket.s3.http_session import COMMON, CONNECT

if TYPE_CHECKING:
    from collections.abc import Callable

    from nearbucket.origin.client import OriginClient
    from nearbucket.origin.pool.connection import UpstreamConnection
    from nearbucket.origin.pool.connection_pool import ConnectionPool
    from nearbucket.origin.response_headers import ResponseHead
    from nearbucket.s3.credentials import Credentials

SIGNATURE_REUSE = 60.0
"""Seconds a signed head is used again: S3 takes it for 15 minutes (SigV4, "x-amz-date"), and
this leaves 14 of them to a clock that is wrong."""

_MOST_REQUESTS = 4096


@dataclass(slots=True)
class SignedRequest:
    """An object that is asked for again and again.

    Attributes:
        request: The signed request for all of it.
        path: Its path.
        credentials: Who signed.
        until: Monotonic time until which the signature is used.
        head_template: What S3 said of all of it, where it was asked for more than once.
    """

    request: bytes
    path: str
    credentials: Credentials
    until: float
    head_template: HeadTemplate | None = None
    _asked_before: bool = False

    def for_range(self, range_: str) -> bytes:
        """The request for a part of it: a value of Range."""
        return b"%brange: %b\r\n\r\n" % (self.request[:-2], range_.encode("ascii"))

    def remember_head(self, head: bytes, response: ResponseHead) -> None:
        """Remember what S3 said of the whole object, from the second time on.

        Args:
            head: Its bytes.
            response: What they say.
        """
        if self._asked_before:
            self.head_template = HeadTemplate(head, response)
        self._asked_before = True


class SignedRequestCache:
    """One bucket.

    Attributes:
        on_status: Counts an answer of S3 by its status; 0 where none came in time.
        take: A connection that is free now, or None.
    """

    __slots__ = ("_origin", "_pool", "_requests", "on_status", "take")

    def __init__(self, origin: OriginClient, pool: ConnectionPool) -> None:
        """Args: the same bucket by way of aiohttp; the connections to its host."""
        self._origin = origin
        self.take = pool.take
        self._pool = pool
        self._requests: dict[str, SignedRequest] = {}
        counters = origin.counters
        self.on_status: Callable[[int], None] = counters.on_status if counters else _uncounted

    def get(self, key: str, now: float) -> SignedRequest | None:
        """How an object is asked for; None when the other way has to be taken.

        What the client asked is not signed, so a hot key's signature serves for every part of
        it until ``SIGNATURE_REUSE`` is over or the credentials change.

        Args:
            key: Object key, decoded, without the bucket's prefix.
            now: Monotonic time.
        """
        credentials = self._origin.signer.current()
        signed = self._requests.get(key)
        if signed is None or signed.credentials is not credentials or signed.until < now:
            return self._sign(key, credentials, now)
        return signed

    def _sign(self, key: str, credentials: Credentials | None, now: float) -> SignedRequest | None:
        origin = self._origin
        path = origin.path_of(key)
        if path is None or credentials is None:
            return None
        fields = origin.signer.headers_by(credentials, "GET", origin.host, path) | COMMON
        lines = "".join([f"{name}: {value}\r\n" for name, value in fields.items()])
        whole = f"GET {path} HTTP/1.1\r\n{lines}via: 1.1 nearbucket\r\n\r\n".encode("ascii")
        if len(self._requests) >= _MOST_REQUESTS:
            self._requests.clear()
        made = self._requests[key] = SignedRequest(whole, path, credentials, now + SIGNATURE_REUSE)
        return made

    def forget(self, key: str) -> None:
        """Sign anew the next time."""
        self._requests.pop(key, None)

    async def connect(self) -> UpstreamConnection:
        """A new connection.

        Raises:
            OSError: S3 cannot be reached in time.
        """
        return await self._pool.open(CONNECT)

    def resume(self, path: str, response: ResponseHead, left: int) -> ObjectResponse:
        """The rest of a body that S3 dropped: of the same version, or an error.

        Args:
            path: Path of the request.
            response: The head of the dropped response.
            left: Bytes that did not come.
        """
        return ObjectResponse.rest(self._origin.resumer(path), response, left)


def _uncounted(_status: int) -> None:
    """Nobody counts."""
