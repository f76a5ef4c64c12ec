"""Time from exec to the first answer, and memory at rest.

A first start finds no kept copy of the list of prefixes, a later one does. Every start is a new
process; the files it reads are in the kernel's cache from the second round on.
"""

from __future__ import annotations

import shutil
import time
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple

from bench.lib.case import CLIENTS, BenchError, configuration
from bench.lib.comparison import installed, starter_of
from bench.lib.frame import Figure, Row, Table, interleaved, middle
from bench.lib.policies import Place
from bench.lib.processes import Memory, cpu_seconds, free_port, memory, running
from bench.lib.servers import FAST, HAPROXY, NGINX, Kind, answers
from bench.lib.service import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.lib.frame import Context
    from bench.lib.servers import Starter

TITLE = "Start-up"
_REST = 1.5  # seconds after which nothing of the start goes on any more
_TIMEOUT = 20.0
_LOOK = 0.001
_ROUNDS = 3  # one takes more than ten seconds
_KIB = 1024
_STARTS = ((1, 1, "first start"), (2, 1, "first start"), (2, 2, "first start"), (2, 2, "kept copy"))
_COLUMNS = (
    Figure("ready_ms", "ready ms", 0),
    Figure("whole_ms", "all workers ms", 0),
    Figure("cpu_ms", "CPU ms", 0),
    Figure("worker_pss", "a worker's PSS MiB", 1),
    Figure("worker_rss", "its RSS MiB", 1, watched=True),
    Figure("supervisor_pss", "supervisor's PSS MiB", 1),
    Figure("supervisor_rss", "supervisor's RSS MiB", 1, watched=True),
    Figure("total_pss", "all PSS MiB", 1),
)


class Variant(NamedTuple):
    """What is started: nearbucket with so many workers on so many cores, or one of the others."""

    name: str
    workers: int
    cores: int
    list: str

    def __str__(self) -> str:
        return f"{self.name}, {self.workers} workers, {self.cores} cores, {self.list}"


class Start(NamedTuple):
    """One start; seconds, and memory at rest."""

    ready: float
    whole: float
    cpu: float
    workers: Sequence[Memory]
    supervisor: Memory | None


def run(context: Context) -> Sequence[Table]:
    """Each variant is started and ended in every round."""
    names, notes = installed((NGINX, HAPROXY))
    context = context._replace(rounds=min(context.rounds, _ROUNDS))
    variants = [
        *(Variant(name, 1, 1, "in the configuration") for name in names),
        *(
            Variant(FAST, workers, cores, kept)
            for workers, cores, kept in _STARTS
            if cores == 1 or context.cores.apart
        ),
    ]
    context.steps.expect(len(variants) * context.rounds)
    things = {variant: variant for variant in variants}
    start = _measure(context, starter_of(context, CLIENTS))
    samples = interleaved(things, start, context, warm_up=False)
    rows = tuple(_row(variant, starts) for variant, starts in samples.items())
    loaded = {"list_bytes": context.ranges.stat().st_size}
    labels = ("server", "workers", "cores", "list")
    title = "Start-up: from exec to ready, and memory at rest"
    return [Table("startup", title, labels, _COLUMNS, rows, notes, loaded)]


def _measure(context: Context, starter: Starter) -> Callable[[Variant, int], Start]:
    both = (context.cores.server, context.cores.load)

    def measure(variant: Variant, _number: int) -> Start:
        if variant.name != FAST:
            return _other(Kind(variant.name, log=True), starter)
        folder = context.folder / f"service-{variant.workers}-{variant.cores}"
        if variant.list == "first start":
            shutil.rmtree(folder, ignore_errors=True)
        with serving(
            configuration(log=True),
            variant.workers,
            folder=folder,
            ranges=context.ranges,
            cores=both[: variant.cores],
        ) as service:
            time.sleep(_REST)
            workers = [memory(pid) for pid in service.workers]
            whole = memory(service.supervisor)
            return Start(service.ready, service.whole, service.cpu, workers, whole)

    return measure


def _other(kind: Kind, starter: Starter) -> Start:
    """Nginx or HAProxy, one process."""
    place = Place(free_port(), starter.folder / "access.log", starter.folder)
    command = starter.command(kind, place)
    started = time.monotonic()
    with (
        (starter.folder / "errors").open("ab") as errors,
        running(command, core=starter.core, stderr=errors) as process,
    ):
        while not answers(place.port):
            if process.poll() is not None or time.monotonic() - started > _TIMEOUT:
                raise BenchError(f"{kind.name} did not start")
            time.sleep(_LOOK)
        ready, cpu = time.monotonic() - started, cpu_seconds(process.pid)
        time.sleep(_REST)
        return Start(ready, ready, cpu, [memory(process.pid)], None)


def _row(variant: Variant, starts: list[Start]) -> Row:
    own = [each.supervisor for each in starts if each.supervisor]
    worker = {
        field: middle(fmean(getattr(worker, field) for worker in each.workers) for each in starts)
        for field in Memory._fields
    }
    totals = (
        sum(each.pss for each in (*start.workers, start.supervisor) if each) for start in starts
    )
    labels = (variant.name, str(variant.workers), str(variant.cores), variant.list)
    return Row(
        labels,
        {
            "ready_ms": _times(middle(each.ready for each in starts), 1000),
            "whole_ms": _times(middle(each.whole for each in starts), 1000),
            "cpu_ms": _times(middle(each.cpu for each in starts), 1000),
            "worker_pss": _times(worker["pss"], 1 / _KIB),
            "worker_rss": _times(worker["rss"], 1 / _KIB),
            "supervisor_pss": _times(middle(each.pss for each in own), 1 / _KIB),
            "supervisor_rss": _times(middle(each.rss for each in own), 1 / _KIB),
            "total_pss": _times(middle(totals), 1 / _KIB),
        },
    )


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
