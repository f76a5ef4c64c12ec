"""The origin bucket of every site, for both ways to S3; connections are kept over a reload."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from nearbucket.errors import OriginError
from nearbucket.origin.client import OriginClient
from nearbucket.origin.failover.failover import SiteOrigins
from nearbucket.origin.failover.origin_breaker import PATIENCE, OriginBreaker, is_failure
from nearbucket.origin.pool.connection_pool import ConnectionPool
from nearbucket.origin.pool.read_buffer import ReadBuffers
from nearbucket.origin.pool.signed_requests import SignedRequestCache
from nearbucket.policy.rules import SitePolicy
from nearbucket.s3.credentials import SdkCredentials
from nearbucket.s3.http_session import client_session
from nearbucket.s3.sigv4 import Signer
from nearbucket.s3.tls_trust import trusted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from nearbucket.config.buckets import Bucket
    from nearbucket.config.sites import Site
    from nearbucket.origin.failover.known_versions import ShownObject
    from nearbucket.origin.origin_counters import OriginCounters

_PORTS = {"http": 80, "https": 443}

_PoolKey = tuple[str, int, bool]
_OriginKey = tuple[str, str]  # site, and the bucket's object_base_url

_log = logging.getLogger(__name__)


class OriginRegistry:
    """The origins of one worker; made in a running event loop, closed at the end.

    Attributes:
        by_site: Clients for the origins of each site, by the site's name.
        signed_requests: For the streaming lane, those of the first origin of each site that is not
            down.
        session: aiohttp's session.
        ambient: The SDK's credential chain, for all buckets.
    """

    def __init__(
        self,
        counters: Callable[[str], OriginCounters],
        ambient: SdkCredentials | None = None,
        shared: Callable[[str, str], ShownObject | None] = lambda _site, _key: None,
    ) -> None:
        """Begin without sites.

        Args:
            counters: The counters for a site, by its name.
            ambient: The SDK's credential chain.
            shared: What any worker has seen of an object of a site's origin, by site and key.
        """
        self._counters = counters
        self._shared = shared
        self.session = client_session()
        self._fresh = client_session(keeps=False)
        self.ambient = ambient or SdkCredentials()
        self._pools: dict[_PoolKey, ConnectionPool] = {}
        self._buffers = ReadBuffers.new()
        self._of_site: dict[str, dict[str, SignedRequestCache]] = {}
        self._breakers: dict[_OriginKey, OriginBreaker] = {}
        self._probes: set[asyncio.Task[None]] = set()
        self.by_site: Mapping[str, SiteOrigins] = {}
        self.signed_requests: dict[str, SignedRequestCache] = {}

    def prepare(self, sites: Iterable[Site]) -> Callable[[], None]:
        """Build the origins of these sites; calling what is returned puts them to use.

        Connections to hosts that stay in use are kept.
        """
        used: dict[_PoolKey, ConnectionPool] = {}
        by_site: dict[str, SiteOrigins] = {}
        of_site: dict[str, dict[str, SignedRequestCache]] = {}
        breakers: dict[_OriginKey, OriginBreaker] = {}
        for site in sites:
            clients = {
                key: self._client(site, key, entry, breakers) for key, entry in site.origins.items()
            }
            origins = by_site[site.name] = SiteOrigins(
                [*clients.values()],
                partial(self._shared, site.name),
                SitePolicy.build(site).is_private,
            )
            of_site[site.name] = {
                key: SignedRequestCache(client, self._pool_of(site.origins[key], used), origins)
                for key, client in clients.items()
            }

        def use() -> None:
            unused = [pool for key, pool in self._pools.items() if key not in used]
            self.by_site, self._pools, self._breakers = by_site, used, breakers
            self._of_site = of_site
            self.signed_requests = {name: self._in_use(name) for name in of_site}
            for pool in unused:
                pool.close()

        return use

    def _client(
        self, site: Site, key: str, entry: Bucket, breakers: dict[_OriginKey, OriginBreaker]
    ) -> OriginClient:
        """The client for one origin; the breaker of one that stays in use is kept."""
        also, ambient = entry.request_fields, self.ambient
        breaker, name = None, (site.name, entry.object_base_url)
        if site.failover:
            breaker = self._breakers.get(name) or OriginBreaker(partial(self._on_change, name))
            breakers[name] = breaker
        is_last = key == [*site.origins][-1]
        return OriginClient(
            entry,
            self.session,
            signer=Signer(entry.credentials, entry.region, also=also, ambient=ambient),
            counters=self._counters(site.name),
            breaker=breaker,
            failover="" if key == "origin" else entry.bucket,
            patience=None if is_last else PATIENCE,
            fresh=self._fresh,
        )

    def _pool_of(self, entry: Bucket, used: dict[_PoolKey, ConnectionPool]) -> ConnectionPool:
        url = urlsplit(entry.url())
        key = url.hostname or "", url.port or _PORTS[url.scheme], url.scheme == "https"
        pool = used[key] = used.get(key) or self._pools.get(key) or self._pool(*key)
        return pool

    def _in_use(self, site: str) -> SignedRequestCache:
        """Those of the first origin that is not down; of the first, if all are."""
        caches = [*self._of_site[site].values()]
        return next((cache for cache in caches if not cache.origin.is_down), caches[0])

    def _on_change(self, name: _OriginKey) -> None:
        """An origin has gone down, or is up again."""
        (site, url), breaker = name, self._breakers.get(name)
        if breaker is None:  # a request of before the last reload, to a bucket no longer in use
            return
        if breaker.why:
            text = "origin down, the next one is asked: site %s, %s: %s"
            _log.error(text, site, url, breaker.why)
        else:
            _log.info("origin up again: site %s, %s", site, url)
        cache = self.signed_requests[site] = self._in_use(site)
        cache.forget_all()  # versions may have changed meanwhile

    def is_down(self, site: str) -> bool:
        """Whether the first origin of a site is down."""
        caches = self._of_site.get(site)
        return caches is not None and caches["origin"].origin.is_down

    def down(self) -> dict[tuple[str, str], str]:
        """Why origins are down, by site and key in the site; only of sites with several."""
        return {
            (site, key): cache.origin.breaker.why
            for site, caches in self._of_site.items()
            for key, cache in caches.items()
            if cache.origin.breaker is not None and cache.origin.is_down
        }

    def _pool(self, host: str, port: int, secure: bool) -> ConnectionPool:  # noqa: FBT001  # of the key
        return ConnectionPool(host, port, tls=trusted() if secure else None, buffers=self._buffers)

    def check(self, now: float) -> None:
        """Once a second: close connections idle for too long, and ask origins that are down."""
        for pool in self._pools.values():
            pool.check(now)
        for caches in self._of_site.values():
            for cache in caches.values():
                breaker = cache.origin.breaker
                if breaker is not None and breaker.begin_probe(now):
                    probe = asyncio.create_task(_probe(cache.origin, breaker))
                    self._probes.add(probe)
                    probe.add_done_callback(self._probes.discard)

    async def close(self) -> None:
        """Close all idle connections."""
        for probe in self._probes:
            probe.cancel()
        await asyncio.gather(*self._probes, return_exceptions=True)
        for pool in self._pools.values():
            pool.close()
        await self.session.close()
        await self._fresh.close()


async def _probe(origin: OriginClient, breaker: OriginBreaker) -> None:
    """Ask an origin whether it answers: 403 and 404 for the bucket are answers, too."""
    failed = True
    try:
        async with asyncio.timeout(PATIENCE):
            response = await origin.head(origin.bucket_path)
        response.release()
        failed = is_failure(response.status)
    except (OriginError, TimeoutError):
        pass
    finally:
        breaker.end_probe(failed=failed)
