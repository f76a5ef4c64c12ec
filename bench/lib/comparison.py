"""Redirects side by side: one kind of request, several servers, round by round.

``compare`` is given the servers and the requests. Its table has CPU time and latency per
request, and their ratios to nginx within each round.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from bench.lib.case import BenchError, clients
from bench.lib.frame import Figure, Row, Table, interleaved, middle, ratios
from bench.lib.loads import CONNECTIONS, Load, generator
from bench.lib.processes import usage
from bench.lib.servers import (
    AIOHTTP,
    COMPILED,
    FAST,
    HAPROXY,
    NGINX,
    Kind,
    Starter,
    compiled_is_current,
    haproxy_program,
    nginx_program,
)
from nearbucket.regions.ip_ranges import read_ranges

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from bench.lib.frame import Context
    from bench.lib.loads import Answers
    from bench.lib.processes import Cores, Usage
    from bench.lib.servers import Server

WARM_UP = 5000
_FEWEST = 2000
_MOST = 90_000  # log lines between two writes: nearbucket keeps 100,000
_STRAY = 1.25
"""Busy core by the server's own time: more than softirqs explain (measured: up to 1.15)."""

NOISE_OF_TIME = 0.25
"""Latencies on a shared machine: what a p99 ratio moves by from run to run."""

_SECONDS, _QUICK_SECONDS = 0.5, 0.25

LABELS = ("server", "access log")


def columns(base: str) -> tuple[Figure, ...]:
    """The figures of a comparison with ``base``."""
    return (
        Figure("cpu_us", "CPU µs a request"),
        Figure("user_us", "user µs"),
        Figure("core_us", "core busy µs"),
        Figure("cpu_ratio", f"CPU to {base}", watched=True),
        Figure("cpu_low", "lowest"),
        Figure("cpu_high", "highest"),
        Figure("core_ratio", f"core to {base}", watched=True, noise=0.1),
        Figure("p50_ms", "p50 ms"),
        Figure("p99_ms", "p99 ms"),
        Figure("p99_ratio", f"p99 to {base}", watched=True, noise=NOISE_OF_TIME),
    )


class Sample(NamedTuple):
    """One server in one round: microseconds of CPU time, milliseconds of latency."""

    process: float
    user: float
    core: float
    p50: float
    p99: float

    @classmethod
    def of(cls, used: Usage, answers: Answers) -> Sample:
        """Divide what was used by the requests."""
        process, user, core = (seconds * 1e6 / answers.total for seconds in used)
        return cls(process, user, core, answers.p50, answers.p99)


class Case(NamedTuple):
    """One comparison: servers and requests.

    Attributes:
        name: Name of the table.
        title: Heading of the table.
        servers: Names of servers; those that are not installed are left out.
        heads: Makes the requests, given client addresses.
        clients: Number of clients.
        logs: Without an access log, with one, or each.
        warm_up: Requests before anything is measured.
    """

    name: str
    title: str
    servers: Sequence[str]
    heads: Callable[[Iterable[str]], bytes]
    clients: int
    logs: Sequence[bool] = (False, True)
    warm_up: int = WARM_UP


Asked = TypeVar("Asked")


class Asker(Generic[Asked]):
    """Asks servers, each for about the same CPU time a round.

    A server that is ten times as fast gets ten times the requests: the core's busy time ticks
    in hundredths of a second, and would tell nothing of a few milliseconds.
    """

    def __init__(
        self, ask: Callable[[Asked, int], Sample], seconds: float, warm_up: int = WARM_UP
    ) -> None:
        """``ask`` sends requests to a server: at first ``warm_up``, then for ``seconds`` of CPU."""
        self._ask, self._seconds, self._warm_up = ask, seconds, warm_up
        self._requests: dict[Asked, int] = {}

    def __call__(self, asked: Asked, _number: int = 0) -> Sample:
        """One round; its CPU time decides how many requests the next has."""
        sample = self._ask(asked, self._requests.get(asked, self._warm_up))
        wanted = int(self._seconds * 1e6 / sample.process)
        self._requests[asked] = min(max(wanted, _FEWEST), _MOST)
        return sample


def installed(names: Iterable[str]) -> tuple[list[str], tuple[str, ...]]:
    """The installed servers, and a note for each that is missing."""
    programs = {NGINX: nginx_program(), HAPROXY: haproxy_program()}
    wanted = list(names)
    lacks = {
        name: "not installed (see bench/README.md)"
        for name in wanted
        if name in programs and programs[name] is None
    }
    if COMPILED in wanted and not compiled_is_current():
        lacks[COMPILED] = "`make compiled` builds it from these sources"
    notes = tuple(f"{name} is left out: {why}" for name, why in lacks.items())
    return [name for name in wanted if name not in lacks], notes


def starter_of(context: Context, count: int) -> Starter:
    """The starter of a case's servers, for so many clients."""
    ranges = read_ranges(context.ranges.read_bytes())
    asking = clients(ranges, count)
    return Starter(context.folder, ranges, context.cores.server, asking)


def compare(case: Case, context: Context) -> Table:
    """Start all servers, then ask each in every round."""
    names, notes = installed(case.servers)
    kinds = [Kind(name, log) for log in case.logs for name in names]
    context.steps.expect(len(kinds) * (context.rounds + 1))
    starter = starter_of(context, case.clients)
    heads = context.folder / "heads"
    heads.write_bytes(case.heads(address for address, _ in starter.clients))
    load = Load(heads, context.cores.load)
    with ExitStack() as stack:
        servers = {kind: stack.enter_context(starter.start(kind)) for kind in kinds}
        ask = partial(measure, load=load, cores=context.cores)
        asker = Asker(ask, cpu_seconds_a_round(context), case.warm_up)
        samples = interleaved(servers, asker, context)
    rows = rows_of(samples)
    loaded: dict[str, str | float | bool] = {
        "generator": generator(),
        "connections": CONNECTIONS,
        "clients": len(starter.clients),
        "cpu_seconds": cpu_seconds_a_round(context),
    }
    notes += disturbed(rows)
    shown = columns(baseline(names))
    return Table(case.name, case.title, LABELS, shown, tuple(rows), notes, loaded)


def cpu_seconds_a_round(context: Context) -> float:
    """CPU time that a server gets to use in a round."""
    return _QUICK_SECONDS if context.quick else _SECONDS


def measure(server: Server, requests: int, *, load: Load, cores: Cores) -> Sample:
    """CPU time and latency of one server for so many requests, their log lines included.

    While the last lines are waited for the core is idle or serves others, so from the end
    of the load on it counts as busy with what the server uses.
    """
    server.empty_log()
    before = usage(server.pid, cores.server)
    answers = load.send(server.port, requests)
    during = usage(server.pid, cores.server).since(before)
    server.finish_log(answers.total)
    used = usage(server.pid, cores.server).since(before)
    used = used._replace(core=during.core + used.process - during.process)
    return Sample.of(used, answers)


def rows_of(samples: dict[Kind, list[Sample]]) -> list[Row]:
    """Medians, and medians of the ratios to the baseline with the same kind of log.

    Raises:
        BenchError: There is nothing to compare with.
    """
    base = baseline(kind.name for kind in samples)
    return [
        Row(kind.labels, figures(each, samples[Kind(base, kind.log)]))
        for kind, each in samples.items()
    ]


def baseline(names: Iterable[str]) -> str:
    """The server that the others are compared with: nginx, where it is installed."""
    known = list(names)
    for name in (NGINX, HAPROXY, AIOHTTP, FAST):
        if name in known:
            return name
    raise BenchError("no server to compare with is installed: apt-get install nginx-light")


def figures(ours: list[Sample], base: list[Sample]) -> dict[str, float | None]:
    """Medians, and medians of the ratios to another server, by the keys of ``columns``."""
    cpu = ratios((each.process for each in ours), (each.process for each in base))
    return {
        "cpu_us": middle(each.process for each in ours),
        "user_us": middle(each.user for each in ours),
        "core_us": middle(each.core for each in ours),
        "cpu_ratio": middle(cpu),
        "cpu_low": min(cpu),
        "cpu_high": max(cpu),
        "core_ratio": middle(ratios((each.core for each in ours), (each.core for each in base))),
        "p50_ms": middle(each.p50 for each in ours),
        "p99_ms": middle(each.p99 for each in ours),
        "p99_ratio": middle(ratios((each.p99 for each in ours), (each.p99 for each in base))),
    }


def disturbed(rows: Iterable[Row]) -> tuple[str, ...]:
    """A note on the servers whose core did more than serve, in the median round."""
    names = []
    for row in rows:
        core, own = row.figures["core_us"], row.figures["cpu_us"]
        if core and own and core > _STRAY * own:
            names.append(f"{row.labels[0]} (log {row.labels[1]})")
    if not names:
        return ()
    return (
        f"other programs kept the core busy too, core figures are too high: {'; '.join(names)}",
    )
