"""How ``nearbucket sync`` shows what it does: a bar, lines now and then, and the summary.

In: steps and their tallies. Out: text on both outputs, or one JSON document. Refuses to know
how anything is compared or copied.
"""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TransferSpeedColumn,
)

from nearbucket.cli.output import print_error, print_json, print_table, printable, size_text
from nearbucket.config.prices import ASSUMPTIONS, cost_of_copies
from nearbucket.replication.comparison import Verdict
from nearbucket.replication.replicator import SyncProgress

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from nearbucket.config.prices import Cost, Prices
    from nearbucket.replication.plan import SyncStep
    from nearbucket.replication.replicator import SyncJob

_SHOWN = 20
"""Failures, and on a terminal objects of a dry run, that are listed."""
_BAR_SECONDS = 0.2
_LINE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class SyncReport:
    """One step and what came of it.

    Attributes:
        step: The step.
        dry_run: Whether nothing was changed.
        progress: What was found and done.
        listed: Lines of a dry run that wait for a terminal's bar to end.
    """

    step: SyncStep
    dry_run: bool
    progress: SyncProgress = field(default_factory=SyncProgress)
    listed: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The target in text: its regions, behind the site's name where it has one."""
        regions = ",".join(self.step.regions)
        return regions if self.step.site == "*" else f"{self.step.site} {regions}"

    def found(self, job: SyncJob) -> None:
        """Note one copy or deletion that a dry run would make: all in a pipe, else the first."""
        word = "delete" if job.verdict is Verdict.DELETE else "copy"
        line = "\t".join((self.name, word, str(job.what.size), printable(job.what.key)))
        if not sys.stdout.isatty():
            typer.echo(line)
        elif len(self.listed) < _SHOWN:
            self.listed.append(line)

    def objects(self) -> str:
        """How many objects were dealt with, in words."""
        progress = self.progress
        if self.dry_run:
            text = f"{progress.same + progress.objects:,} compared, {progress.objects:,} to copy"
        else:
            text = f"{progress.copied:,} of {progress.objects:,} objects"
        text += f", {len(progress.failures):,} failed" if progress.failures else ""
        return text if progress.listed else f"{text}, still listing"

    def left(self, seconds: float) -> str:
        """How long it will take, after so many seconds; empty while that cannot be known.

        By bytes, or by objects where that is longer: many small copies take the time of their
        requests.
        """
        progress = self.progress
        if self.dry_run or not progress.listed or not progress.moved:
            return ""
        by_size = (progress.size - progress.moved) / progress.moved
        by_objects = (
            (progress.objects - progress.copied) / progress.copied if progress.copied else 0.0
        )
        minutes, rest = divmod(round(seconds * max(by_size, by_objects)), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}:{minutes:02}:{rest:02} left"

    def line(self, seconds: float) -> str:
        """How far the step is after so many seconds, in one line."""
        progress = self.progress
        sizes = "" if self.dry_run else f"{decimal(progress.moved)} of {decimal(progress.size)}"
        found = filter(None, (sizes, self.objects(), self.left(seconds)))
        return f"nearbucket: {self.name}: {', '.join(found)}"


@asynccontextmanager
async def progress(
    report: SyncReport, *, line_seconds: float = _LINE_SECONDS
) -> AsyncIterator[None]:
    """Show how far a step is on standard error: a bar, or lines where nobody watches."""
    watching = _bar(report) if sys.stderr.isatty() else _lines(report, line_seconds)
    task = asyncio.create_task(watching)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _bar(report: SyncReport) -> None:
    columns: list[ProgressColumn] = [TextColumn("{task.description}", markup=False)]
    if report.dry_run:
        columns += [SpinnerColumn()]
    else:
        columns += [BarColumn(), DownloadColumn(), TransferSpeedColumn()]
    columns += [TextColumn("{task.fields[rest]}")]
    began = time.monotonic()
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(report.name, total=None, rest="")
        try:
            while True:
                _update(bar, task, report, time.monotonic() - began)
                await asyncio.sleep(_BAR_SECONDS)
        finally:
            _update(bar, task, report, time.monotonic() - began)


def _update(bar: Progress, task: TaskID, report: SyncReport, seconds: float) -> None:
    rest = ", ".join(filter(None, (report.objects(), report.left(seconds))))
    bar.update(task, total=report.progress.size, completed=report.progress.moved, rest=rest)


async def _lines(report: SyncReport, seconds: float) -> None:
    began = time.monotonic()
    while True:
        await asyncio.sleep(seconds)
        typer.echo(report.line(time.monotonic() - began), err=True)


def cost_of(report: SyncReport, prices: Prices) -> Cost:
    """What copying all that was found would cost."""
    step, progress = report.step, report.progress
    return cost_of_copies(
        progress.size,
        progress.requests,
        same_region=step.origin.entry.region == step.target.entry.region,
        cdn_per_gb=prices.cdn(step.regions[0]),
    )


def print_reports(reports: Sequence[SyncReport], prices: Prices) -> None:
    """The summary, and the first failures."""
    for report in reports:
        for line in report.listed:
            typer.echo(line)
    reports = [report for report in reports if report.progress.begun]
    facts = [dict(_facts(report, prices)) for report in reports]
    if not reports:
        return
    if sys.stdout.isatty():
        columns = ("", *(report.name for report in reports))
        print_table(columns, [(name, *(one[name] for one in facts)) for name in facts[0]])
    else:
        both = zip(reports, facts, strict=True)
        print_table((), [(report.name, *fact) for report, one in both for fact in one.items()])
    if reports[0].dry_run:
        print_error(f"costs assume {ASSUMPTIONS}")
    for report in reports:
        _print_failures(report)


def _facts(report: SyncReport, prices: Prices) -> Iterator[tuple[str, str]]:
    progress = report.progress
    yield "bucket", str(report.step.target)
    yield "up to date", str(progress.same)
    if report.dry_run:
        cost = cost_of(report, prices)
        yield "to copy", str(progress.objects)
        yield "bytes to copy", size_text(progress.size)
        yield "transfer USD", f"{cost.transfer:.2f}"
        yield "requests USD", f"{cost.requests:.2f}"
        yield "storage USD per month", f"{cost.storage:.2f}"
        gb = cost.break_even_gb
        yield "break-even GB", "-" if gb is None else f"{gb:.1f}"
    else:
        yield "copied", str(progress.copied)
        yield "copied bytes", size_text(progress.copied_size)
        yield "different ETag", str(progress.other_etag)
        yield "deleted", str(progress.deleted)
    yield "not at origin", str(progress.orphans - progress.deleted)
    yield "failed", str(len(progress.failures))


def _print_failures(report: SyncReport) -> None:
    failures = report.progress.failures
    for failure in failures[:_SHOWN]:
        print_error(f"{report.name}: {failure.key}: {failure.text}")
    if len(failures) > _SHOWN:
        more = len(failures) - _SHOWN
        print_error(f"{report.name}: {more} more failures; --json has them all")


def print_as_json(reports: Sequence[SyncReport], prices: Prices, *, interrupted: bool) -> None:
    """All of it, for programs."""
    run = {"dry_run": any(report.dry_run for report in reports), "interrupted": interrupted}
    targets = [_as_json(report, prices) for report in reports]
    print_json({**run, "cost_assumes": ASSUMPTIONS, "targets": targets})


_JSON_NAMES = {
    "same": "up_to_date",
    "size": "bytes",
    "copied_size": "copied_bytes",
    "other_etag": "different_etag",
    "remembered": "tagged",
    "orphans": "not_at_origin",
}
"""Names that differ from those of ``SyncProgress``."""


def _as_json(report: SyncReport, prices: Prices) -> dict[str, Any]:
    step, progress, entry = report.step, report.progress, report.step.target.entry
    found = {_JSON_NAMES.get(name, name): value for name, value in asdict(progress).items()}
    del found["moved"]
    found["not_at_origin"] -= progress.deleted
    found["problem"] = None if progress.problem is None else str(progress.problem)
    found["failures"] = [failure._asdict() for failure in progress.failures]
    target = {"site": step.site, "regions": step.regions, "bucket": entry.bucket}
    cost = {"cost": asdict(cost_of(report, prices))} if report.dry_run else {}
    return {**target, "prefix": entry.prefix, **found, **cost}
