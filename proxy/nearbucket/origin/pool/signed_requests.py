"""Asks one bucket for objects on connections of our own: the plain GETs, as bytes.

In: a key, and the one part of it that is wanted. Out: a signed request, a connection to send it
on, and, when S3 drops a body, the rest of it by the other way (``Origin``). Refuses to know
clients, conditions and anything S3 says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nearbucket.origin.object_response import Answer
from nearbucket.origin.pool.response_head import Likeness, ResponseReader
from nearbucket.s3.http_session import COMMON, CONNECT

if TYPE_CHECKING:
    from collections.abc import Callable

    from nearbucket.origin.client import Origin
    from nearbucket.origin.pool.connection import Upstream
    from nearbucket.origin.pool.connection_pool import Pool
    from nearbucket.origin.response_headers import Response
    from nearbucket.s3.credentials import Credentials

SIGNED_FOR = 60.0
"""Seconds a signed head is used again: S3 takes it for 15 minutes (SigV4, "x-amz-date"), and
this leaves 14 of them to a clock that is wrong."""

_MOST_ASKED = 4096


@dataclass(slots=True)
class Asked:
    """An object that is asked for again and again.

    Attributes:
        whole: The signed request for all of it.
        path: Its path.
        credentials: Who signed.
        until: Monotonic time until which the signature is used.
        likeness: What S3 said of all of it, where it was asked for more than once.
    """

    whole: bytes
    path: str
    credentials: Credentials
    until: float
    likeness: Likeness | None = None
    _hot: bool = False

    def of(self, part: str) -> bytes:
        """The request for a part of it: a value of Range."""
        return b"%brange: %b\r\n\r\n" % (self.whole[:-2], part.encode("ascii"))

    def learn(self, head: bytes, response: Response) -> None:
        """Remember what S3 said of the whole object, from the second time on.

        Args:
            head: Its bytes.
            response: What they say.
        """
        if self._hot:
            self.likeness = Likeness(head, response)
        self._hot = True


class Direct:
    """One bucket.

    Attributes:
        responses: Reads the heads of what it answers.
        answered: Counts an answer of S3 by its status; 0 where none came in time.
        take: A connection that is free now, or None.
    """

    __slots__ = ("_asked", "_origin", "_pool", "answered", "responses", "take")

    def __init__(self, origin: Origin, pool: Pool) -> None:
        """Args: the same bucket by way of aiohttp; the connections to its host."""
        self._origin = origin
        self.take = pool.take
        self._pool = pool
        self._asked: dict[str, Asked] = {}
        self.responses = ResponseReader()
        counters = origin.counters
        self.answered: Callable[[int], None] = counters.on_status if counters else _uncounted

    def asked(self, key: str, now: float) -> Asked | None:
        """How an object is asked for; None when the other way has to be taken.

        What the client asked is not signed, so a hot key's signature serves for every part of
        it until ``SIGNED_FOR`` is over or the credentials change.

        Args:
            key: Object key, decoded, without the bucket's prefix.
            now: Monotonic time.
        """
        credentials = self._origin.signer.current()
        asked = self._asked.get(key)
        if asked is None or asked.credentials is not credentials or asked.until < now:
            return self._sign(key, credentials, now)
        return asked

    def _sign(self, key: str, credentials: Credentials | None, now: float) -> Asked | None:
        origin = self._origin
        path = origin.path_of(key)
        if path is None or credentials is None:
            return None
        fields = origin.signer.headers_by(credentials, "GET", origin.host, path) | COMMON
        lines = "".join([f"{name}: {value}\r\n" for name, value in fields.items()])
        whole = f"GET {path} HTTP/1.1\r\n{lines}via: 1.1 nearbucket\r\n\r\n".encode("ascii")
        if len(self._asked) >= _MOST_ASKED:
            self._asked.clear()
        made = self._asked[key] = Asked(whole, path, credentials, now + SIGNED_FOR)
        return made

    def forget(self, key: str) -> None:
        """Sign anew the next time."""
        self._asked.pop(key, None)

    async def connect(self) -> Upstream:
        """A new connection.

        Raises:
            OSError: S3 cannot be reached in time.
        """
        return await self._pool.open(CONNECT)

    def rest(self, path: str, response: Response, left: int) -> Answer:
        """The rest of a body that S3 dropped: of the same version, or an error.

        Args:
            path: Path of the request.
            response: The head of the dropped response.
            left: Bytes that did not come.
        """
        return Answer.rest(self._origin.rest_of(path), response, left)


def _uncounted(_status: int) -> None:
    """Nobody counts."""
