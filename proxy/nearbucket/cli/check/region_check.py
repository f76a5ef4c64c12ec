"""Findings about the list of prefixes: does it have addresses in the regions of all targets?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nearbucket.cli.check.finding import Finding, Level
from nearbucket.config.regular_file import expanded
from nearbucket.errors import ConfigError, RangesError
from nearbucket.regions.ip_ranges_source import ranges_in_use
from nearbucket.regions.queries import unlisted_services
from nearbucket.supervisor.config_warnings import regions_without_prefixes

if TYPE_CHECKING:
    from nearbucket.config.settings import Settings

_PLACE = "regions.cache"
_LIST = "the list of prefixes"


def region_findings(settings: Settings, named: str) -> list[Finding]:
    """A warning for each target in whose region the list has no address; else that all have some.

    Args:
        settings: The configuration.
        named: ``--config FILE`` for the command in the advice, with a space before it; or empty.
    """
    update = f"run nearbucket ranges update{named}"
    try:
        document = ranges_in_use(settings.regions, None)
    except (ConfigError, RangesError) as error:
        if expanded(Path(settings.regions.source)).is_file():
            fix = "name a file that is such a list, or AWS's URL"
            return [Finding(Level.WARNING, "regions.source", "ranges", str(error), fix)]
        return [Finding(Level.WARNING, _PLACE, "ranges", str(error), update)]
    if document is None:
        text = "there is no list of prefixes to check the targets' regions with"
        return [Finding(Level.NOTE, _PLACE, "ranges", text, update)]
    labels = ", ".join(settings.regions.services)
    name = f"the built-in list of prefixes of {document.date}" if document.built_in else _LIST
    text = f"{name} has no {labels} address in this region: no client is redirected"
    without = regions_without_prefixes(settings, document)
    found = [Finding(Level.WARNING, key, "ranges", text, fix) for key, fix in without.items()]
    for label, fix in unlisted_services(settings.regions.services, document).items():
        wrong = f"{label!r} is not a label in the list of prefixes"
        found.insert(0, Finding(Level.WARNING, "regions.services", "ranges", wrong, fix))
    if document.built_in:
        text = f"{name} is used, since there is no newer copy; serve replaces it at its first fetch"
        return [*found, Finding(Level.OK, _PLACE, "ranges", text, update)]
    if not found:
        text = f"{_LIST} of {document.created} has addresses in all targets' regions"
        return [Finding(Level.OK, _PLACE, "ranges", text)]
    return found
