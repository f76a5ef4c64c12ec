"""Latency of redirects while a new list of prefixes comes into use.

Latencies at a steady rate, in windows with a new list and without one, and how long a worker's
event loop is blocked when it gets a new list. The supervisor shares the worker's core: that is
the worst case.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import time
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

import uvloop

from bench.lib.case import BenchError, clients, configuration
from bench.lib.frame import Figure, Row, Table, interleaved, middle
from bench.lib.heads import KEYS, varied
from bench.lib.paced import Pace, Waits, pacing
from bench.lib.service import serving
from nearbucket.config.settings import Settings
from nearbucket.regions.ip_ranges import read_ranges
from nearbucket.supervisor.ipc import Channel, encoded
from nearbucket.supervisor.snapshot import Snapshot, engine_of, snapshot_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bench.lib.frame import Context
    from bench.lib.service import Service

TITLE = "A new list"
_RATE, _CONNECTIONS = 2000, 32
_SECONDS, _QUICK_SECONDS = 4.0, 3.0
_INTO = 0.5  # seconds of a window before the list changes
_TIMES = 15  # snapshots a round
_MEGA = 1e6  # nanoseconds of a millisecond
_BLOCKED = (
    Figure("longest_ms", "longest at a time, CPU ms"),
    Figure("whole_ms", "in all, CPU ms"),
)
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
        """Run the load, and check that the list came into use meanwhile."""
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
    """Windows alternate; the service fetches the list every second in all of them."""
    heads = context.folder / "heads"
    asking = clients(read_ranges(context.ranges.read_bytes()), KEYS)
    heads.write_bytes(varied(address for address, _ in asking))
    source = Source.copy(context.ranges, context.folder / "ranges.json")
    seconds = _QUICK_SECONDS if context.quick else _SECONDS
    context.steps.expect(2 * context.rounds)
    with serving(
        configuration(log=True),
        1,
        folder=context.folder / "service",
        ranges=source.file,
        cores=[context.cores.server],
    ) as service:
        core = context.cores.load
        windows = {
            name: Window(service, source, heads, core, seconds, name == "new list")
            for name in ("quiet", "new list")
        }
        samples = interleaved(windows, Window.measure, context, warm_up=False)
    loaded = {"rate": _RATE, "connections": _CONNECTIONS, "seconds": seconds}
    title = f"A new list while {_RATE:,} redirects a second go on, one core for all of nearbucket"
    rows = tuple(_rows(samples))
    blocked = tuple(uvloop.run(_blocked(_snapshot(context.ranges), context.rounds)))
    return [
        Table("refresh", title, ("window",), _COLUMNS, rows, (), loaded),
        Table("blocked", "A worker's loop, when it gets a new list", ("step",), _BLOCKED, blocked),
    ]


def _snapshot(ranges: Path) -> Snapshot:
    site = {
        "origin": {"bucket": "downloads", "region": "us-east-1"},
        "targets": {"us-west-2": {"bucket": "us-west-2-downloads"}},
    }
    settings = Settings.model_validate({"sites": [site]})
    return snapshot_of(settings, read_ranges(ranges.read_bytes()))


async def _blocked(snapshot: Snapshot, rounds: int) -> list[Row]:
    """CPU time between two turns of a loop that has nothing else to do."""
    data, used = encoded(snapshot), engine_of(snapshot)
    reads, swaps = list[list[int]](), list[list[int]]()
    ours, theirs = socket.socketpair()
    supervisor, worker = await Channel.over(ours), await Channel.over(theirs)
    for _ in range(rounds * _TIMES):
        supervisor.send_encoded(data)
        receiving = asyncio.create_task(worker.receive())
        turns = [time.thread_time_ns()]
        while not receiving.done():
            await asyncio.sleep(0)
            turns.append(time.thread_time_ns())
        reads.append([end - begin for begin, end in pairwise(turns)])
        got = receiving.result()
        if not isinstance(got, Snapshot):
            raise BenchError("the channel gave no snapshot")
        begin = time.thread_time_ns()
        used = engine_of(got)
        swaps.append([time.thread_time_ns() - begin])
        del got, receiving
    del used
    await supervisor.close()
    await worker.close()
    steps = {"reading it, in parts": reads, "swapping it in, the old one let go": swaps}
    return [
        Row(
            (name,),
            {
                "longest_ms": middle(max(each) / _MEGA for each in found),
                "whole_ms": middle(sum(each) / _MEGA for each in found),
            },
        )
        for name, found in steps.items()
    ]


def _rows(samples: dict[str, list[Waits]]) -> list[Row]:
    quiet = samples["quiet"]
    return [
        Row(
            (name,),
            {
                "p50_ms": middle(each.p50 for each in ours),
                "p99_ms": middle(each.p99 for each in ours),
                "p99_lowest_ms": min(each.p99 for each in ours),
                "longest_ms": middle(each.longest for each in ours),
                "p99_more_ms": median(a.p99 - b.p99 for a, b in zip(ours, quiet, strict=True)),
            },
        )
        for name, ours in samples.items()
    ]
