"""What clients feel when the list of prefixes changes under them.

In: what ``frame.py`` gives. Out: one table of latencies under a steady load, in windows with and
without a new list. Refuses to give the supervisor a core of its own: it shares the worker's, which
is the worst there can be.
"""  # noqa: INP001  # scripts that run from their own folder, not a package

from __future__ import annotations

import json
import shutil
import time
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from case import BenchError, clients, configuration
from frame import Figure, Row, Table, interleaved, middle
from heads import KEYS, varied
from paced import Pace, Waits, pacing
from service import serving

from proxy.decide.regions import read_ranges

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from frame import Context
    from service import Service

TITLE = "A new list"
_RATE, _CONNECTIONS = 2000, 32
_SECONDS, _QUICK_SECONDS = 4.0, 3.0
_INTO = 0.5  # seconds of a window before the list changes
_COLUMNS = (
    Figure("p50_ms", "p50 ms"),
    Figure("p99_ms", "p99 ms"),
    Figure("p99_lowest_ms", "lowest round's p99 ms"),
    Figure("longest_ms", "longest ms"),
    Figure("p99_more_ms", "p99 more than quiet, ms"),
)


class Source(NamedTuple):
    """The list that the service reads."""

    file: Path

    @classmethod
    def copy(cls, published: Path, file: Path) -> Source:
        """A list of our own, to be changed."""
        shutil.copyfile(published, file)
        return cls(file)

    def prepare(self) -> tuple[int, Path]:
        """The same rows under the next token, and the file to put in place."""
        document = json.loads(self.file.read_bytes())
        token = int(document["syncToken"]) + 1
        fresh = self.file.with_suffix(".new")
        fresh.write_text(json.dumps(document | {"syncToken": str(token)}), encoding="utf-8")
        return token, fresh


class Window(NamedTuple):
    """A stretch of load; with a new list in it, or not."""

    service: Service
    source: Source
    heads: Path
    core: int
    seconds: float
    changes: bool

    def measure(self, _number: int) -> Waits:
        """Load, and see that the list came into use meanwhile."""
        token, fresh = self.source.prepare()
        with pacing(
            self.service.port, self.heads, Pace(_RATE, _CONNECTIONS, self.seconds), core=self.core
        ) as end:
            if self.changes:
                time.sleep(_INTO)
                fresh.replace(self.source.file)
            waits = end()
        used = self.service.status()["ranges"]["token"]
        if self.changes and used != token:
            raise BenchError(f"the list {token} was not in use at the end of a window, but {used}")
        return waits


def run(context: Context) -> Sequence[Table]:
    """Windows take turns; the service asks for the list every second in all of them."""
    heads = context.folder / "heads"
    asking = clients(read_ranges(context.ranges.read_bytes()), KEYS)
    heads.write_bytes(varied(address for address, _ in asking))
    source = Source.copy(context.ranges, context.folder / "ranges.json")
    seconds = _QUICK_SECONDS if context.quick else _SECONDS
    context.steps.expect(2 * context.rounds)
    with serving(
        configuration(log=True), 1, folder=context.folder / "service", ranges=source.file,
        cores=[context.cores.server],
    ) as service:  # fmt: skip
        core = context.cores.load
        windows = {
            name: Window(service, source, heads, core, seconds, name == "new list")
            for name in ("quiet", "new list")
        }
        samples = interleaved(windows, Window.measure, context, warm_up=False)
    loaded = {"rate": _RATE, "connections": _CONNECTIONS, "seconds": seconds}
    title = f"A new list while {_RATE:,} redirects a second go on, one core for all of nearbucket"
    rows = tuple(_rows(samples))
    return [Table("refresh", title, ("window",), _COLUMNS, rows, (), loaded)]


def _rows(samples: dict[str, list[Waits]]) -> list[Row]:
    quiet = samples["quiet"]
    return [
        Row((name,), {
            "p50_ms": middle(each.p50 for each in ours),
            "p99_ms": middle(each.p99 for each in ours),
            "p99_lowest_ms": min(each.p99 for each in ours),
            "longest_ms": middle(each.longest for each in ours),
            "p99_more_ms": median(a.p99 - b.p99 for a, b in zip(ours, quiet, strict=True)),
        }) for name, ours in samples.items()
    ]  # fmt: skip
