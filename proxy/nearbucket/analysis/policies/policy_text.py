"""A policy, and the period that it is found from, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nearbucket.config.value_types import written_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nearbucket.config.settings import Settings
    from nearbucket.config.sites import Site

_HOURS, _MINUTES = 24, 1440  # of a day


def policy_text(settings: Settings) -> str:
    """What a configuration redirects, in one line: patterns, size floor and regions of each site.

    >>> policy_text(settings)
    '*.tar.*z*; us-east-1 and us-west-2'
    """
    sites = settings.sites
    named = len(sites) > 1
    return " | ".join((f"{site.name}: " if named else "") + _site_text(site) for site in sites)


def _site_text(site: Site) -> str:
    regions = site.regions_in_use
    if not regions:
        return "no redirects"
    redirect = site.redirect
    text = listed(redirect.paths)
    if redirect.min_size:
        text += f", from {written_size(redirect.min_size)}"
    text += f"; {listed(regions)}"
    if redirect.percent < 100:  # noqa: PLR2004  # of a hundred
        text += f"; {redirect.percent:g} percent of the requests"
    if any(site.mode_of(region) == "shadow" for region in regions):
        text += "; as if it was not in shadow mode"
    return text


def days_text(days: float) -> str:
    """Length of a period: ``13.5 days``, ``3 hours``, ``15 minutes``."""
    number, unit = (days, "day") if days >= 1 else (days * _HOURS, "hour")
    if number < 1:
        number, unit = max(1, round(days * _MINUTES)), "minute"
    text = f"{round(number, 1):g}"
    return f"{text} {unit}" if text == "1" else f"{text} {unit}s"


def percent(share: float) -> str:
    """``64 %`` for 0.64."""
    return f"{100 * share:.0f} %"


def listed(words: Sequence[str]) -> str:
    """``a, b and c``."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
