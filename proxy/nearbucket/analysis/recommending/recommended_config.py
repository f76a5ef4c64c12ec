"""A recommended policy as a configuration: settings to decide with, and YAML to paste."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from nearbucket.config.aws_endpoints import known_regions, partition_of
from nearbucket.config.buckets import Target
from nearbucket.config.settings import Settings
from nearbucket.config.sites import Site
from nearbucket.policy.engine import host_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nearbucket.analysis.recommending.policy_fit import FittedPolicy
    from nearbucket.config.prices import Prices
    from nearbucket.pricing.tariff import Tariff

_BUCKET = "downloads"
_ROOM = 40  # of the 63 characters of a bucket's name (S3 user guide), beside a region's
_PRESIGNED = 900.0  # seconds; a Requester Pays bucket refuses clients without a signature
_DIGITS = 6
_MOST_HOSTS = 20
_WIDE = 1000  # a pattern is not broken over lines


def base_settings(origin_region: str, own: Settings | None) -> Settings:
    """A configuration whose first site is for all objects: that of ``own``, or one made up.

    Other sites of ``own`` only keep their hosts: they redirect nothing.

    Raises:
        ConfigError: There is no such region.
    """
    if own is None:
        site: dict[str, Any] = {
            "origin": {"bucket": _BUCKET, "region": origin_region},
            "redirect": {"paths": ("*",)},
        }
        return Settings.model_validate({"sites": [site]})
    first, *others = own.sites
    all_objects = {"paths": ("*",), "min_size": 0, "percent": 100.0, "mode": "on"}
    sites = (
        _with_redirect(first, all_objects),
        *(_with_redirect(e, {"mode": "off"}) for e in others),
    )
    return own.model_copy(update={"sites": sites})


def _with_redirect(site: Site, changes: dict[str, object]) -> Site:
    redirect = site.redirect.model_copy(update=changes)
    return site.model_copy(update={"redirect": redirect})


def recommended_settings(base: Settings, policy: FittedPolicy) -> Settings:
    """The base with the patterns, floor and regions of a policy in its first site."""
    site, *others = base.sites
    targets = {
        region: _target(site, region).model_copy(update={"mode": "on"}) for region in policy.regions
    }
    redirect = {
        "paths": policy.patterns,
        "exclude": excluded(site, policy),
        "min_size": 1 << policy.floor if policy.floor else 0,
    }
    if any(target.request_payer for target in targets.values()) and not site.redirect.presign:
        redirect["presign"] = _PRESIGNED
    changed = _with_redirect(site.model_copy(update={"targets": targets}), redirect)
    return base.model_copy(update={"sites": (changed, *others)})


def in_shadow_mode(settings: Settings) -> Settings:
    """The settings with a first site that redirects nothing yet."""
    first, *others = settings.sites
    sites = (_with_redirect(first, {"mode": "shadow"}), *others)
    return settings.model_copy(update={"sites": sites})


def with_hosts(settings: Settings, logged: Sequence[str]) -> Settings:
    """The settings with the hosts of a log in the first site.

    With those for all hosts if they are very many, or a name is none: then clients made them up.
    """
    first, *others = settings.sites
    names = tuple(dict.fromkeys(host_name(name) or name for name in logged))
    if not 0 < len(names) <= _MOST_HOSTS:
        return settings
    try:
        hosts = Site(hosts=names, origin=first.origin).hosts
    except ValidationError:
        return settings
    return settings.model_copy(
        update={"sites": (first.model_copy(update={"hosts": hosts}), *others)}
    )


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


def _target(site: Site, region: str) -> Target:
    """The site's target, the origin's own bucket as one, or a bucket that may not exist yet."""
    origin = site.origin
    if region in site.targets:
        return site.targets[region]
    if region == origin.region:
        same = origin.model_dump(exclude={"query", "inventory"}, exclude_defaults=True)
        return Target.model_validate(same)
    name = f"{origin.bucket[:_ROOM]}-{region}"
    return Target(bucket=name, region=region, credentials=origin.credentials)


def recommended_prices(own: Prices, by: Tariff, monthly_gb: float) -> Prices:
    """The prices that a recommendation was computed with.

    Args:
        own: The configuration's own.
        by: The tariff, with what the command line says.
        monthly_gb: GB a month in the log; 0 if it does not tell. It may have less than the bill
            that ``own`` is from.
    """
    return own.model_copy(
        update={
            "plan": by.plan,
            "price_class": by.price_class,
            # a bill above the list prices cannot be said
            "discount": round(max(0.0, 100 * (1 - by.factor)), 2),
            "cdn_per_gb": None if by.cdn_per_gb is None else round(by.cdn_per_gb, _DIGITS),
            "region_per_gb": {name: round(usd, _DIGITS) for name, usd in by.region_per_gb.items()},
            "monthly_gb": max(monthly_gb, own.monthly_gb or 0.0) or None,
        }
    )


def recommended_yaml(settings: Settings, heading: Sequence[str]) -> str:
    """The block to paste: the first site, and prices that ``nearbucket check --offline`` accepts.

    Only ASCII: whatever else comes from a log is escaped.

    Args:
        settings: The recommended configuration.
        heading: Comment lines.
    """
    document = settings.model_dump(mode="json", exclude_defaults=True, include={"sites", "prices"})
    document["sites"] = document["sites"][:1]
    for site in document["sites"]:
        for region, target in site["targets"].items():
            if target["region"] == region:
                del target["region"]  # the default
    prices = document.get("prices", {})
    if "monthly_gb" in prices:
        prices["monthly_gb"] = round(prices["monthly_gb"])
    text: str = yaml.safe_dump(document, sort_keys=False, width=_WIDE)
    return "".join(f"# {line}\n" for line in heading) + text
