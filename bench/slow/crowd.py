"""Slow readers on one proxy: the memory of proxy and kernel for them, and the CPU time.

It fails when a reader got wrong bytes, or none.
"""

from __future__ import annotations

import select
import signal
import subprocess
import time
from typing import TYPE_CHECKING, NamedTuple

from bench.lib.case import BenchError
from bench.lib.origin_objects import KIB, LARGE
from bench.lib.processes import cpu_seconds, module_command, running
from bench.slow import readers as slow_readers
from bench.slow.memory import forget_peak, pipes, resident, sockets, tcp_memory
from bench.streaming.scene import PLAIN

if TYPE_CHECKING:
    from bench.lib.servers import Server
    from bench.streaming.scene import Scene

BYTES_A_SECOND = 16 * KIB
_PATIENCE = 30.0
_PAUSE = 0.25
_STILL = 4  # pauses without a change: then everything is full
_CHANGE = 0.01
_FULLEST = 15.0
"""Seconds after which a proxy counts as full; measured: up to 9 with 1,000 readers."""


class Held(NamedTuple):
    """What one proxy held for a crowd, in bytes, and its CPU time in seconds.

    Attributes:
        peak: Resident memory at its highest, above what it was without the crowd.
        kernel: Memory of the proxy's sockets and bytes in its pipes, at their highest.
        tcp: What the kernel held more for all TCP sockets, with those of origin and clients.
        filling: CPU time until nothing grew any more.
        full: CPU time a second from then on.
        starved: Readers that got less than they would have read.
    """

    peak: int
    kernel: int
    tcp: int
    filling: float
    full: float
    starved: int


class _Watch:
    """Memory since the crowd came."""

    def __init__(self, server: Server, origin: int) -> None:
        """Args: the proxy; the port of its origin."""
        self._server, self._origin = server, origin
        forget_peak(server.pid)
        self._rest, self._tcp_rest = resident(server.pid), tcp_memory()
        self.kernel = self.tcp = 0

    def look(self) -> int:
        """Note the peaks, and return what is held now."""
        kernel = sockets(self._server.port, self._origin) + pipes(self._server.pid)
        self.kernel = max(self.kernel, kernel)
        self.tcp = max(self.tcp, tcp_memory() - self._tcp_rest)
        return kernel + resident(self._server.pid)

    def fill(self) -> None:
        """Wait until nothing grows any more."""
        deadline = time.monotonic() + _FULLEST
        before, still = self.look(), 0
        while still < _STILL and time.monotonic() < deadline:
            time.sleep(_PAUSE)
            now = self.look()
            still = still + 1 if now <= before * (1 + _CHANGE) else 0
            before = max(before, now)

    @property
    def peak(self) -> int:
        """Resident memory at its highest, above rest."""
        return resident(self._server.pid, "VmHWM") - self._rest


def hold(scene: Scene, server: Server, readers: int, way: str, seconds: float) -> Held:
    """Let a crowd read, until the proxy is full and then so many seconds.

    Raises:
        BenchError: A reader got something else, or nothing.
    """
    watch = _Watch(server, scene.origin.plain if way == PLAIN else scene.origin.tls)
    start = cpu_seconds(server.pid)
    arguments = (server.port, scene.heads(LARGE, way), LARGE.size, readers, BYTES_A_SECOND)
    command = module_command(slow_readers.__name__, *arguments)
    errors = scene.folder / "readers.errors"
    with (
        errors.open("wb") as stderr,
        running(command, core=scene.cores.load, stdout=subprocess.PIPE, stderr=stderr) as crowd,
    ):
        _wait_until_begun(crowd, server)
        watch.fill()
        full, since = cpu_seconds(server.pid), time.monotonic()
        time.sleep(seconds)
        watch.look()
        used, passed = cpu_seconds(server.pid) - full, time.monotonic() - since
        peak = watch.peak
        crowd.send_signal(signal.SIGTERM)
        starved, _ = crowd.communicate(timeout=_PATIENCE)
    if crowd.returncode:
        said = errors.read_text(encoding="utf-8")[-500:]
        raise BenchError(f"{server.kind.name}, {way} origin, {readers} slow readers: {said}")
    return Held(peak, watch.kernel, watch.tcp, full - start, used / passed, int(starved))


def _wait_until_begun(crowd: subprocess.Popen[bytes], server: Server) -> None:
    """Return when every reader has the start of its answer, or one has given up."""
    if crowd.stdout is None or not select.select([crowd.stdout], (), (), _PATIENCE)[0]:
        raise BenchError(f"{server.kind.name}: not all answers began in {_PATIENCE:.0f} s")
    crowd.stdout.readline()
