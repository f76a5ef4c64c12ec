"""One worker of nearbucket in a process of its own, for the comparison.

In: ``serve_one.py fast|aiohttp PORT RANGES-FILE [LOG-FILE]``. Out: answers on 127.0.0.1 until
a signal ends it; JSON lines in LOG-FILE when one is given. Refuses to run a supervisor: the
cost of a request is the worker's alone.
"""  # noqa: INP001  # scripts that run from their own folder, not a package

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import uvloop
from case import settings

from proxy.decide.regions import read_ranges
from proxy.pool import open_listeners
from proxy.snapshot import snapshot_of
from proxy.worker import Worker


def _prepare(lane: str, ranges: Path, log: Path | None) -> Worker:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    descriptor = os.open(log or os.devnull, flags, 0o600)
    snapshot = snapshot_of(settings(log=log is not None), read_ranges(ranges.read_bytes()))
    return Worker(snapshot, fast_lane=lane == "fast", descriptor=descriptor)


async def _serve(worker: Worker, port: int) -> None:
    listener = open_listeners("127.0.0.1", port, 1)[0]
    listener.setblocking(False)  # noqa: FBT003  # the standard library's signature
    await worker.start(listener)
    await asyncio.Event().wait()


if __name__ == "__main__":
    _lane, _port, _ranges, *_log = sys.argv[1:]
    _worker = _prepare(_lane, Path(_ranges), Path(_log[0]) if _log else None)
    uvloop.run(_serve(_worker, int(_port)))
