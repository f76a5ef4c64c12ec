"""Signed GET requests for the objects of one bucket, used again for a minute."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from nearbucket.origin.failover.failover import SiteOrigins
from nearbucket.origin.object_response import ObjectResponse
from nearbucket.origin.pool.response_head import HeadTemplate
from nearbucket.s3.http_session import COMMON, CONNECT, READ

if TYPE_CHECKING:
    from collections.abc import Callable

    from nearbucket.origin.client import OriginClient
    from nearbucket.origin.pool.connection import UpstreamConnection
    from nearbucket.origin.pool.connection_pool import ConnectionPool
    from nearbucket.origin.response_headers import ResponseHead
    from nearbucket.s3.credentials import Credentials

SIGNATURE_REUSE = 60.0
"""Seconds for which a signed request is used again. S3 accepts it for 15 minutes (SigV4,
"x-amz-date"); 14 of them are left to a wrong clock."""

_MOST_REQUESTS = 4096


@dataclass(slots=True)
class SignedRequest:
    """The signed request for one object.

    Attributes:
        key: Key of the object.
        request: Bytes of the request for the whole object.
        path: Path of the object.
        credentials: Credentials of the signature.
        until: Monotonic time until which the signature is used.
        private: Whether no shared cache may keep the answer to the client.
        head_template: The last head for the whole object, if it was requested more than once.
    """

    key: str
    request: bytes
    path: str
    credentials: Credentials
    until: float
    private: bool
    head_template: HeadTemplate | None = None
    _asked_before: bool = False

    def for_range(self, range_: str) -> bytes:
        """The request for a range of the object, with this value of Range."""
        return b"%brange: %b\r\n\r\n" % (self.request[:-2], range_.encode("ascii"))

    def remember_head(self, head: bytes, response: ResponseHead) -> None:
        """Keep a head for the whole object, and what was read from it, from the second on."""
        if self._asked_before:
            self.head_template = HeadTemplate(head, response)
        self._asked_before = True


class SignedRequestCache:
    """The signed requests for one bucket, and the connections to send them on.

    Attributes:
        origin: The bucket's client.
        failover: As of the client.
        on_status: Counts a response of S3 by its status.
        take: Takes an idle connection; None if there is none.
        accepts: Whether an object may be sent to the client, by its key and the head of the
            response; None if it always may, because the site has one origin.
    """

    __slots__ = (
        "_origins", "_pool", "_requests", "accepts", "failover", "on_status", "origin", "take",
    )  # fmt: skip

    def __init__(
        self, origin: OriginClient, pool: ConnectionPool, origins: SiteOrigins | None = None
    ) -> None:
        """Prepare.

        Args:
            origin: The bucket's client.
            pool: The connections to its host.
            origins: All origins of the site; they resume bodies. By default this one alone.
        """
        self.origin = origin
        self.take = pool.take
        self._pool = pool
        self._origins = origins or SiteOrigins([origin])
        self._requests: dict[str, SignedRequest] = {}
        self.failover = origin.failover
        # with one origin, no call but that of the counters on the hot path
        self.on_status = origin.counters.on_status if origin.breaker is None else origin.on_status
        if self.failover:
            self.on_status = self._on_status_of_failover
        self.accepts: Callable[[str, ResponseHead], bool] | None = None
        if self._origins.has_failover:
            self.accepts = partial(self._origins.accepts, origin)

    def _on_status_of_failover(self, status: int) -> None:
        self.origin.on_status(status)
        if status in {200, 206}:
            self.origin.on_failover()

    def get(self, key: str, now: float) -> SignedRequest | None:
        """The signed request for an object, signed anew after a minute or for other credentials.

        The client's Range is not signed, so one signature serves for every range.

        Args:
            key: Object key, decoded, without the bucket's prefix.
            now: Monotonic time.

        Returns:
            None if there can be no such key, or credentials have to be waited for.
        """
        credentials = self.origin.signer.current()
        signed = self._requests.get(key)
        if signed is None or signed.credentials is not credentials or signed.until < now:
            return self._sign(key, credentials, now)
        return signed

    def _sign(self, key: str, credentials: Credentials | None, now: float) -> SignedRequest | None:
        origin = self.origin
        path = origin.path_of(key)
        if path is None or credentials is None:
            return None
        fields = origin.signer.headers_by(credentials, "GET", origin.host, path) | COMMON
        lines = "".join([f"{name}: {value}\r\n" for name, value in fields.items()])
        whole = f"GET {path} HTTP/1.1\r\n{lines}via: 1.1 nearbucket\r\n\r\n".encode("ascii")
        if len(self._requests) >= _MOST_REQUESTS:
            self._requests.clear()
        until, private = now + SIGNATURE_REUSE, self._origins.is_private(key)
        made = self._requests[key] = SignedRequest(key, whole, path, credentials, until, private)
        return made

    def forget(self, key: str) -> None:
        """Sign anew the next time."""
        self._requests.pop(key, None)

    async def connect(self) -> UpstreamConnection:
        """Open a connection.

        Raises:
            OSError: S3 cannot be reached in time.
        """
        return await self._pool.open(self.origin.patience or CONNECT)

    @property
    def patience(self) -> float:
        """Seconds for the head of a response."""
        return self.origin.patience or READ

    def resume(self, key: str, response: ResponseHead, left: int) -> ObjectResponse:
        """The rest of a body that broke off, through ``origin/client.py``.

        Args:
            key: Key of the object.
            response: Head of the response that broke off.
            left: Bytes that did not come.
        """
        return ObjectResponse.rest(self._origins.rest(self.origin, key), response, left)

    def forget_all(self) -> None:
        """Sign anew, and read the heads of responses anew."""
        self._requests.clear()
