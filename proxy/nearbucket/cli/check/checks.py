"""All checks of a configuration: each bucket once, then each site with its targets."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError

from nearbucket.cli.check.bucket_inspection import (
    SECONDS,
    BucketInquiry,
    InspectedBucket,
    cannot_read,
    cors_finding,
    inspect,
    trouble,
)
from nearbucket.cli.check.client_probe import target_finding
from nearbucket.cli.check.failover_sample import failover_findings
from nearbucket.cli.check.finding import Finding, Level
from nearbucket.cli.check.replica_sample import (
    THERE,
    Sample,
    compared,
    is_lacking,
    is_unreadable,
    replicates,
    sample_findings,
    take,
)
from nearbucket.cli.check.through_caches.front_check import front_findings, site_of
from nearbucket.cli.check.through_caches.loop_check import loop_finding
from nearbucket.errors import ConfigError, OriginError
from nearbucket.policy.object_keys import encode_key
from nearbucket.policy.selection import chooser
from nearbucket.pricing.tariff import tariff
from nearbucket.replicas.list_verification import verification_usd_hour
from nearbucket.s3.bucket_location import origin_of, origins_of, target_of
from nearbucket.s3.client_request import request_byte
from nearbucket.s3.error_codes import ErrorKind
from nearbucket.s3.http_session import client_session
from nearbucket.s3.presigner import Presigner
from nearbucket.s3.sdk.sdk_client import kind_of, opened
from nearbucket.s3.sigv4 import Signer
from nearbucket.s3.unreadable import barriers_of
from nearbucket.supervisor.config_warnings import targets_in_other_regions, targets_without_owner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import aiohttp

    from nearbucket.config.settings import Settings
    from nearbucket.config.sites import Site
    from nearbucket.s3.bucket_location import BucketLocation

_MANY = 1000
"""Fewest redirectable objects of an origin for which the cost of their verification is shown."""
_CONNECTIONS = 8
_ATTEMPTS = 2

_BucketKey = tuple[object, ...]


async def checked(
    settings: Settings,
    count: int,
    progress: Callable[[str], None],
    named: str,
    front: str | None = None,
) -> list[Finding]:
    """The findings of all checks of buckets, in the order of the configuration.

    Args:
        settings: The configuration.
        count: How many objects of each site are compared.
        progress: Called with a text when a part begins.
        named: ``--config FILE`` for commands in the advice, with a space before it; or empty.
        front: URL by which clients reach the proxy; None to check nothing there.
    """
    async with AsyncExitStack() as stack, client_session() as session:
        buckets = _buckets(settings)
        progress(f"checking {len(buckets)} buckets")
        inspections = (_inspected(stack, entries) for entries in buckets.values())
        known = dict(zip(buckets, await asyncio.gather(*inspections), strict=True))
        progress("comparing samples of the objects")
        sites = [_Site(site, settings, known, session, count, named) for site in settings.sites]
        by_site = await asyncio.gather(*(site.findings() for site in sites))
        through_front = await _through_front(settings, sites, session, front)
    found = [finding for bucket in known.values() for finding in bucket.findings]
    found += chain.from_iterable(by_site)
    return [*found, *through_front, *_owners(settings), *_far(settings)]


async def _through_front(
    settings: Settings, sites: Sequence[_Site], session: aiohttp.ClientSession, front: str | None
) -> list[Finding]:
    """Request an object of the sample through the front."""
    if front is None:
        return []
    site = site_of(settings, front)
    keys = [key for each in sites if each.site is site and (key := each.sampled_key)]
    if keys:
        return await front_findings(session, site, front, keys[0])
    text = "there is no object to ask for: none that would be redirected was found"
    return [Finding(Level.NOTE, "front", "front", text)]


def _key(location: BucketLocation) -> _BucketKey:
    """Equal for entries with the same bucket, account and credentials."""
    entry = location.entry
    return (entry.object_base_url, entry.region, location.credentials, location.owner)


def _buckets(settings: Settings) -> dict[_BucketKey, list[BucketLocation]]:
    found: dict[_BucketKey, list[BucketLocation]] = {}
    for site in settings.sites:
        targets = (target_of(site, region) for region in site.targets)
        for location in (*origins_of(site), *targets):
            found.setdefault(_key(location), []).append(location)
    return found


async def _inspected(stack: AsyncExitStack, locations: Sequence[BucketLocation]) -> InspectedBucket:
    location, *others = locations
    try:
        client = await stack.enter_async_context(opened(location, _CONNECTIONS, attempts=_ATTEMPTS))
    except ConfigError as error:
        text = str(error).removeprefix(f"{location.name}.")
        return InspectedBucket(None, [Finding(Level.WRONG, location.name, "credentials", text)])
    except (BotoCoreError, OSError, ValueError) as error:  # the SDK's files and profiles
        return InspectedBucket(None, [trouble(error, location)])
    return await inspect(BucketInquiry(location, client), [other.name for other in others])


class _Site:
    """The checks of a site; those of its buckets are done.

    Attributes:
        site: The site.
        sampled_key: Key, encoded, of an object that would be redirected; empty if there is none.
    """

    def __init__(  # noqa: PLR0913, PLR0917  # one site, one call
        self,
        site: Site,
        settings: Settings,
        known: Mapping[_BucketKey, InspectedBucket],
        session: aiohttp.ClientSession,
        count: int,
        named: str,
    ) -> None:
        """``named`` is ``--config FILE`` for commands in the advice, with a space before it."""
        self.site = site
        self._settings, self._known, self.sampled_key = settings, known, ""
        self._session, self._count, self._named = session, count, named

    async def findings(self) -> list[Finding]:
        """Check the site's patterns, its targets and its CDN."""
        location = origin_of(self.site)
        origin = self._known[_key(location)]
        found, sample = await self._sample(location, origin)
        self.sampled_key = encode_key(sample.objects[0].key) if sample else ""
        targets = (self._target(origin, *target, sample) for target in self._targets())
        found += chain.from_iterable(await asyncio.gather(*targets))
        further = (self._failover(origin, each) for each in origins_of(self.site)[1:])
        found += chain.from_iterable(await asyncio.gather(*further))
        if self.site.bypass.to:
            place, to = f"{self.site.key}.bypass.to", self.site.bypass.to
            found.append(
                await loop_finding(self._session, self._settings, place, to, self.sampled_key)
            )
        return found

    async def _failover(self, origin: InspectedBucket, location: BucketLocation) -> list[Finding]:
        failover = self._known[_key(location)]
        if failover.inquiry is None or origin.inquiry is None or not origin.listable:
            return []
        inquiry = replace(failover.inquiry, location=location)
        return await failover_findings(origin.inquiry, inquiry, self._count)

    def _targets(self) -> Iterable[tuple[BucketLocation, list[str]]]:
        """Each target with its regions; regions may share one."""
        found: dict[_BucketKey, tuple[BucketLocation, list[str]]] = {}
        for region, target in self.site.targets.items():
            location = target_of(self.site, region)
            entry = found.setdefault((*_key(location), target.location()), (location, []))
            entry[1].append(region)
        return found.values()

    async def _sample(
        self, location: BucketLocation, origin: InspectedBucket
    ) -> tuple[list[Finding], Sample | None]:
        if origin.inquiry is None or not self.site.targets:
            return [], None
        if not origin.listable:
            text = "no objects are compared, because the origin cannot be listed"
            return [Finding(Level.NOTE, location.name, "sample", text)], None
        sample = await take(origin.inquiry, chooser(self.site), self._count)
        if not isinstance(sample, Sample):
            return [Finding(Level.WRONG, location.name, "sample", str(sample))], None
        first = "" if sample.whole else "first "
        text = f"{sample.chosen:,} of the {first}{sample.seen:,} objects would be redirected"
        if sample.seen == 0:
            text = f"{location} has no objects"
        if sample.chosen:
            text += self._verification(sample.chosen)
            found = [Finding(Level.OK, location.name, "paths", text)]
            return [*found, *await self._read(origin.inquiry, location, sample)], sample
        fix = "check redirect.paths, exclude and min_size, and the bucket's prefix"
        return [Finding(Level.WARNING, location.name, "paths", text, fix)], None

    def _verification(self, objects: int) -> str:
        """The end of a finding: the cost of verifying objects and their copies; empty for few."""
        site, by = self.site, tariff(self._settings.prices)
        asked = [each for region in site.regions_in_use for each in site.buckets_to_check(region)]
        buckets = len({entry.object_base_url for _, entry in asked})
        heads, lists = verification_usd_hour(objects, site.redirect.verify_ttl, by)
        if objects < _MANY or not buckets:
            return ""
        return (
            f"; verifying them in {buckets} buckets costs up to ${heads * buckets:.3f} an hour "
            f"for each worker by HEAD requests, or at least ${lists * buckets:.3f} in all by "
            "listings"
        )

    async def _read(
        self, origin: BucketInquiry, location: BucketLocation, sample: Sample
    ) -> list[Finding]:
        """Read a byte of the largest object: the rights to list, read and decrypt are separate."""
        largest = max(sample.objects, key=lambda each: each.size)
        error = await origin.read_error(largest.key)
        if error is None or kind_of(error) is ErrorKind.EMPTY:  # it has no first byte
            return []
        if kind_of(error) is not ErrorKind.NOT_ALLOWED:
            return [trouble(error, location)]
        return [cannot_read(location, largest.key)]

    async def _target(
        self,
        origin: InspectedBucket,
        location: BucketLocation,
        regions: Sequence[str],
        sample: Sample | None,
    ) -> list[Finding]:
        target = self._known[_key(location)]
        if target.inquiry is None or origin.inquiry is None:
            return []
        cors = cors_finding(origin, target, location.name)
        found = [cors] if cors else []
        if sample is None:
            return found
        redirect = self.site.redirect
        objects = await compared(origin.inquiry, target.inquiry, sample, barriers_of(self.site))
        if not location.is_at(origin.inquiry.location) or is_unreadable(objects):
            fix, adopt = self._copying(origin.inquiry.location, location, regions)
            rule = None
            if is_lacking(objects):
                rule = await replicates(origin.inquiry, location.entry.bucket)
            found += sample_findings(
                location.name, objects, redirect.verify, fix, adopt=adopt, rule=rule
            )
        there = next((each.what for each in objects if each.state in THERE), None)
        if there is None:
            return found
        url = f"{self.site.targets[regions[0]].location()}/{encode_key(location.key(there.key))}"
        return [*found, await self._as_client(location, url, there.size)]

    async def _as_client(self, location: BucketLocation, url: str, size: int) -> Finding:
        """Request an object as a redirected client does."""
        lifetime = self.site.redirect.presign
        requested: str | None = url
        if lifetime is not None:
            also = location.entry.request_fields
            signer = Signer(location.credentials, location.entry.region, also=also)
            try:
                await signer.credentials()
            except OriginError as error:
                return Finding(Level.WRONG, location.name, "credentials", error.detail)
            requested = Presigner(signer, lifetime).location("GET", url)
        if requested is None:
            text = "redirect.presign: the credentials are missing, or expire within a minute"
            return Finding(Level.WRONG, location.name, "credentials", text, "renew the credentials")
        answer = await request_byte(self._session, requested, SECONDS)
        return target_finding(location.name, url, size, answer, signed=lifetime is not None)

    def _copying(
        self, origin: BucketLocation, target: BucketLocation, regions: Sequence[str]
    ) -> tuple[str, str]:
        """How missing objects are copied, and how copies of another tool are adopted."""
        if origin.server != target.server:
            return "copy them with another tool; nearbucket sync copies within one server only", ""
        several = len(self._settings.sites) > 1
        site = f" --site '{self.site.name}'" if several else ""
        command = f"run nearbucket sync{self._named}{site} --region {regions[0]}"
        return command, f"{command} --adopt"


def _owners(settings: Settings) -> list[Finding]:
    """Warnings about targets on AWS without ``expected_owner``."""
    text = (
        "expected_owner is not set: S3 then also answers if the bucket was deleted and another "
        "account has created one with its name"
    )
    fix = "set it to the id of the account that owns the bucket"
    return [
        Finding(Level.WARNING, key, "owner", text, fix) for key in targets_without_owner(settings)
    ]


def _far(settings: Settings) -> list[Finding]:
    """Warnings about targets in another region than their clients."""
    fix = "list it under its own region, or name a bucket in the clients' region"
    return [
        Finding(Level.WARNING, key, "region", text, fix)
        for key, text in targets_in_other_regions(settings).items()
    ]
