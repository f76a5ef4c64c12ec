"""A snapshot: the settings and prefixes by which workers decide, as one immutable value.

Every process builds the same engine from it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

from nearbucket.config.aws_endpoints import known_regions
from nearbucket.config.file import masked
from nearbucket.config.value_types import nearest
from nearbucket.policy.engine import Engine
from nearbucket.regions.list_guard import CLOUDFRONT
from nearbucket.regions.region_table import (
    NetworkSet,
    RegionTable,
    build_table,
    network_set,
    networks_of,
    regions_of,
)
from nearbucket.s3.bucket_location import target_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from nearbucket.config.settings import Listen, Settings
    from nearbucket.regions.ip_ranges import Ranges
    from nearbucket.supervisor.sockets.listener_tls import KeyPair

_READ_AT_START = (
    "listen", "admin", "limits.max_connections", "log.access", "log.format",
    "regions.source", "regions.refresh", "regions.cache",
)  # fmt: skip

_log = logging.getLogger(__name__)

USUAL_STOP_TIMEOUT = 30.0  # seconds


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The settings and prefixes of one moment.

    Attributes:
        settings: The configuration.
        table: Prefixes of the services in ``regions.services``, with ``regions.overrides``.
        cdn: CloudFront's origin-facing prefixes.
        workers: How many workers share the public port.
        certificate: That of the public port, if ``listen.tls`` is set.
    """

    settings: Settings
    table: RegionTable
    cdn: NetworkSet
    workers: int
    certificate: KeyPair | None = None


def worker_count(listen: Listen) -> int:
    """Number of workers: the setting, or one for each core that this process may use."""
    if listen.workers == "auto":
        return len(os.sched_getaffinity(0))
    return listen.workers


def snapshot_of(
    settings: Settings, ranges: Ranges | None, certificate: KeyPair | None = None
) -> Snapshot:
    """A snapshot. Takes 25 ms of CPU time, so call it ``in_background``."""
    return Snapshot(
        settings,
        build_table(ranges, settings.regions.services, settings.regions.overrides),
        networks_of(ranges, CLOUDFRONT) if ranges else network_set(()),
        worker_count(settings.listen),
        certificate,
    )


def regions_without_prefixes(settings: Settings, ranges: Ranges | None) -> dict[str, str]:
    """The keys of targets for regions in which the list has no address, and what may help.

    For a name that AWS has no region of, that is the most similar region of the list.
    """
    if ranges is None:
        return {}
    regions = regions_of(ranges, settings.regions.services, settings.regions.overrides)
    return {
        f"{site.key}.targets.{region}": _advice(region, regions)
        for site in settings.sites
        for region in site.targets
        if region not in regions
    }


def _advice(region: str, regions: Collection[str | None]) -> str:
    near = None if region in known_regions() else nearest(region, sorted(filter(None, regions)))
    if near:
        return f"did you mean {near}?"
    return "correct the region, or add regions.services or regions.overrides"


def warn_of_targets(settings: Settings) -> None:
    """Log what may be wrong with targets and the drain, though no setting is."""
    for key, warning in targets_in_other_regions(settings).items():
        _log.warning("%s: %s", key, warning)
    if needed := long_drain(settings):
        _log.info("limits.drain_timeout: %s; set the stop timeout above it", needed)
    if keys := targets_without_owner(settings):
        _log.warning(
            "expected_owner is not set for %s: S3 then also answers if the bucket was deleted "
            "and another account has created one with its name",
            ", ".join(keys),
        )


def targets_without_owner(settings: Settings) -> list[str]:
    """The keys of targets on AWS without ``expected_owner``."""
    targets = (target_of(site, region) for site in settings.sites for region in site.targets)
    return [target.name for target in targets if target.on_aws and target.owner is None]


def targets_in_other_regions(settings: Settings) -> dict[str, str]:
    """The keys of targets whose bucket is in another region than their clients, and a warning."""
    return {
        f"{site.key}.targets.{region}": (
            f"the bucket is in {place}, another region than its clients: each GB that they get "
            "from it is billed as transfer between regions"
        )
        for site in settings.sites
        for region in site.targets
        if (place := site.bucket_region(region)) != region
    }


def long_drain(settings: Settings) -> str | None:
    """What a drain that is longer than the usual stop timeouts of containers needs."""
    if settings.limits.drain_timeout < USUAL_STOP_TIMEOUT:
        return None
    return (
        f"{settings.limits.drain_timeout:g} s is longer than containers usually have between "
        f"SIGTERM and SIGKILL ({USUAL_STOP_TIMEOUT:g} s in ECS and Kubernetes, 10 s in Docker)"
    )


def engine_of(snapshot: Snapshot) -> Engine:
    """The engine that decides by a snapshot."""
    return Engine.build(snapshot.settings, snapshot.table, snapshot.cdn)


def restart_needed(old: Settings, new: Settings) -> list[str]:
    """The keys of settings that differ and are read only at the start."""
    return [key for key in _READ_AT_START if attrgetter(key)(old) != attrgetter(key)(new)]


def without_restart(old: Settings, new: Settings) -> Settings:
    """The new settings, with the old values of those that are read only at the start."""
    kept = new
    for key in restart_needed(old, new):
        section, _, name = key.partition(".")
        value = getattr(old, section)
        if name:
            value = getattr(kept, section).model_copy(update={name: getattr(value, name)})
        kept = kept.model_copy(update={section: value})
    return kept


def fingerprint(settings: Settings) -> str:
    """A short hash of a configuration without its secrets."""
    text = json.dumps(masked(settings), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def origins_down(settings: Settings, down: Mapping[tuple[str, str], str]) -> list[str]:
    """A warning for each origin that is down; ``down`` as in ``status_of``."""
    return [
        f"{site.key}.{key}: bucket {bucket.bucket} is down, and other origins are asked: {why}"
        for site in settings.sites
        for key, bucket in site.origins.items()
        if (why := down.get((site.name, key)))
    ]


def uses_ambient_credentials(settings: Settings) -> bool:
    """Whether a bucket is used with the credentials of the AWS SDK's chain."""
    return any(
        bucket.credentials == "ambient"
        for site in settings.sites
        for bucket in (*site.origins.values(), *site.targets.values())
    )
