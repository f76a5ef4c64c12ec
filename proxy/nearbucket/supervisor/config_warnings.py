"""Warnings about configurations whose settings are valid, for the log and ``nearbucket check``."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from nearbucket.config.aws_endpoints import known_regions
from nearbucket.config.value_types import nearest
from nearbucket.regions.queries import unlisted_services
from nearbucket.regions.region_table import regions_of
from nearbucket.s3.bucket_location import target_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from nearbucket.config.settings import Settings
    from nearbucket.regions.ip_ranges import Ranges

_USUAL_STOP_TIMEOUT = 30.0  # seconds

_log = logging.getLogger(__name__)


def list_warnings(settings: Settings, ranges: Ranges | None) -> list[str]:
    """Warnings of settings that have no effect with this list of prefixes."""
    unlisted = unlisted_services(settings.regions.services, ranges) if ranges else {}
    return [
        f"regions.services: {label!r} is not a label in the list of prefixes; {hint}"
        for label, hint in unlisted.items()
    ] + [
        f"{key}: the list of prefixes has no address in this region, so no client is redirected "
        f"there; {advice}"
        for key, advice in regions_without_prefixes(settings, ranges).items()
    ]


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
    """Log what may be wrong with targets and the drain, though the settings are valid."""
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
    if settings.limits.drain_timeout < _USUAL_STOP_TIMEOUT:
        return None
    return (
        f"{settings.limits.drain_timeout:g} s is longer than containers usually have between "
        f"SIGTERM and SIGKILL ({_USUAL_STOP_TIMEOUT:g} s in ECS and Kubernetes, 10 s in Docker)"
    )
