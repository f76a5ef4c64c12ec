"""One worker and two on the same core: the cost of sharing a port, and how connections spread.

One table of CPU time per request, and one of connections per worker. It does not say how much
faster two workers are on two cores: they share one, so that only their additional cost shows.
Two processes that take turns on a core cost something by themselves; nginx with one worker and
with two shows how much.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from bench.lib import policies
from bench.lib.case import clients, configuration
from bench.lib.comparison import (
    NOISE_OF_TIME,
    Asker,
    Sample,
    cpu_seconds_a_round,
    figures,
    installed,
)
from bench.lib.frame import Figure, Row, Table, interleaved, middle
from bench.lib.heads import plain
from bench.lib.holder import holding
from bench.lib.loads import Load, generator
from bench.lib.origin import BUCKET, wait_for
from bench.lib.origin_objects import SMALL
from bench.lib.processes import connections, free_port, running, usage
from bench.lib.servers import FAST, NGINX, nginx_program
from bench.lib.service import serving
from bench.streaming import configs
from bench.streaming.scene import PLAIN, staged

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from bench.lib.frame import Context
    from bench.lib.origin import Origin
    from bench.lib.processes import Cores
    from bench.streaming.scene import Scene

TITLE = "Workers"
REDIRECT, STREAM = "redirect", "stream, 64 KiB"
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


class Crowd(NamedTuple):
    """A group of workers that share a port."""

    pids: tuple[int, ...]
    port: int


class Asked(NamedTuple):
    """A group of workers and its load."""

    crowd: Crowd
    load: Load

    def ask(self, requests: int, cores: Cores) -> Sample:
        """CPU time of all of them, a request."""
        before = usage(self.crowd.pids, cores.server)
        answers = self.load.send(self.crowd.port, requests)
        return Sample.of(usage(self.crowd.pids, cores.server).since(before), answers)


def run(context: Context) -> Sequence[Table]:
    """All servers run all the time, and are measured in turn."""
    context = context._replace(rounds=context.rounds * _MORE)
    names, missing = installed((FAST, NGINX))
    with ExitStack() as stack:
        scene = stack.enter_context(staged(context, [SMALL]))
        heads = {REDIRECT: _redirects(scene), STREAM: scene.heads(SMALL, PLAIN)}
        loads = {what: Load(file, context.cores.load, _CONNECTIONS) for what, file in heads.items()}
        crowds = {
            (what, name, count): stack.enter_context(_crowd(what, name, count, scene, context))
            for what in loads
            for name in names
            for count in (1, 2)
        }
        spread = _spread(crowds[REDIRECT, FAST, 2], heads[REDIRECT], context)
        asked = {which: Asked(crowd, loads[which[0]]) for which, crowd in crowds.items()}
        context.steps.expect(len(asked) * (context.rounds + 1))
        ask = Asker(partial(Asked.ask, cores=context.cores), cpu_seconds_a_round(context))
        samples = interleaved(asked, ask, context)
    return [_costs(samples, missing), spread]


@contextmanager
def _crowd(what: str, name: str, count: int, scene: Scene, context: Context) -> Iterator[Crowd]:
    folder = context.folder / f"{name}-{count}-{what.partition(',')[0]}"
    folder.mkdir()
    if name == NGINX:
        with _nginx(what, count, scene, folder) as crowd:
            yield crowd
        return
    with serving(
        configuration(log=False, origin=_bucket(scene.origin)),
        count,
        folder=folder,
        ranges=context.ranges,
        cores=[context.cores.server],
    ) as service:
        yield Crowd(service.workers, service.port)


@contextmanager
def _nginx(what: str, count: int, scene: Scene, folder: Path) -> Iterator[Crowd]:
    """So many processes without a master: its workers might outlive a bench that is killed."""
    port, program = free_port(), nginx_program() or NGINX
    with ExitStack() as stack:
        pids = []
        for number in range(count):
            own = folder / str(number)
            own.mkdir()
            place = policies.Place(port, None, own, shared=True)
            config, errors = own / "config", own / "errors"
            config.write_text(
                policies.nginx_config(scene.ranges, place)
                if what == REDIRECT
                else configs.nginx_config(scene, place),
                encoding="ascii",
            )
            stderr = stack.enter_context(errors.open("wb"))
            command = [program, "-p", str(own), "-e", "stderr", "-c", str(config)]
            process = stack.enter_context(running(command, core=scene.cores.server, stderr=stderr))
            wait_for(NGINX, process, [port], errors)
            pids.append(process.pid)
        yield Crowd(tuple(pids), port)


def _bucket(source: Origin) -> dict[str, str | bool]:
    return {
        "bucket": BUCKET,
        "region": "us-east-1",
        "path_style": True,
        "endpoint": f"http://127.0.0.1:{source.plain}",
        "credentials": "anonymous",
    }


def _redirects(scene: Scene) -> Path:
    """The requests of clients that have a bucket in their region."""
    file = scene.folder / "heads-redirect"
    file.write_bytes(plain(address for address, _ in clients(scene.ranges)))
    return file


def _spread(crowd: Crowd, heads: Path, context: Context) -> Table:
    """How the kernel deals connections out; each round another set of client ports."""
    context.steps.expect(len(_HELD) * context.rounds)
    counts: dict[int, list[list[int]]] = {held: [] for held in _HELD}
    for _ in range(context.rounds):
        for held, found in counts.items():
            context.steps.now(f"{held} connections")
            with holding(crowd.port, held, heads, context.cores.load):
                found.append([connections(pid, crowd.port) for pid in crowd.pids])
            context.steps.done()
    rows = tuple(
        Row(
            (str(held),),
            {
                "fewest": middle(min(each) for each in found),
                "most": middle(max(each) for each in found),
                "most_to_even": middle(max(each) * len(each) / sum(each) for each in found),
            },
        )
        for held, found in counts.items()
    )
    title = "Connections on each of two workers"
    return Table("spread", title, ("connections",), _SPREAD, rows)


def _costs(samples: dict[tuple[str, str, int], list[Sample]], missing: tuple[str, ...]) -> Table:
    rows = []
    for (what, name, count), ours in samples.items():
        found = figures(ours, samples[what, name, 1])
        wanted = {column.key: found[column.key] for column in _COLUMNS}
        rows.append(Row((what, name, str(count)), wanted))
    loaded: dict[str, str | float | bool] = {
        "generator": generator(),
        "connections": _CONNECTIONS,
        "log": "off",
    }
    title = "Workers on one core: CPU time summed over them, without access log"
    labels = ("request", "server", "workers")
    return Table("workers", title, labels, _COLUMNS, tuple(rows), missing, loaded)
