"""Objects streamed from an origin in memory: CPU time per request, or per gigabyte.

One table for each size of object. Only the proxy's CPU time counts; origin and clients run on
the other core.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from bench.lib.comparison import installed
from bench.lib.frame import Figure, Row, Table, interleaved, middle, ratios
from bench.lib.origin_objects import LARGE, MIDDLE, SMALL, Object
from bench.lib.servers import AIOHTTP, FAST, HAPROXY, NGINX, Kind
from bench.streaming.downloads import Load, measure
from bench.streaming.proxies import check, started
from bench.streaming.scene import PLAIN, TLS, staged

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bench.lib.frame import Context
    from bench.lib.servers import Server
    from bench.streaming.scene import Scene

TITLE = "Streaming"
SERVERS = (NGINX, HAPROXY, FAST, AIOHTTP)
_GB = 1e9
_WARM_UP = 200
_MORE = 3  # times the rounds of the other sizes
_SLOWER = 4
"""Small requests of the others for one to aiohttp's lane, which takes ten times as long."""

_STRAY = 1.25
"""Busy core by the proxy's own time: more than softirqs explain (measured: up to 1.15)."""


class Size(NamedTuple):
    """One size of object, and how often it is requested.

    Attributes:
        name: Short, for the table and the command line.
        thing: The object.
        connections: Number of kept connections, each with one download at a time.
        requests: Downloads in each round.
        quick: Downloads in each round of a quick run.
        factor: Factor from seconds a request to the table's unit.
        unit: Unit of the table.
    """

    name: str
    thing: Object
    connections: int
    requests: int
    quick: int
    factor: float
    unit: str


SIZES = (
    Size("64k", SMALL, 32, 10_000, 3000, 1e6, "µs a request"),
    Size("10m", MIDDLE, 8, 100, 24, _GB / MIDDLE.size, "s a GB"),
    Size("1g", LARGE, 1, 1, 1, _GB / LARGE.size, "s a GB"),
)


class Asked(NamedTuple):
    """What is requested of the compared servers."""

    size: Size
    way: str
    log: bool

    def __str__(self) -> str:
        return f"{self.size.name}-{self.way.lower()}{'-log' if self.log else ''}"


ROWS = tuple(
    Asked(size, way, log)
    for size in SIZES
    for log in ((False, True) if size.thing == SMALL else (False,))
    for way in (PLAIN, TLS)
)


class Line(NamedTuple):
    """One row of a table: a server, and what it is asked."""

    asked: Asked
    server: Server

    def __str__(self) -> str:
        return f"{self.asked}, {self.server.kind.name}"


class Sample(NamedTuple):
    """CPU time of a proxy in one round, in the unit of its table."""

    process: float
    core: float


def run(context: Context) -> Sequence[Table]:
    """All sizes, from a plain origin and over TLS; without log and less often when quick."""
    return compare(context, [row for row in ROWS if not (row.log and context.quick)])


def compare(context: Context, rows: Sequence[Asked]) -> list[Table]:
    """Start origin and proxies, then download one size after another in rounds."""
    names, notes = installed(SERVERS)
    context.steps.expect(sum(len(names) * (_rounds(row.size, context) + 1) for row in rows))
    logs = sorted({row.log for row in rows})
    with ExitStack() as stack:
        scene = stack.enter_context(staged(context, {SMALL, *(row.size.thing for row in rows)}))
        kinds = [Kind(name, log) for log in logs for name in names]
        servers = [stack.enter_context(started(scene, kind)) for kind in kinds]
        lines = [
            Line(row, server) for row in rows for server in servers if row.log == server.kind.log
        ]
        for asked, server in lines:
            check(scene, server, asked.size.thing, asked.way)
        sizes = [size for size in SIZES if any(row.size == size for row in rows)]
        tables = [
            _table(size, [line for line in lines if line.asked.size == size], scene, context)
            for size in sizes
        ]
    return [replace(table, notes=notes + table.notes) for table in tables]


def _rounds(size: Size, context: Context) -> int:
    """A quick look takes the largest object once; small ones are soon taken, and differ most."""
    if context.quick:
        return 1 if size.thing == LARGE else context.rounds
    return context.rounds * (_MORE if size.thing == SMALL else 1)


def _table(size: Size, lines: Sequence[Line], scene: Scene, context: Context) -> Table:
    requests = size.quick if context.quick else size.requests
    things = {line: line for line in lines}
    ask = partial(_sample, scene=scene, requests=requests)
    samples = interleaved(things, ask, context._replace(rounds=_rounds(size, context)))
    rows = tuple(
        Row(
            (line.asked.way, "json" if line.asked.log else "off", line.server.kind.name),
            _figures(each, _base(line, samples)),
        )
        for line, each in samples.items()
    )
    return Table(
        f"streaming-{size.name}",
        f"Streaming {size.name}: downloads at a time: {size.connections}",
        ("origin", "access log", "server"),
        (
            Figure("cpu", f"CPU {size.unit}"),
            Figure("core", "core busy"),
            Figure("cpu_ratio", "CPU to nginx", watched=True),
            Figure("cpu_low", "lowest"),
            Figure("cpu_high", "highest"),
            Figure("core_ratio", "core to nginx", watched=True, noise=0.1),
        ),
        rows,
        _disturbed(rows),
        {"connections": size.connections, "requests": requests, "bytes": size.thing.size},
    )


def _sample(line: Line, number: int, *, scene: Scene, requests: int) -> Sample:
    """One round; the warm-up opens connections, and is over soon."""
    size, way = line.asked.size, line.asked.way
    if not number:
        measure(scene, line.server, Load(SMALL, way, size.connections, _WARM_UP))
        return Sample(0, 0)
    if size.thing == SMALL and line.server.kind.name == AIOHTTP:
        requests //= _SLOWER
    used = measure(scene, line.server, Load(size.thing, way, size.connections, requests))
    return Sample(*(seconds * size.factor / requests for seconds in (used.process, used.core)))


def _base(line: Line, samples: Mapping[Line, list[Sample]]) -> list[Sample]:
    """The samples of nginx for the same objects in the same rounds."""
    return next(
        each
        for other, each in samples.items()
        if other.asked == line.asked and other.server.kind.name == NGINX
    )


def _figures(ours: list[Sample], base: list[Sample]) -> dict[str, float | None]:
    cpu = ratios((each.process for each in ours), (each.process for each in base))
    return {
        "cpu": middle(each.process for each in ours),
        "core": middle(each.core for each in ours),
        "cpu_ratio": middle(cpu),
        "cpu_low": min(cpu),
        "cpu_high": max(cpu),
        "core_ratio": middle(ratios((each.core for each in ours), (each.core for each in base))),
    }


def _disturbed(rows: Iterable[Row]) -> tuple[str, ...]:
    """A note on the proxies whose core did more than serve, in the median round."""
    names = [
        ", ".join(row.labels)
        for row in rows
        if (row.figures["core"] or 0) > _STRAY * (row.figures["cpu"] or 0)
    ]
    text = "other programs kept the core busy too, core figures are too high"
    return (f"{text}: {'; '.join(names)}",) if names else ()
