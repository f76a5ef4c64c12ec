"""A configuration and a list of prefixes become what workers decide by.

In: checked settings, checked ranges. Out: one frozen ``Snapshot``, small to send, and the
engine every process builds from it. Refuses to know when one replaces another.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nearbucket.config.file import masked
from nearbucket.errors import ConfigError
from nearbucket.policy.engine import Engine
from nearbucket.regions.region_table import (
    NetworkSet,
    RegionTable,
    build_table,
    network_set,
    networks_of,
    regions_of,
)

if TYPE_CHECKING:
    from nearbucket.config.settings import Listen, Settings
    from nearbucket.regions.ip_ranges import Ranges

CLOUDFRONT = "CLOUDFRONT_ORIGIN_FACING"
"""The service label behind the word ``cloudfront``: CloudFront's addresses towards origins."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What to decide by from now on.

    Attributes:
        settings: The configuration.
        table: Prefixes of the counted services, with the overrides.
        cdn: CloudFront's origin-facing prefixes.
        workers: How many workers share the public port.
    """

    settings: Settings
    table: RegionTable
    cdn: NetworkSet
    workers: int


def worker_count(listen: Listen) -> int:
    """Number of workers that the setting means here."""
    if listen.workers == "auto":
        return len(os.sched_getaffinity(0))
    return listen.workers


def snapshot_of(settings: Settings, ranges: Ranges | None) -> Snapshot:
    """What workers decide by. CPU-bound for a tenth of a second: run it off the loop."""
    return Snapshot(
        settings,
        build_table(ranges, settings.regions.services, settings.regions.overrides),
        networks_of(ranges, CLOUDFRONT) if ranges else network_set(()),
        worker_count(settings.listen),
    )


def regions_without_prefixes(settings: Settings, ranges: Ranges | None) -> list[str]:
    """Targets for regions in which the list has no address, by their keys."""
    if ranges is None:
        return []
    there = regions_of(ranges, settings.regions.services, settings.regions.overrides)
    return [
        f"sites.{number}.targets.{region}"
        for number, site in enumerate(settings.sites)
        for region in site.targets
        if region not in there
    ]


def engine_of(snapshot: Snapshot) -> Engine:
    """The engine a worker builds from a snapshot."""
    return Engine.build(snapshot.settings, snapshot.table, snapshot.cdn)


def refuse_restart(old: Settings, new: Settings) -> None:
    """Some keys are only read at the start; changing them is an error, not ignored."""
    fixed = {
        "listen": (old.listen, new.listen),
        "admin": (old.admin, new.admin),
        "limits.max_connections": (old.limits.max_connections, new.limits.max_connections),
        "log.access": (old.log.access, new.log.access),
        **{f"regions.{key}": (getattr(old.regions, key), getattr(new.regions, key))
           for key in ("source", "refresh", "cache")},
    }  # fmt: skip
    changed = [key for key, (before, after) in fixed.items() if before != after]
    if changed:
        raise ConfigError(f"{', '.join(changed)}: changes only with a restart")


def fingerprint(settings: Settings) -> str:
    """A short hash that names a configuration, secrets left out."""
    text = json.dumps(masked(settings), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
