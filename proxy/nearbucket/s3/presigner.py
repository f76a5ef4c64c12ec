"""Signs Locations: URLs with which a client without credentials may read one private object.

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
"""Seconds that credentials must still be valid: otherwise a client might come too late."""

_MOST_URLS = 4096
"""About 8 MiB: with a session token a URL takes 2 KiB."""

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


@dataclass(frozen=True, slots=True)
class _Signed:
    """A signed URL, and the Unix times between which it is given out."""

    url: str = field(repr=False)
    since: float
    until: float


class Presigner:
    """Signs the URLs of one bucket, and keeps them for half of their life."""

    __slots__ = ("_credentials", "_life", "_made", "_signer")

    def __init__(self, signer: Signer, life: float) -> None:
        """Start without URLs.

        Args:
            signer: Signer of the bucket; its credentials need s3:GetObject.
            life: Seconds for which a URL is valid, from 60 to 604,800; less if the credentials
                expire before.
        """
        self._signer = signer
        self._life = life
        self._credentials: Credentials | None = None
        self._made: dict[tuple[str, str], _Signed] = {}

    def location(self, method: str, url: str) -> str | None:
        """Sign a URL, without waiting; at least half of its life is left.

        S3 checks the expiry when a request starts, so a download is not cut off.

        Args:
            method: ``GET`` or ``HEAD``; the URL is valid for no other.
            url: ``scheme://host[:port]/path``, the path encoded, without query and fragment.

        Returns:
            None if there are no credentials now, or they expire within ``SHORTEST`` seconds.
            They are asked for in the background, so a later call may find some.
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
        # after the clock was set back, what was signed for the future is signed anew
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
        query = presign(scope, method, path, host, expires, self._signer.payer)
        if len(self._made) >= _MOST_URLS:
            self._made.clear()
        made = _Signed(f"{scheme}://{host}{path}?{query}", now, int(now) + expires / 2)
        self._made[method, url] = made
        return made
