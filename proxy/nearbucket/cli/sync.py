"""The command ``nearbucket sync``: copies objects from the origins to their targets."""

from __future__ import annotations

import signal
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from nearbucket.cli.output import NEEDS_ATTENTION, AsJson, Config, exit_code, print_error
from nearbucket.config.file import load, name_of
from nearbucket.errors import ConfigError, ProxyError
from nearbucket.pricing.tariff import tariff
from nearbucket.s3.sdk.direct_access import refuse_variables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nearbucket.cli.sync_report import SyncReport
    from nearbucket.replication.replicator import SyncOptions

_SIGNALLED = 128
"""Added to a signal's number, as shells do."""


def sync(  # noqa: PLR0913  # one parameter an option
    config: Config = None,
    site: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST", help="Any host of a site, by default all sites; may be repeated."
        ),
    ] = None,
    region: Annotated[
        list[str] | None,
        typer.Option(metavar="REGION", help="Region of a target, by default all; may be repeated."),
    ] = None,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing; show the copies and their cost.")
    ] = False,
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete objects that the origin does not have.")
    ] = False,
    adopt: Annotated[
        bool,
        typer.Option("--adopt", help="Compare and mark copies of other tools instead of copying."),
    ] = False,
    parallel: Annotated[
        int, typer.Option(min=1, max=256, metavar="N", help="Number of parallel copies.")
    ] = 32,
    as_json: AsJson = False,
) -> None:
    """Copy to the targets the objects that can be redirected and are missing or different there."""
    import asyncio  # noqa: PLC0415  # other commands start faster without these

    from nearbucket.cli.sync_report import SyncReport, print_as_json, print_reports  # noqa: PLC0415
    from nearbucket.replication.plan import steps_of  # noqa: PLC0415
    from nearbucket.replication.replicator import SyncOptions  # noqa: PLC0415  # a second for the SDK

    settings = load(config)
    refuse_variables(settings)
    file = name_of(config)
    try:
        steps = steps_of(settings, site or (), region or (), delete=delete)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from None
    reports = [SyncReport(step, dry_run, adopt) for step in steps]
    if not reports and not as_json:
        print_error(f"{file}: nothing to do: sites[].targets has no bucket besides the origin")
    memory = settings.regions.cache.parent / "sync"
    options = SyncOptions(
        parallel=parallel, dry_run=dry_run, delete=delete, adopt=adopt, memory=memory
    )
    signalled = asyncio.run(_run(reports, options, lists=dry_run and not as_json))
    if as_json:
        print_as_json(reports, tariff(settings.prices), interrupted=signalled != 0)
    elif reports:
        print_reports(reports, tariff(settings.prices))
    problems = (report.progress.problem for report in reports)
    for problem in dict.fromkeys(str(each) for each in problems if each):
        print_error(f"{file}: {problem}")
    if signalled:
        print_error("interrupted; run the command again to continue")
        raise typer.Exit(_SIGNALLED + signalled)
    raise typer.Exit(max((_code(report) for report in reports), default=0))


async def _run(reports: Sequence[SyncReport], options: SyncOptions, *, lists: bool) -> int:
    """Sync the targets one after the other; returns the signal that interrupted it, or 0."""
    import asyncio  # noqa: PLC0415

    running = asyncio.ensure_future(_each(reports, options, lists=lists))
    signals: list[int] = []

    def interrupt(number: int) -> None:
        signals.append(number)
        running.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt, number)
    try:
        await running
    except asyncio.CancelledError:
        if not signals:
            raise
    return signals[0] if signals else 0


async def _each(reports: Sequence[SyncReport], options: SyncOptions, *, lists: bool) -> None:
    from nearbucket.cli.sync_report import progress  # noqa: PLC0415
    from nearbucket.replication.replicator import Replicator  # noqa: PLC0415

    for report in reports:
        step = report.step
        found = {"found": report.found} if lists else {}
        run = Replicator(
            (step.origin, step.target),
            step.chosen,
            report.progress,
            replace(options, barriers=step.barriers, site=step.site),
            **found,
        )
        try:
            async with progress(report):
                await run.run()
        except ProxyError as error:
            report.progress.problem = error


def _code(report: SyncReport) -> int:
    if report.progress.problem:
        return exit_code(report.progress.problem)
    progress = report.progress
    return NEEDS_ATTENTION if progress.failures or progress.unreadable or report.unproven else 0
