"""Checks that origin and failover buckets exist, answer and accept the keys; else streams fail.

The supervisor does this at the start, after each reload and once a minute, so that one error in the
log says so before the first client asks. The answers to clients do not depend on it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from nearbucket.replicas.bucket_probe import BucketHealth, BucketProbe, ProbeResult
from nearbucket.replicas.health.canaries import Canaries
from nearbucket.s3.http_session import client_session

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nearbucket.config.buckets import Bucket
    from nearbucket.config.sites import Site
    from nearbucket.s3.credentials import SdkCredentials

INTERVAL = 60.0
"""Seconds between two checks."""
RETRY_INTERVAL = 3.0
"""The same while a bucket cannot be used."""

_log = logging.getLogger(__name__)


class OriginCheck:
    """The origin buckets of a configuration."""

    def __init__(self, ambient: SdkCredentials) -> None:
        """Check nothing yet; ``ambient`` is the AWS SDK's credential chain."""
        self._ambient = ambient
        self._wrong: dict[str, str] = {}
        self._failed_once: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    @property
    def problems(self) -> list[str]:
        """Why origin buckets cannot be used, one text a bucket."""
        return list(self._wrong.values())

    def use(self, sites: Iterable[Site]) -> None:
        """Check the origins of these sites now, and from now on."""
        self.close()
        buckets: dict[str, Bucket] = {}
        names: dict[str, dict[str, list[str]]] = {}
        for site in sites:
            for key, bucket in site.origins.items():
                role = "origin" if key == "origin" else "failover bucket"
                buckets.setdefault(bucket.object_base_url, bucket)
                of_url = names.setdefault(bucket.object_base_url, {})
                of_url.setdefault(role, []).append(site.name)
        uses = {url: _use_text(of_url) for url, of_url in names.items()}
        self._wrong = {url: text for url, text in self._wrong.items() if url in buckets}
        self._failed_once.clear()
        self._task = asyncio.create_task(self._keep_checking(buckets, uses))

    def close(self) -> None:
        """Stop the checks."""
        if self._task is not None:
            self._task.cancel()

    async def _keep_checking(self, buckets: dict[str, Bucket], uses: dict[str, str]) -> None:
        async with client_session() as session:
            probes = {
                url: BucketProbe(bucket, session, self._ambient) for url, bucket in buckets.items()
            }
            while True:
                for url, probe in probes.items():
                    result = await _result_of(probe)
                    if self._ambient.problem and buckets[url].credentials == "ambient":
                        self._failed_once.discard(url)  # one warning about the SDK's keys is enough
                    else:
                        self._note(url, uses[url], result)
                again_soon = self._wrong or self._failed_once
                await asyncio.sleep(RETRY_INTERVAL if again_soon else INTERVAL)

    def _note(self, url: str, use: str, result: ProbeResult) -> None:
        """Log what has changed.

        Refused keys may be just about to be replaced, and an unanswered probe may be answered the
        next time: both count only the second time in a row.
        """
        text = _problem(use, result)
        no_answer = result.health is BucketHealth.FAILED
        told = self._wrong.get(url, "")
        if text is not None and (told == text or (no_answer and told.startswith(f"{use}: "))):
            return
        if (no_answer or result.health is BucketHealth.REFUSED) and url not in self._failed_once:
            self._failed_once.add(url)
            return
        self._failed_once.discard(url)
        if text is not None:
            self._wrong[url] = text
            _log.error("%s", text)
        elif result.health in {BucketHealth.GOOD, BucketHealth.FORBIDDEN} and url in self._wrong:
            del self._wrong[url]
            _log.info("%s: the bucket can be used now", use)


def _problem(use: str, result: ProbeResult) -> str | None:
    """What the log and ``/readyz`` say of a bucket that cannot be used."""
    if result.health is BucketHealth.FAILED:
        return f"{use}: {result.text}; streams from it may fail; run nearbucket check"
    if result.health is BucketHealth.REFUSED:
        return f"{use}: {result.text}; run nearbucket check"
    if result.health is BucketHealth.WRONG:
        key = "origin" if use.startswith("origin") else "failover"
        return f"{use}: {result.text}; correct sites.*.{key}, and run nearbucket check"
    return None


def _use_text(sites_of: dict[str, list[str]]) -> str:
    """How the log names a bucket: by its roles, and the sites in which it has them."""
    roles = sorted(sites_of.items(), reverse=True)
    return ", ".join(f"{role} of site {', '.join(sites)}" for role, sites in roles)


async def _result_of(probe: BucketProbe) -> ProbeResult:
    try:
        return await probe.probe(Canaries())
    except Exception as error:
        _log.exception("check of %s", probe.base_url)
        return ProbeResult(BucketHealth.FAILED, repr(error))
