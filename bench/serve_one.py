"""One worker of nearbucket in a process of its own, for the comparison.

In: ``serve_one.py all|no-relay|aiohttp PORT SNAPSHOT-FILE [LOG-FILE]``; the lanes that may
answer, and a pickled ``Snapshot``, which is what a supervisor sends. Out: answers on 127.0.0.1
until a signal ends it; access log in LOG-FILE when one is given. Refuses to run a supervisor:
the cost of a request is the worker's alone.
"""  # noqa: INP001  # scripts that run from their own folder, not a package

from __future__ import annotations

import asyncio
import os
import pickle
import sys
from pathlib import Path

import uvloop

from nearbucket.supervisor.prefork import open_listeners
from nearbucket.supervisor.worker import Worker


def _prepare(lanes: str, snapshot: Path, log: str) -> Worker:
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    return Worker(
        pickle.loads(snapshot.read_bytes()),  # noqa: S301  # the bench wrote it
        fast_lane=lanes != "aiohttp",
        relay=lanes == "all",
        descriptor=descriptor,
    )


async def _serve(worker: Worker, port: int) -> None:
    listener = open_listeners("127.0.0.1", port, 1)[0]
    listener.setblocking(False)  # noqa: FBT003  # the standard library's signature
    await worker.start(listener)
    await asyncio.Event().wait()


if __name__ == "__main__":
    _lanes, _port, _snapshot, *_log = sys.argv[1:]
    uvloop.run(_serve(_prepare(_lanes, Path(_snapshot), *_log or [os.devnull]), int(_port)))
