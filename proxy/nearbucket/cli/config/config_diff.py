"""The command ``nearbucket config diff``: compares two configurations, also on an access log."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from nearbucket.cli.output import (
    NO_RANGES,
    AsJson,
    RangesFile,
    config_file,
    print_error,
    ranges_for,
)
from nearbucket.config.file import ConfigFile, load
from nearbucket.errors import ConfigError
from nearbucket.pricing.tariff import tariff

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nearbucket.analysis.policy_diff import PolicyDiff, PolicyDiffTotals
    from nearbucket.config.settings import Settings

_LOG = (
    "Access log in any format of `nearbucket analyze`, also with gzip, whose requests are "
    "decided by both configurations; a folder or pattern stands for its files; may be repeated; - "
    "is standard input."
)
_TICK = 5000  # lines between two updates of the progress bar


def diff(  # noqa: PLR0913  # one parameter an option
    before: Annotated[
        ConfigFile,
        typer.Argument(metavar="A", help="Configuration in use.", parser=config_file),
    ],
    after: Annotated[
        ConfigFile,
        typer.Argument(metavar="B", help="Changed configuration.", parser=config_file),
    ],
    log: Annotated[list[str] | None, typer.Option("--log", metavar="FILE", help=_LOG)] = None,
    ranges: RangesFile = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Read at most this number of lines of the logs."),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show the settings that differ between A and B, and the logged requests whose answers change.

    NEARBUCKET_... variables of the environment apply to both files.
    """
    from nearbucket.cli.config import config_diff_report as report  # noqa: PLC0415
    from nearbucket.config.differences import differences  # noqa: PLC0415

    old, new = load(before), load(after)
    found, restart = differences(old, new), report.restart_needed(old, new)
    if not as_json:
        report.print_differences(found, restart)
    totals = _replayed(log, _changes(old, new, ranges), limit) if log else None
    by = tariff(new.prices, origin_region=new.sites[0].origin.region)
    if as_json:
        report.print_as_json(found, restart, totals, by)
    elif totals is None:
        if found:
            print_error("to see which answers change, give an access log with --log FILE")
    else:
        report.print_totals(totals, by)
        if not (_redirects(old) or _redirects(new)):
            print_error("nothing is redirected by either: redirect.mode is shadow or off in both")
        for note in report.notes(totals, found, by):
            print_error(note)


def _changes(old: Settings, new: Settings, ranges: Path | None) -> PolicyDiff:
    """Counts changes by the engines of both configurations, with the same list of prefixes."""
    from nearbucket.analysis.policy_diff import PolicyDiff  # noqa: PLC0415
    from nearbucket.analysis.replay import Replay  # noqa: PLC0415
    from nearbucket.supervisor.snapshot import engine_of, snapshot_of  # noqa: PLC0415

    document = ranges_for(new.regions, ranges) or ranges_for(old.regions, None)
    if document is None:
        raise ConfigError(NO_RANGES)
    before, after = (engine_of(snapshot_of(settings, document)) for settings in (old, new))
    floors = _floors(old), _floors(new)
    return PolicyDiff(Replay(before, after, floors), old, new)


def _redirects(settings: Settings) -> bool:
    """Whether a target's mode is ``on``."""
    return any(
        site.mode_of(region) == "on" for site in settings.sites for region in site.regions_in_use
    )


def _floors(settings: Settings) -> dict[str, int]:
    return {site.name: site.redirect.min_size for site in settings.sites}


def _replayed(names: Sequence[str], changes: PolicyDiff, limit: int | None) -> PolicyDiffTotals:
    from nearbucket.analysis.reading.log_reader import LogFiles  # noqa: PLC0415
    from nearbucket.cli.log_progress import log_progress  # noqa: PLC0415

    logs = LogFiles(names)
    with log_progress(logs.size or 0) as show:
        shown = 0
        for number, line in enumerate(islice(logs.entries(), limit)):
            changes.add(line)
            if number % _TICK == 0:
                show(logs.position - shown)
                shown = logs.position
    totals = changes.finish()
    totals.s3_logs = logs.s3_logs
    if not totals.requests and (why := totals.first or next(iter(totals.broken), None)):
        raise ConfigError(f"--log: no line is a request: {why}")
    return totals
