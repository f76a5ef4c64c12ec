"""Every site's origin bucket, by way of aiohttp and of connections of our own.

In: sites, again at every reload. Out: an ``OriginClient`` and a ``SignedRequestCache`` for
each. Refuses to know what they are asked. Owns the session and the pools, which outlive a reload.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from nearbucket.origin.client import OriginClient
from nearbucket.origin.pool.connection_pool import ConnectionPool
from nearbucket.origin.pool.read_buffer import ReadBuffers
from nearbucket.origin.pool.signed_requests import SignedRequestCache
from nearbucket.s3.credentials import SdkCredentials
from nearbucket.s3.http_session import client_session
from nearbucket.s3.sigv4 import Signer
from nearbucket.s3.tls_trust import trusted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from nearbucket.config.sites import Site
    from nearbucket.origin.client import OriginCounters

_PORTS = {"http": 80, "https": 443}


class OriginRegistry:
    """The origins of one worker; made in a running event loop, closed at the end.

    Attributes:
        by_site: Site name to its origin.
        signed_requests: The same on connections of our own.
        session: The session of aiohttp's way.
        ambient: The SDK's credential chain, asked once for all buckets.
    """

    def __init__(
        self, counters: Callable[[str], OriginCounters], ambient: SdkCredentials | None = None
    ) -> None:
        """Args: who counts what happens on the way to a site's origin; the credential chain."""
        self._counters = counters
        self.session = client_session()
        self.ambient = ambient or SdkCredentials()
        self._pools: dict[tuple[str, int, bool], ConnectionPool] = {}
        self._buffers = ReadBuffers.new()
        self.by_site: Mapping[str, OriginClient] = {}
        self.signed_requests: Mapping[str, SignedRequestCache] = {}

    def prepare(self, sites: Iterable[Site]) -> Callable[[], None]:
        """Build the origins of these sites; the call that is returned puts them into use.

        Connections to origins that are still in use stay.
        """
        used: dict[tuple[str, int, bool], ConnectionPool] = {}
        by_site, signed_requests = {}, {}
        for site in sites:
            entry, ambient = site.origin, self.ambient
            signer = Signer(
                entry.credentials, entry.region, expected_owner=entry.expected_owner,
                ambient=ambient,
            )  # fmt: skip
            counters = self._counters(site.name)
            origin = OriginClient(entry, self.session, signer=signer, counters=counters)
            url = urlsplit(site.origin.url())
            place = url.hostname or "", url.port or _PORTS[url.scheme], url.scheme == "https"
            used[place] = self._pools.get(place) or self._pool(*place)
            by_site[site.name] = origin
            signed_requests[site.name] = SignedRequestCache(origin, used[place])

        def use() -> None:
            unused = [pool for place, pool in self._pools.items() if place not in used]
            self.by_site, self.signed_requests, self._pools = by_site, signed_requests, used
            for pool in unused:
                pool.close()

        return use

    def _pool(self, host: str, port: int, secure: bool) -> ConnectionPool:  # noqa: FBT001  # a place's third
        return ConnectionPool(host, port, tls=trusted() if secure else None, buffers=self._buffers)

    def check(self, now: float) -> None:
        """Once a tick: close connections that were free for too long."""
        for pool in self._pools.values():
            pool.check(now)

    async def close(self) -> None:
        """Close all connections that are free."""
        for pool in self._pools.values():
            pool.close()
        await self.session.close()
