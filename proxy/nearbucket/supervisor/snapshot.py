"""A snapshot: the settings and prefixes by which workers decide, as one immutable value.

Every process builds the same engine from it.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

from nearbucket.config.file import masked
from nearbucket.policy.engine import Engine
from nearbucket.regions.list_guard import CLOUDFRONT
from nearbucket.regions.region_table import (
    NetworkSet,
    RegionTable,
    build_table,
    network_set,
    networks_of,
)

if TYPE_CHECKING:
    from nearbucket.config.settings import Listen, Settings
    from nearbucket.regions.ip_ranges import Ranges
    from nearbucket.supervisor.sockets.listener_tls import KeyPair

_READ_AT_START = (
    "listen", "admin", "limits.max_connections", "log.access", "log.format",
    "regions.source", "regions.refresh", "regions.cache",
)  # fmt: skip


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


def uses_ambient_credentials(settings: Settings) -> bool:
    """Whether a bucket is used with the credentials of the AWS SDK's chain."""
    return any(
        bucket.credentials == "ambient"
        for site in settings.sites
        for bucket in (*site.origins.values(), *site.targets.values())
    )
