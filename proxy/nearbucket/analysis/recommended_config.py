"""A recommended policy as a configuration: settings to decide with, and YAML to paste."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from nearbucket.analysis.policy_text import size_words
from nearbucket.config.aws_endpoints import known_regions, partition_of
from nearbucket.config.buckets import Target
from nearbucket.config.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nearbucket.analysis.policy_fit import FittedPolicy
    from nearbucket.config.buckets import Origin
    from nearbucket.config.sites import Site

_BUCKET = "downloads"
_ROOM = 40  # of the 63 characters of a bucket's name (S3 user guide), beside a region's
_WIDE = 1000  # a pattern is not broken over lines


def base_settings(origin_region: str, own: Settings | None) -> Settings:
    """A configuration with one site, for all objects: the first of ``own``, or one made up.

    Raises:
        ConfigError: There is no such region.
    """
    if own is None:
        site: dict[str, Any] = {
            "origin": {"bucket": _BUCKET, "region": origin_region},
            "redirect": {"paths": ("*",)},
        }
        return Settings.model_validate({"sites": [site]})
    first = own.sites[0]
    redirect = first.redirect.model_copy(
        update={"paths": ("*",), "min_size": 0, "percent": 100.0, "mode": "on"}
    )
    return own.model_copy(update={"sites": (first.model_copy(update={"redirect": redirect}),)})


def recommended_settings(base: Settings, policy: FittedPolicy) -> Settings:
    """The base with the patterns, floor and regions of a policy."""
    site = base.sites[0]
    redirect = site.redirect.model_copy(
        update={
            "paths": policy.patterns,
            "exclude": excluded(site, policy),
            "min_size": 1 << policy.floor if policy.floor else 0,
        }
    )
    targets = {
        region: site.targets.get(region) or _new_target(site.origin, region)
        for region in policy.regions
    }
    changed = site.model_copy(update={"redirect": redirect, "targets": targets})
    return base.model_copy(update={"sites": (changed,)})


def possible_regions(site: Site) -> set[str]:
    """Regions that can have a bucket: those of the origin's partition.

    At a server that is not AWS, only those that have one: no bucket can be made up there.
    """
    here = {site.origin.region, *site.targets}
    if site.origin.endpoint is not None:
        return here
    partition = partition_of(site.origin.region)
    return here | {region for region in known_regions() if partition_of(region) == partition}


def excluded(site: Site, policy: FittedPolicy) -> tuple[str, ...]:
    """The patterns that a site excludes with a policy: its own, and the policy's."""
    return tuple(dict.fromkeys((*site.redirect.exclude, *policy.exclude)))


def _new_target(origin: Origin, region: str) -> Target:
    """The origin's own bucket as a target, or a bucket that may not exist yet."""
    if region == origin.region:
        same = origin.model_dump(exclude={"query", "inventory"}, exclude_defaults=True)
        return Target.model_validate(same)
    name = f"{origin.bucket[:_ROOM]}-{region}"
    return Target(bucket=name, region=region, credentials=origin.credentials)


def recommended_yaml(settings: Settings, heading: Sequence[str]) -> str:
    """The block to paste: sites and prices that ``nearbucket check --offline`` accepts.

    Only ASCII: whatever else comes from a log is escaped.

    Args:
        settings: The recommended configuration.
        heading: Comment lines.
    """
    document = settings.model_dump(mode="json", exclude_defaults=True, include={"sites", "prices"})
    for site in document["sites"]:
        for region, target in site["targets"].items():
            if target["region"] == region:
                del target["region"]  # the default
        if "min_size" in site["redirect"]:
            site["redirect"]["min_size"] = size_words(site["redirect"]["min_size"])
    if (volume := document["prices"].get("monthly_gb")) is not None:
        document["prices"]["monthly_gb"] = round(volume)
    text: str = yaml.safe_dump(document, sort_keys=False, width=_WIDE)
    return "".join(f"# {line}\n" for line in heading) + text
