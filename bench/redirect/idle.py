"""10,000 idle connections: their memory, and what they cost the requests on others.

One table: memory per connection, CPU time at rest, and CPU time per request beside them. The
kernel's own memory for sockets is left out: it is the same for all servers.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from bench.lib.case import CLIENTS, BenchError
from bench.lib.comparison import (
    LABELS,
    NOISE_OF_TIME,
    Asker,
    Sample,
    baseline,
    cpu_seconds_a_round,
    installed,
    measure,
    starter_of,
)
from bench.lib.frame import Figure, Row, Table, interleaved, middle, ratios
from bench.lib.heads import plain
from bench.lib.holder import holding
from bench.lib.loads import CONNECTIONS, Load, generator
from bench.lib.processes import connections, cpu_seconds, memory
from bench.lib.servers import FAST, HAPROXY, NGINX, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from bench.lib.frame import Context
    from bench.lib.servers import Server, Starter

TITLE = "Idle connections"
HELD = 10_000
_REST = 2.0  # seconds: two of nearbucket's ticks, which look at every connection
_ROUNDS = 2  # each takes some seconds a server, and memory hardly varies


class Held(NamedTuple):
    """One server in one round.

    Attributes:
        kib: Growth of its memory (RSS) by an idle connection.
        rest: CPU time in a second without requests.
        alone: A load before there were idle connections.
        beside: The same load beside them.
    """

    kib: float
    rest: float
    alone: Sample
    beside: Sample


def run(context: Context) -> Sequence[Table]:
    """A server is started anew for each round: memory once used is kept for the next time."""
    names, notes = installed((NGINX, HAPROXY, FAST))
    context = context._replace(rounds=min(context.rounds, 1 if context.quick else _ROUNDS))
    kinds = {Kind(name, log): Kind(name, log) for log in (False, True) for name in names}
    context.steps.expect(len(kinds) * context.rounds)
    starter = starter_of(context, CLIENTS)
    heads = context.folder / "heads"
    heads.write_bytes(plain(address for address, _ in starter.clients))
    samples = interleaved(kinds, _measure(context, starter, heads), context, warm_up=False)
    loaded: dict[str, str | float | bool] = {
        "generator": generator(),
        "connections": CONNECTIONS,
        "held": HELD,
    }
    rows = tuple(_rows(samples))
    title = f"{HELD:,} idle connections held, {CONNECTIONS} others ask"
    return [Table("idle", title, LABELS, _columns(baseline(names)), rows, notes, loaded)]


def _columns(base: str) -> tuple[Figure, ...]:
    return (
        Figure("kib", "KiB a connection", watched=True),
        Figure("rest_ms", "CPU ms a second at rest", 1, watched=True, noise=NOISE_OF_TIME),
        Figure("cpu_us", "CPU µs a request"),
        Figure("cpu_ratio", f"CPU to {base}", watched=True),
        Figure("growth", "to itself without them", watched=True),
        Figure("p50_ms", "p50 ms"),
        Figure("p99_ms", "p99 ms"),
        Figure("p99_ratio", f"p99 to {base}", watched=True, noise=NOISE_OF_TIME),
    )


def _measure(context: Context, starter: Starter, heads: Path) -> Callable[[Kind, int], Held]:
    load = Load(heads, context.cores.load)
    send = partial(measure, load=load, cores=context.cores)

    def one(kind: Kind, _number: int) -> Held:
        ask = Asker(send, cpu_seconds_a_round(context))
        with starter.start(kind) as server:
            ask(server)
            alone, before = ask(server), memory(server.pid)
            server.empty_log()
            with holding(server.port, HELD, heads, context.cores.load):
                server.finish_log(HELD)  # or writing it would not be rest
                rest = _at_rest(server.pid)
                grown = memory(server.pid).rss - before.rss
                beside = ask(server)
                _see_them_held(server)
        return Held(grown / HELD, rest, alone, beside)

    return one


def _at_rest(pid: int) -> float:
    """Milliseconds of CPU time a second."""
    before = cpu_seconds(pid)
    time.sleep(_REST)
    return (cpu_seconds(pid) - before) * 1000 / _REST


def _see_them_held(server: Server) -> None:
    held = connections(server.pid, server.port)
    if held < HELD:
        raise BenchError(f"{server.kind.name} holds {held} of {HELD} connections")


def _rows(samples: dict[Kind, list[Held]]) -> list[Row]:
    base = baseline(kind.name for kind in samples)
    return [_row(kind, each, samples[Kind(base, kind.log)]) for kind, each in samples.items()]


def _row(kind: Kind, ours: list[Held], base: list[Held]) -> Row:
    mine, theirs = [each.beside for each in ours], [each.beside for each in base]
    return Row(
        kind.labels,
        {
            "kib": middle(each.kib for each in ours),
            "rest_ms": middle(each.rest for each in ours),
            "cpu_us": middle(each.process for each in mine),
            "cpu_ratio": middle(ratios((a.process for a in mine), (b.process for b in theirs))),
            "growth": middle(each.beside.process / each.alone.process for each in ours),
            "p50_ms": middle(each.p50 for each in mine),
            "p99_ms": middle(each.p99 for each in mine),
            "p99_ratio": middle(ratios((a.p99 for a in mine), (b.p99 for b in theirs))),
        },
    )
