"""One worker and two on the same core: what sharing the port costs, and how it spreads.

In: what ``frame.py`` gives. Out: a table of CPU time a request, and one of connections a
worker. Refuses to say how much faster two workers are on two cores: here they share one, so
that only what they do in excess shows.
"""  # noqa: INP001  # scripts that run from their own folder, not a package

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from case import clients, configuration
from comparison import NOISE_OF_TIME, Asker, Sample, cpu_seconds_a_round
from frame import Figure, Row, Table, interleaved, middle, ratios
from heads import plain
from holder import holding
from loads import Load, generator
from origin import BUCKET
from origin_objects import SMALL
from processes import connections, usage
from service import serving
from streaming_case import PLAIN, staged

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from frame import Context
    from origin import Origin
    from processes import Cores
    from service import Service
    from streaming_case import Scene

TITLE = "Workers"
_CONNECTIONS = 64
_HELD = (64, 1000)
_MORE = 3  # times the rounds of the other benches: the difference is of the size of their noise
_COLUMNS = (
    Figure("cpu_us", "CPU µs a request"),
    Figure("user_us", "user µs"),
    Figure("core_us", "core busy µs"),
    Figure("cpu_ratio", "CPU to 1 worker", 3, watched=True),
    Figure("cpu_low", "lowest", 3),
    Figure("cpu_high", "highest", 3),
    Figure("p50_ms", "p50 ms"),
    Figure("p99_ms", "p99 ms"),
    Figure("p99_ratio", "p99 to 1 worker", watched=True, noise=NOISE_OF_TIME),
)
_SPREAD = (
    Figure("fewest", "fewest", 0),
    Figure("most", "most", 0),
    Figure("most_to_even", "most to even share", watched=True, noise=0.1),
)


class Asked(NamedTuple):
    """A service and what it is asked for."""

    service: Service
    load: Load

    def ask(self, requests: int, cores: Cores) -> Sample:
        """CPU time of all its workers, a request."""
        before = usage(self.service.workers, cores.server)
        answers = self.load.send(self.service.port, requests)
        return Sample.of(usage(self.service.workers, cores.server).since(before), answers)


def run(context: Context) -> Sequence[Table]:
    """Both services run all the time, and are asked in turn."""
    context = context._replace(rounds=context.rounds * _MORE)
    with ExitStack() as stack:
        scene = stack.enter_context(staged(context, [SMALL]))
        heads = {"redirect": _redirects(scene), "stream, 64 KiB": scene.heads(SMALL, PLAIN)}
        loads = {name: Load(file, context.cores.load, _CONNECTIONS) for name, file in heads.items()}
        services = {
            count: stack.enter_context(serving(
                configuration(log=False, origin=_bucket(scene.origin)), count,
                folder=context.folder / f"workers-{count}", ranges=context.ranges,
                cores=[context.cores.server],
            )) for count in (1, 2)
        }  # fmt: skip
        spread = _spread(services[2], heads["redirect"], context)
        asked = {
            (name, count): Asked(service, load)
            for name, load in loads.items()
            for count, service in services.items()
        }
        context.steps.expect(len(asked) * (context.rounds + 1))
        ask = Asker(partial(Asked.ask, cores=context.cores), cpu_seconds_a_round(context))
        samples = interleaved(asked, ask, context)
    return [_costs(samples), spread]


def _bucket(source: Origin) -> dict[str, str | bool]:
    return {
        "bucket": BUCKET, "region": "us-east-1", "path_style": True,
        "endpoint": f"http://127.0.0.1:{source.plain}", "credentials": "anonymous",
    }  # fmt: skip


def _redirects(scene: Scene) -> Path:
    """The requests of clients that have a bucket in their region."""
    file = scene.folder / "heads-redirect"
    file.write_bytes(plain(address for address, _ in clients(scene.ranges)))
    return file


def _spread(service: Service, heads: Path, context: Context) -> Table:
    """How the kernel deals connections out; each round another set of client ports."""
    context.steps.expect(len(_HELD) * context.rounds)
    counts: dict[int, list[list[int]]] = {held: [] for held in _HELD}
    for _ in range(context.rounds):
        for held, found in counts.items():
            context.steps.now(f"{held} connections")
            with holding(service.port, held, heads, context.cores.load):
                found.append([connections(pid, service.port) for pid in service.workers])
            context.steps.done()
    rows = tuple(
        Row((str(held),), {
            "fewest": middle(min(each) for each in found),
            "most": middle(max(each) for each in found),
            "most_to_even": middle(max(each) * len(each) / sum(each) for each in found),
        }) for held, found in counts.items()
    )  # fmt: skip
    title = "Connections on each of two workers"
    return Table("spread", title, ("connections",), _SPREAD, rows)


def _costs(samples: dict[tuple[str, int], list[Sample]]) -> Table:
    rows = []
    for (name, count), ours in samples.items():
        base = samples[name, 1]
        cpu = ratios((each.process for each in ours), (each.process for each in base))
        rows.append(Row((name, str(count)), {
            "cpu_us": middle(each.process for each in ours),
            "user_us": middle(each.user for each in ours),
            "core_us": middle(each.core for each in ours),
            "cpu_ratio": middle(cpu), "cpu_low": min(cpu), "cpu_high": max(cpu),
            "p50_ms": middle(each.p50 for each in ours),
            "p99_ms": middle(each.p99 for each in ours),
            "p99_ratio": middle(ratios((each.p99 for each in ours), (each.p99 for each in base))),
        }))  # fmt: skip
    loaded: dict[str, str | float | bool] = {
        "generator": generator(),
        "connections": _CONNECTIONS,
        "log": "off",
    }
    title = "Workers on one core: CPU time summed over them, without access log"
    return Table("workers", title, ("request", "workers"), _COLUMNS, tuple(rows), (), loaded)
