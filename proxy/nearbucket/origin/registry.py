"""The origin bucket of every site, for both ways to S3; connections are kept over a reload."""

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
        by_site: Client for the origin of each site, by the site's name.
        signed_requests: The same for the streaming lane.
        session: aiohttp's session.
        ambient: The SDK's credential chain, for all buckets.
    """

    def __init__(
        self, counters: Callable[[str], OriginCounters], ambient: SdkCredentials | None = None
    ) -> None:
        """Take the counters for each site, by its name, and the credential chain."""
        self._counters = counters
        self.session = client_session()
        self.ambient = ambient or SdkCredentials()
        self._pools: dict[tuple[str, int, bool], ConnectionPool] = {}
        self._buffers = ReadBuffers.new()
        self.by_site: Mapping[str, OriginClient] = {}
        self.signed_requests: Mapping[str, SignedRequestCache] = {}

    def prepare(self, sites: Iterable[Site]) -> Callable[[], None]:
        """Build the origins of these sites; calling what is returned puts them to use.

        Connections to hosts that stay in use are kept.
        """
        used: dict[tuple[str, int, bool], ConnectionPool] = {}
        by_site, signed_requests = {}, {}
        for site in sites:
            entry, ambient = site.origin, self.ambient
            also = entry.request_fields
            signer = Signer(entry.credentials, entry.region, also=also, ambient=ambient)
            counters = self._counters(site.name)
            origin = OriginClient(entry, self.session, signer=signer, counters=counters)
            url = urlsplit(entry.url())
            key = url.hostname or "", url.port or _PORTS[url.scheme], url.scheme == "https"
            used[key] = self._pools.get(key) or self._pool(*key)
            by_site[site.name] = origin
            signed_requests[site.name] = SignedRequestCache(origin, used[key])

        def use() -> None:
            unused = [pool for key, pool in self._pools.items() if key not in used]
            self.by_site, self.signed_requests, self._pools = by_site, signed_requests, used
            for pool in unused:
                pool.close()

        return use

    def _pool(self, host: str, port: int, secure: bool) -> ConnectionPool:  # noqa: FBT001  # of the key
        return ConnectionPool(host, port, tls=trusted() if secure else None, buffers=self._buffers)

    def check(self, now: float) -> None:
        """Close connections that have been idle for too long; called once a second."""
        for pool in self._pools.values():
            pool.check(now)

    async def close(self) -> None:
        """Close all idle connections."""
        for pool in self._pools.values():
            pool.close()
        await self.session.close()
