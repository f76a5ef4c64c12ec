"""One worker of nearbucket in a process of its own, without a supervisor.

Run with ``all|no-relay|aiohttp PORT SNAPSHOT-FILE [LOG-FILE]``: the lanes that may answer, and a
pickled ``Snapshot``, which is what a supervisor sends. It answers on 127.0.0.1 until a signal
ends it, and writes its access log to LOG-FILE if there is one. Requests do not pass through a
supervisor, so the worker's CPU time is the whole cost of a request.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import sys
from pathlib import Path

import uvloop

from nearbucket.config.settings import Listen
from nearbucket.supervisor.prefork import open_listeners
from nearbucket.supervisor.worker.worker import Worker


def _prepare(lanes: str, snapshot: Path, log: str) -> Worker:
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    return Worker(
        pickle.loads(snapshot.read_bytes()),  # noqa: S301  # the bench wrote it
        fast_lane=lanes != "aiohttp",
        relay=lanes == "all",
        descriptor=descriptor,
    )


async def _serve(worker: Worker, port: int) -> None:
    listener = open_listeners(Listen(host="127.0.0.1", port=port))[0]
    listener.setblocking(False)  # noqa: FBT003  # the standard library's signature
    await worker.start(listener)
    await asyncio.Event().wait()


if __name__ == "__main__":
    _lanes, _port, _snapshot, *_log = sys.argv[1:]
    uvloop.run(_serve(_prepare(_lanes, Path(_snapshot), *_log or [os.devnull]), int(_port)))
