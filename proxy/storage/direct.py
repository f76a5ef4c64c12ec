"""Asks one bucket for objects on connections of our own: the plain GETs, as bytes.

In: a key, and the one part of it that is wanted. Out: a signed request, a connection to send it
on, and, when S3 drops a body, the rest of it by the other way (``Origin``). Refuses to know
clients, conditions and anything S3 says.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from proxy.storage.answer import Answer
from proxy.storage.response import ResponseReader
from proxy.storage.session import COMMON, CONNECT

if TYPE_CHECKING:
    from proxy.storage.credentials import Credentials
    from proxy.storage.origin import Origin
    from proxy.storage.pool import Pool, Upstream
    from proxy.storage.response import Response

SIGNED_FOR = 60.0
"""Seconds a signed head is used again: S3 takes it for 15 minutes (SigV4, "x-amz-date"), and
this leaves 14 of them to a clock that is wrong."""

_MOST_HEADS = 4096


class _Head(NamedTuple):
    """A signed request without its end."""

    data: bytes
    path: str
    credentials: Credentials
    until: float


class Direct:
    """One bucket.

    Attributes:
        responses: Reads the heads of what it answers.
    """

    __slots__ = ("_heads", "_origin", "_pool", "responses")

    def __init__(self, origin: Origin, pool: Pool) -> None:
        """Args: the same bucket by way of aiohttp; the connections to its host."""
        self._origin = origin
        self._pool = pool
        self._heads: dict[str, _Head] = {}
        self.responses = ResponseReader()

    def request(self, key: str, part: str | None) -> tuple[bytes, str] | None:
        """A GET for an object, and its path; None when the other way has to be taken.

        What the client asked is not signed, so a hot key's signature serves for every part of
        it until ``SIGNED_FOR`` is over or the credentials change.

        Args:
            key: Object key, decoded, without the bucket's prefix.
            part: Value of Range, or None for the whole object.
        """
        credentials = self._origin.signer.current()
        head = self._heads.get(key)
        if head is None or head.credentials is not credentials or head.until < monotonic():
            head = self._sign(key, credentials)
            if head is None:
                return None
        if part is None:
            return head.data + b"\r\n", head.path
        return b"%brange: %b\r\n\r\n" % (head.data, part.encode("ascii")), head.path

    def _sign(self, key: str, credentials: Credentials | None) -> _Head | None:
        origin = self._origin
        path = origin.path_of(key)
        if path is None or credentials is None:
            return None
        fields = origin.signer.headers_by(credentials, "GET", origin.host, path) | COMMON
        lines = "".join([f"{name}: {value}\r\n" for name, value in fields.items()])
        data = f"GET {path} HTTP/1.1\r\n{lines}via: 1.1 nearbucket\r\n".encode("ascii")
        if len(self._heads) >= _MOST_HEADS:
            self._heads.clear()
        made = self._heads[key] = _Head(data, path, credentials, monotonic() + SIGNED_FOR)
        return made

    def take(self) -> Upstream | None:
        """A connection that is free now, or None."""
        return self._pool.take()

    async def connect(self) -> Upstream:
        """A new connection.

        Raises:
            OSError: S3 cannot be reached in time.
        """
        return await self._pool.open(CONNECT)

    def answered(self, status: int) -> None:
        """Count an answer of S3."""
        if self._origin.counters is not None:
            self._origin.counters.on_status(status)

    def rest(self, path: str, response: Response, left: int) -> Answer:
        """The rest of a body that S3 dropped: of the same version, or an error.

        Args:
            path: Path of the request.
            response: The head of the dropped response.
            left: Bytes that did not come.
        """
        return Answer.rest(self._origin.rest_of(path), response, left)
