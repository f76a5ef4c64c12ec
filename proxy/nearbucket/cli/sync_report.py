"""The output of ``nearbucket sync``: progress, summary and failures."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from itertools import chain
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Column

from nearbucket.cli.output import (
    first_names,
    print_error,
    print_json,
    print_table,
    size_text,
)
from nearbucket.config.prices import GB
from nearbucket.figures import visible
from nearbucket.pricing.bill import saved_per_gb
from nearbucket.pricing.copies import CopyCosts, assumptions, copy_costs
from nearbucket.replication.sync_progress import SyncProgress

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from nearbucket.pricing.tariff import Tariff
    from nearbucket.replication.plan import SyncStep
    from nearbucket.replication.replicator import SyncJob
    from nearbucket.replication.sync_progress import SyncFailure

_SHOWN = 20
"""How many objects of a dry run are printed on a terminal."""
_OBJECT = 2_000_000
"""Bytes that an object counts besides its own, for its requests. By bytes alone, the time left
would be far too long while small objects come first; by objects alone, while large ones do."""
_FACT_WIDTH, _FIGURE_WIDTH, _LINES = 25, 14, 3
"""Columns of a terminal for the names of the facts, for the longest figure of a target, and for the
lines beside it: as many targets as fit with whole words have a table together."""
_NAME_WIDTH = 30
"""Columns of a terminal for the name of a target, before its bar."""
_BAR_SECONDS = 0.2
_LINE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class SyncReport:
    """Progress and result of one step.

    Attributes:
        step: Origin and target.
        dry_run: Whether nothing is changed.
        adopt: Whether copies of other tools are read, and get a mark if they are equal.
        progress: What was found and done so far.
        listed: Lines of a dry run that are printed when the terminal's bar has ended.
    """

    step: SyncStep
    dry_run: bool
    adopt: bool = False
    progress: SyncProgress = field(default_factory=SyncProgress)
    listed: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The target's regions; before them the site, if it has a name."""
        regions = ",".join(self.step.regions)
        return regions if self.step.site == "*" else f"{self.step.site} {regions}"

    @property
    def unproven(self) -> bool:
        """Whether there are copies for which the option ``--adopt`` is needed."""
        return self.step.compares and self.progress.other_parts > 0 and not self.adopt

    def found(self, job: SyncJob) -> None:
        """List an object of a dry run: at once in a pipe, later on a terminal."""
        line = "\t".join((self.name, job.verdict.value, str(job.what.size), visible(job.what.key)))
        if not sys.stdout.isatty():
            typer.echo(line)
        elif len(self.listed) < _SHOWN:
            self.listed.append(line)

    def objects(self) -> str:
        """The number of objects compared, copied and failed."""
        progress = self.progress
        if self.dry_run:
            text = f"{progress.same + progress.objects:,} compared, {progress.objects:,} to copy"
        else:
            text = f"{progress.done:,} of {progress.objects:,} objects"
        text += f", {len(progress.failures):,} failed" if progress.failures else ""
        return text if progress.listed else f"{text}, still listing"

    def left(self, seconds: float) -> str:
        """The time left after so many seconds; empty while it is not known."""
        progress = self.progress
        done = progress.moved + progress.done * _OBJECT
        if self.dry_run or not progress.listed or not done:
            return ""
        rest = progress.size + progress.objects * _OBJECT - done
        return f"{timedelta(seconds=max(0, round(seconds * rest / done)))} left"

    def done(self, seconds: float) -> str:
        """The progress after so many seconds; a narrow terminal cuts off the end."""
        progress = self.progress
        sizes = "" if self.dry_run else f"{decimal(progress.moved)} of {decimal(progress.size)}"
        return ", ".join(filter(None, (sizes, self.left(seconds), self.objects())))


@asynccontextmanager
async def progress(
    report: SyncReport, *, line_seconds: float = _LINE_SECONDS
) -> AsyncIterator[None]:
    """Show the progress on standard error: a bar on a terminal, else a line now and then.

    That it cannot be written, for example because a disk is full, does not end the run.
    """
    shown = _bar(report) if sys.stderr.isatty() else _lines(report, line_seconds)
    task = asyncio.create_task(shown)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, OSError):
            await task


async def _bar(report: SyncReport) -> None:
    name = Column(no_wrap=True, max_width=_NAME_WIDTH)
    columns = (
        TextColumn("{task.description}", markup=False, table_column=name),
        SpinnerColumn() if report.dry_run else BarColumn(),
        TextColumn("{task.fields[done]}", table_column=Column(no_wrap=True)),
    )
    began, progress = time.monotonic(), report.progress

    def update() -> None:
        done = report.done(time.monotonic() - began)
        bar.update(task, total=progress.size, completed=progress.moved, done=done)

    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(report.name, total=None, done="")
        try:
            while True:
                update()
                await asyncio.sleep(_BAR_SECONDS)
        finally:
            update()


async def _lines(report: SyncReport, seconds: float) -> None:
    began = time.monotonic()
    while True:
        await asyncio.sleep(seconds)
        print_error(f"{report.name}: {report.done(time.monotonic() - began)}")


def cost_of(report: SyncReport, tariff: Tariff) -> tuple[CopyCosts, float | None]:
    """The cost of all copies that were found to be needed.

    Returns:
        The cost, and how many GB have to be redirected instead of served by the CDN until transfer
        and requests are paid for; None where the next GB saves nothing.
    """
    step, progress = report.step, report.progress
    region, target, origin = step.regions[0], step.target, step.origin.entry.region
    gb = progress.size / GB
    costs = copy_costs(
        tariff,
        origin,
        target.entry.region,
        copied_gb=gb,
        requests=progress.requests,
        stored_gb=gb,
    )
    saved = saved_per_gb(tariff, region, target.entry.region if target.on_aws else region)
    return costs, (costs.transfer + costs.requests) / saved if saved > 0 else None


def print_reports(reports: Sequence[SyncReport], tariff: Tariff) -> None:
    """Print the summary and the first failures."""
    for line in (line for report in reports for line in report.listed):
        typer.echo(line)
    reports = [report for report in reports if report.progress.begun]
    facts = [dict(_facts(report, tariff)) for report in reports]
    if not reports:
        return
    if sys.stdout.isatty():
        words = chain.from_iterable(report.name.split() for report in reports)
        widest = max(_FIGURE_WIDTH, *map(len, words), *(len(one["bucket"]) for one in facts))
        fit = max(1, (Console().width - _FACT_WIDTH) // (widest + _LINES))
        for some in (slice(first, first + fit) for first in range(0, len(reports), fit)):
            columns = ("", *(report.name for report in reports[some]))
            print_table(columns, [(name, *(one[name] for one in facts[some])) for name in facts[0]])
    else:
        both = zip(reports, facts, strict=True)
        print_table((), [(report.name, *fact) for report, one in both for fact in one.items()])
    if reports[0].dry_run:
        print_error(f"costs assume {_assumptions(reports, tariff)}")
    for report in reports:
        for line in _notes(report):
            print_error(f"{report.name}: {line}")
        _print_failures(report)


def _facts(report: SyncReport, tariff: Tariff) -> Iterator[tuple[str, str]]:
    progress = report.progress
    yield "bucket", str(report.step.target)
    yield "up to date", str(progress.same)
    if report.dry_run:
        cost, break_even = cost_of(report, tariff)
        yield "to copy", str(progress.objects)
        yield "bytes to copy", size_text(progress.size)
        yield "transfer USD", f"{cost.transfer:.2f}"
        yield "requests USD", f"{cost.requests:.2f}"
        yield "storage USD per month", f"{cost.storage:.2f}"
        yield "break-even GB", "-" if break_even is None else f"{break_even:.1f}"
    else:
        yield "copied", str(progress.copied)
        yield "copied bytes", size_text(progress.copied_size)
        yield "different ETag", str(progress.other_etag)
        yield "adopted", str(progress.adopted)
        yield "adopted bytes", size_text(progress.adopted_size)
        yield "deleted", str(progress.deleted)
    yield "other parts", str(progress.other_parts)
    yield "unreadable", str(sum(map(len, progress.unreadable.values())))
    yield "not at origin", str(progress.orphans - progress.deleted)
    yield "failed", str(len(progress.failures))


def _assumptions(reports: Sequence[SyncReport], tariff: Tariff) -> str:
    return assumptions(tariff, (report.step.origin.entry.region for report in reports))


_CURES = {
    "archived": "archived: restore them, or delete them and run sync again, and let no lifecycle "
    "rule archive copies",
    "kms": "encrypted with a KMS key: set redirect.presign, or make SSE-S3 the bucket's default "
    "encryption, delete them and run sync again",
    "customer key": "encrypted with a customer-provided key: delete them and run sync again",
}
"""What keeps clients from reading copies, and what helps, by the verdict's word."""


def _notes(report: SyncReport) -> Iterator[str]:
    """What needs attention beside failures."""
    progress = report.progress
    if report.unproven:
        yield (
            f"{progress.other_parts:,} objects ({decimal(progress.other_parts_size)}) have the "
            "origin's size, but were uploaded in other parts or encrypted with another key, as by "
            "aws s3 sync: they are not copied again, and redirect.verify: match does not redirect "
            "to them; with --adopt, sync reads them and marks those that are equal"
        )
    for why, keys in progress.unreadable.items():
        yield (
            f"{len(keys):,} copies cannot be read by clients, who are not redirected to them; they "
            f"are {_CURES[why]}: {first_names(keys)}"
        )
    if progress.differing:
        yield (
            f"{len(progress.differing):,} objects have the origin's size, but other bytes; they "
            f"were not adopted, but copied: {first_names(progress.differing)}"
        )
    if progress.other_headers:
        yield (
            f"{progress.other_headers:,} adopted copies have other headers or metadata than the "
            "origin's objects"
        )


def _print_failures(report: SyncReport) -> None:
    """Print one line for each error code: for many objects, it has their number."""
    groups: dict[str, list[SyncFailure]] = {}
    for failure in report.progress.failures:
        groups.setdefault(failure.code, []).append(failure)
    for first, *others in groups.values():
        if others:
            keys = first_names([first.key, *(other.key for other in others)])
            shown = keys + "; --json shows all" * keys.endswith(" more")
            print_error(f"{report.name}: {1 + len(others):,} objects: {first.text}: {shown}")
        else:
            print_error(f"{report.name}: {first.key}: {first.text}")


def print_as_json(reports: Sequence[SyncReport], tariff: Tariff, *, interrupted: bool) -> None:
    """Print everything as one JSON document."""
    run = {"dry_run": any(report.dry_run for report in reports), "interrupted": interrupted}
    targets = [_as_json(report, tariff) for report in reports]
    print_json({**run, "cost_assumes": _assumptions(reports, tariff), "targets": targets})


_JSON_NAMES = {
    "same": "up_to_date",
    "size": "bytes",
    "copied_size": "copied_bytes",
    "other_etag": "different_etag",
    "marked": "tagged",
    "adopted_size": "adopted_bytes",
    "other_parts_size": "other_parts_bytes",
    "orphans": "not_at_origin",
}
"""Names in JSON, if they are not those of ``SyncProgress``."""


def _as_json(report: SyncReport, tariff: Tariff) -> dict[str, Any]:
    step, progress, entry = report.step, report.progress, report.step.target.entry
    plain = asdict(replace(progress, problem=None))  # asdict copies, which not all errors allow
    found = {_JSON_NAMES.get(name, name): value for name, value in plain.items()}
    del found["moved"]
    found["not_at_origin"] -= progress.deleted
    found["problem"] = None if progress.problem is None else str(progress.problem)
    found["failures"] = [failure._asdict() for failure in progress.failures]
    target = {"site": step.site, "regions": step.regions, "bucket": entry.bucket}
    shown = {**target, "prefix": entry.prefix, **found}
    if not report.dry_run:
        return shown
    costs, break_even = cost_of(report, tariff)
    return {**shown, "cost": {**asdict(costs), "break_even_gb": break_even}}
