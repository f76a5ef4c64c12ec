"""Signs Locations: URLs by which a client without credentials may read one private object.

In: the method that will be asked, and the unsigned URL. Out: that URL with a signed query, or
None while nobody can sign one that lasts. Refuses to know who is redirected, and what the bucket
holds.

A signed URL is a password: it is never logged, and no ``repr`` here shows one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from time import time
from typing import TYPE_CHECKING

from nearbucket.s3.credentials import ANONYMOUS
from nearbucket.s3.sigv4 import SigningScope, presign

if TYPE_CHECKING:
    from nearbucket.s3.credentials import Credentials
    from nearbucket.s3.sigv4 import Signer

SHORTEST = 60
"""Seconds that credentials must have left: a client that gets less might come too late."""

_MOST_URLS = 4096
"""With a session token a URL takes about 2 KiB, so this is 8 MiB."""

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


@dataclass(frozen=True, slots=True)
class _Signed:
    """A signed URL, and the Unix times between which it is handed out."""

    url: str = field(repr=False)
    since: float
    until: float


class Presigner:
    """Signs URLs of one bucket."""

    __slots__ = ("_credentials", "_life", "_made", "_signer")

    def __init__(self, signer: Signer, life: float) -> None:
        """Bind a bucket to the life of its URLs.

        Args:
            signer: Of the bucket; who it signs for needs s3:GetObject there.
            life: Seconds, from 60 to 604,800, that a URL is good for; less when the
                credentials end before.
        """
        self._signer = signer
        self._life = life
        self._credentials: Credentials | None = None
        self._made: dict[tuple[str, str], _Signed] = {}

    def location(self, method: str, url: str) -> str | None:
        """A signed URL, without waiting; it has at least half of its life left.

        S3 looks at the end when a request starts: a download that runs goes on.

        Args:
            method: ``GET`` or ``HEAD``; S3 refuses the URL to any other method.
            url: ``scheme://host[:port]/path``, the path encoded, without query and fragment.

        Returns:
            None when there are no credentials now, or they end within ``SHORTEST``. The next
            call may find some: asking for them goes on in the background.
        """
        credentials = self._signer.current()
        if credentials is not self._credentials:
            self._made.clear()
            self._credentials = credentials
        if credentials is None or credentials is ANONYMOUS:
            return None
        now = time()
        left = inf if credentials.expires is None else credentials.expires - now
        if left < SHORTEST:
            return None
        made = self._made.get((method, url))
        # a clock that was set back must not keep what was signed for the future
        if made is None or not made.since <= now < made.until:
            made = self._sign(credentials, method, url, now, int(min(self._life, left)))
        return made.url

    def _sign(
        self, credentials: Credentials, method: str, url: str, now: float, expires: int
    ) -> _Signed:
        scheme, _, rest = url.partition("://")
        authority, slash, path = rest.partition("/")
        # as clients send it (RFC 9110 section 7.2, RFC 3986 section 6.2)
        host = authority.lower().removesuffix(_DEFAULT_PORTS.get(scheme.lower(), ""))
        path = slash + path
        scope = SigningScope.of(credentials, self._signer.region, now)
        query = presign(scope, method, path, host, expires)
        if len(self._made) >= _MOST_URLS:
            self._made.clear()
        made = _Signed(f"{scheme}://{host}{path}?{query}", now, int(now) + expires / 2)
        self._made[method, url] = made
        return made
