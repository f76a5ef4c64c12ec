"""Many clients that read 1 GiB slowly: the memory held for them, and the CPU time.

Memory does not vary from round to round as time does, so each row is measured once, whatever
the number of rounds.
"""

from __future__ import annotations

import resource
import time
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from bench.lib.comparison import installed
from bench.lib.frame import Figure, Row, Table
from bench.lib.origin_objects import LARGE
from bench.lib.servers import FAST, HAPROXY, NGINX, Kind
from bench.slow.crowd import BYTES_A_SECOND, Held, hold
from bench.slow.memory import tcp_pressure
from bench.streaming.proxies import check, started
from bench.streaming.scene import PLAIN, TLS, staged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.lib.frame import Context
    from bench.streaming.scene import Scene

TITLE = "Slow readers"
SERVERS = (NGINX, HAPROXY, FAST)
_MB, _KIB = 1e6, 1024
_FULL, _QUICK_FULL = 3.0, 1.0
_SETTLE = 0.2  # seconds: buffers of the check's answer are given back


class Crowd(NamedTuple):
    """So many slow clients, and how the proxy reaches the origin."""

    readers: int
    way: str

    def __str__(self) -> str:
        return f"slow-{self.readers}-{self.way.lower()}"


CROWDS = (Crowd(200, PLAIN), Crowd(1000, PLAIN), Crowd(200, TLS), Crowd(1000, TLS))
_USUAL, _QUICK = CROWDS[:3], CROWDS[:1]

COLUMNS = (
    Figure("peak_mb", "peak MB above rest", 1),
    Figure("reader_kib", "KiB a reader", 1),
    Figure("peak_ratio", "peak to nginx", watched=True, noise=0.1),
    Figure("kernel_mb", "kernel MB for it", 1, watched=True, noise=0.1),
    Figure("tcp_mb", "all TCP MB", 1),
    Figure("filling_s", "CPU s until full"),
    Figure("full_ms", "then CPU ms a second", 1),
    Figure("starved", "starved readers", 0),
)


def run(context: Context) -> Sequence[Table]:
    """Measure the usual crowds, or the quick ones."""
    return [compare(context, _QUICK if context.quick else _USUAL)]


def compare(context: Context, crowds: Sequence[Crowd], rounds: int = 1) -> Table:
    """Measure every proxy with every crowd."""
    names, notes = installed(SERVERS)
    context.steps.expect(len(names) * len(crowds) * rounds)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # what is started inherits it
    rows: list[Row] = []
    with staged(context, [LARGE]) as scene:
        for crowd in crowds:
            held: dict[str, list[Held]] = {name: [] for name in names}
            for _ in range(rounds):
                for name in names:
                    held[name].append(_measure(scene, name, crowd, context))
            rows += [
                Row((str(crowd.readers), crowd.way, name), _figures(crowd, each, held[NGINX]))
                for name, each in held.items()
            ]
    return Table(
        "slow",
        "Slow readers of 1 GiB",
        ("readers", "origin", "server"),
        COLUMNS,
        tuple(rows),
        notes + _limited(rows),
        {"bytes_a_second": BYTES_A_SECOND},
    )


def _measure(scene: Scene, name: str, crowd: Crowd, context: Context) -> Held:
    """Measure in a new process: a process keeps memory that it has used once."""
    kind = Kind(name, log=False)
    context.steps.now(f"{crowd}, {name}")
    with started(scene, kind) as server:
        check(scene, server, LARGE, crowd.way)
        time.sleep(_SETTLE)
        held = hold(
            scene, server, crowd.readers, crowd.way, _QUICK_FULL if context.quick else _FULL
        )
    context.steps.done()
    return held


def _figures(crowd: Crowd, ours: list[Held], base: list[Held]) -> dict[str, float | None]:
    peak = median(each.peak for each in ours)
    pairs = zip(ours, base, strict=True)
    return {
        "peak_mb": peak / _MB,
        "reader_kib": peak / _KIB / crowd.readers,
        "peak_ratio": median(mine.peak / theirs.peak for mine, theirs in pairs),
        "kernel_mb": median(each.kernel for each in ours) / _MB,
        "tcp_mb": median(each.tcp for each in ours) / _MB,
        "filling_s": median(each.filling for each in ours),
        "full_ms": median(each.full for each in ours) * 1e3,
        "starved": median(each.starved for each in ours),
    }


def _limited(rows: Sequence[Row]) -> tuple[str, ...]:
    """A note where the kernel, and not the proxy, decided how much a socket holds."""
    limit = tcp_pressure() / _MB
    names = [", ".join(row.labels) for row in rows if (row.figures["tcp_mb"] or 0) >= limit]
    text = "from where on the kernel gives every socket less (net.ipv4.tcp_mem)"
    return (f"all TCP reached {limit:.0f} MB, {text}: {'; '.join(names)}",) if names else ()
