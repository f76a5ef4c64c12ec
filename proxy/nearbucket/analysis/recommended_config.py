"""A recommended policy as a configuration: settings to decide with, and YAML to paste."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from nearbucket.analysis.policy_text import size_words
from nearbucket.config.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nearbucket.analysis.policy_fit import FittedPolicy
    from nearbucket.config.sites import Site

_BUCKET = "downloads"
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
    own = Settings.model_validate({"sites": [_site(site, policy)]}).sites[0]
    targets = {region: site.targets.get(region, own.targets[region]) for region in policy.regions}
    changed = site.model_copy(update={"redirect": redirect, "targets": targets})
    return base.model_copy(update={"sites": (changed,)})


def excluded(site: Site, policy: FittedPolicy) -> tuple[str, ...]:
    """The patterns that a site excludes with a policy: its own, and the policy's."""
    return tuple(dict.fromkeys((*site.redirect.exclude, *policy.exclude)))


def _site(site: Site, policy: FittedPolicy) -> dict[str, Any]:
    origin = site.origin
    return {
        "origin": {"bucket": origin.bucket, "region": origin.region},
        "targets": {region: {"bucket": _bucket(site, region)} for region in policy.regions},
    }


def _bucket(site: Site, region: str) -> str:
    """The name of a bucket that may not exist yet; at most 63 characters (S3 user guide)."""
    origin = site.origin
    if region in site.targets:
        return site.targets[region].bucket
    return origin.bucket if region == origin.region else f"{origin.bucket[:40]}-{region}"


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
    text: str = yaml.safe_dump(document, sort_keys=False, width=_WIDE)
    return "".join(f"# {line}\n" for line in heading) + text
