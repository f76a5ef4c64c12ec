"""Downloads through one proxy, and the CPU time it uses for them.

It fails when a client got anything but the object.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, NamedTuple

from bench.lib.case import BenchError
from bench.lib.processes import module_command, running, usage
from bench.streaming import client

if TYPE_CHECKING:
    from bench.lib.origin_objects import Object
    from bench.lib.processes import Usage
    from bench.lib.servers import Server
    from bench.streaming.scene import Scene

_LONGEST = 120
"""Seconds that all downloads of a round may take."""


class Load(NamedTuple):
    """The objects and how they are downloaded.

    Attributes:
        thing: The object.
        way: Way to the origin: plain or TLS.
        connections: Number of kept connections, each with one download at a time.
        requests: Number of downloads.
    """

    thing: Object
    way: str
    connections: int
    requests: int


def measure(scene: Scene, server: Server, load: Load) -> Usage:
    """CPU time of a proxy for the load, its log lines included.

    While the last lines are waited for, the core is idle or serves others, so from the end
    of the load on it counts as busy with what the server uses.

    Raises:
        BenchError: A client got something else, or nothing.
    """
    server.empty_log()
    before = usage(server.pid, scene.cores.server)
    _download(scene, server, load)
    during = usage(server.pid, scene.cores.server).since(before)
    server.finish_log(load.requests)
    used = usage(server.pid, scene.cores.server).since(before)
    return used._replace(core=during.core + used.process - during.process)


def _download(scene: Scene, server: Server, load: Load) -> None:
    heads = scene.heads(load.thing, load.way)
    arguments = (server.port, heads, load.thing.size, load.connections, load.requests)
    command = module_command(client.__name__, *arguments)
    errors = scene.folder / "client.errors"
    with (
        errors.open("wb") as stderr,
        running(command, core=scene.cores.load, stderr=stderr) as process,
    ):
        try:
            status = process.wait(_LONGEST)
        except subprocess.TimeoutExpired:
            raise BenchError(f"{server.kind.name}: over {_LONGEST} s for one round") from None
    if status:
        said = errors.read_text(encoding="utf-8")[-500:]
        raise BenchError(f"{server.kind.name}, {load.way} origin, {load.thing.key}: {said}")
