"""The command that says what a change would do: ``nearbucket config diff``.

In: arguments. Out: text or JSON, and an exit code. Refuses to hold logic that another command
could want.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path  # noqa: TC003  # typer reads it
from typing import TYPE_CHECKING, Annotated

import typer

from nearbucket.cli.output import NO_RANGES, AsJson, RangesFile, print_error
from nearbucket.config.file import load
from nearbucket.errors import ConfigError
from nearbucket.regions.ip_ranges_source import ranges_in_use

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nearbucket.analysis.policy_diff import PolicyDiffTotals
    from nearbucket.analysis.replay import Replay
    from nearbucket.config.settings import Settings

_LOG = (
    "Access log to replay, of nearbucket (JSON, W3C) or CloudFront (W3C), gzip or not; may be "
    "repeated; - is standard input."
)
_TICK = 5000  # lines between two looks at the bar


def diff(  # noqa: PLR0913  # one parameter an option
    before: Annotated[Path, typer.Argument(metavar="A", help="Configuration file in use.")],
    after: Annotated[Path, typer.Argument(metavar="B", help="Configuration file to come.")],
    log: Annotated[list[str] | None, typer.Option("--log", metavar="FILE", help=_LOG)] = None,
    ranges: RangesFile = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Lines of the log to replay at most.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Say in which settings B differs from A, and which logged requests it would answer otherwise.

    The environment's NEARBUCKET_... variables count for both files.
    """
    from nearbucket.cli import config_diff_report as report  # noqa: PLC0415

    old, new = load(before), load(after)
    found, restart = report.differences(old, new), report.restart_needed(old, new)
    if not as_json:
        report.print_differences(found, restart)
    totals = _replayed(log, _replay(old, new, ranges), limit) if log else None
    if as_json:
        report.print_as_json(found, restart, totals, new.prices)
    elif totals is None:
        print_error("--log FILE, an access log, shows which answers change")
    else:
        report.print_totals(totals, new.prices)
        report.print_notes(totals, found)


def _replay(old: Settings, new: Settings, ranges: Path | None) -> Replay:
    """Both engines over one list: what differs then is the configurations' doing."""
    from nearbucket.analysis.replay import Replay  # noqa: PLC0415
    from nearbucket.supervisor.snapshot import engine_of, snapshot_of  # noqa: PLC0415

    document = ranges_in_use(new.regions, ranges) or ranges_in_use(old.regions, None)
    if document is None:
        print_error(NO_RANGES)
    before, after = (engine_of(snapshot_of(settings, document)) for settings in (old, new))
    return Replay(before, after)


def _replayed(names: Sequence[str], replay: Replay, limit: int | None) -> PolicyDiffTotals:
    from nearbucket.analysis.log_reader import LogFiles  # noqa: PLC0415
    from nearbucket.analysis.policy_diff import PolicyDiff  # noqa: PLC0415
    from nearbucket.cli.config_diff_report import progress  # noqa: PLC0415

    logs, changes = LogFiles(names), PolicyDiff(replay)
    with progress(logs) as show:
        for number, line in enumerate(islice(logs.entries(), limit)):
            changes.add(line)
            if number % _TICK == 0:
                show(number)
    totals = changes.finish()
    if not totals.requests and (why := totals.first or next(iter(totals.broken), None)):
        raise ConfigError(f"--log: no line can be read as a request: {why}")
    return totals
