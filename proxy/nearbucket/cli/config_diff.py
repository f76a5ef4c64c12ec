"""The command that says what a change would do: ``nearbucket config diff``.

In: arguments. Out: text or JSON, and an exit code. Refuses to hold logic that another command
could want.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path  # noqa: TC003  # typer reads it
from typing import TYPE_CHECKING, Annotated

import typer

from nearbucket.cli.output import AsJson, RangesFile  # noqa: TC001  # typer reads them
from nearbucket.config.file import load
from nearbucket.errors import ConfigError
from nearbucket.regions.ip_ranges_source import ranges_in_use

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nearbucket.analysis.policy_diff import PolicyDiffTotals
    from nearbucket.analysis.replay import Replay
    from nearbucket.config.settings import Settings

_TICK = 5000  # lines between two looks at the bar


def diff(  # noqa: PLR0913  # one parameter an option
    before: Annotated[Path, typer.Argument(metavar="A", help="Configuration file in use.")],
    after: Annotated[Path, typer.Argument(metavar="B", help="Configuration file to come.")],
    log: Annotated[
        list[str] | None,
        typer.Option("--log", metavar="FILE", help=(
            "Access log to replay, of nearbucket (JSON, W3C) or CloudFront (W3C), gzip or not; "
            "may be repeated; - is standard input."
        )),
    ] = None,
    ranges: RangesFile = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Lines of the log to replay at most.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Say in which settings B differs from A, and which logged requests it would answer otherwise.

    The environment's NEARBUCKET_... variables count for both files.
    """
    from nearbucket.cli.config_diff_report import (  # noqa: PLC0415  # after the argument's check
        differences,
        print_as_json,
        print_differences,
        print_notes,
        print_totals,
        restart_needed,
    )

    old, new = load(before), load(after)
    found, restart = differences(old, new), restart_needed(old, new)
    if not as_json:
        print_differences(found, restart)
    totals = _replayed(log, _replay(old, new, ranges), limit) if log else None
    if as_json:
        print_as_json(found, restart, totals, new.prices)
    elif totals is None:
        typer.echo("nearbucket: --log FILE, an access log, shows which answers change", err=True)
    else:
        print_totals(totals, new.prices)
        print_notes(totals, found)


def _replay(old: Settings, new: Settings, ranges: Path | None) -> Replay:
    """Both engines over one list: what differs then is the configurations' doing."""
    from nearbucket.analysis.replay import Replay  # noqa: PLC0415
    from nearbucket.supervisor.snapshot import engine_of, snapshot_of  # noqa: PLC0415

    document = ranges_in_use(new.regions, ranges) or ranges_in_use(old.regions, None)
    if document is None:
        typer.echo("nearbucket: no list of prefixes yet, so no address has a region: run "
                   "`nearbucket ranges update`, or give --ranges FILE", err=True)  # fmt: skip
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
