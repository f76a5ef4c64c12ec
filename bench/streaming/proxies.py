"""The proxies of the streaming benches, started and checked.

Each streams the objects to every client of the case.
"""

from __future__ import annotations

import http.client
import pickle
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from bench.lib import serve_one
from bench.lib.case import BenchError
from bench.lib.origin import wait_for
from bench.lib.origin_objects import MIB, Object, is_part
from bench.lib.policies import Place
from bench.lib.processes import free_port, module_command, running
from bench.lib.servers import AIOHTTP, HAPROXY, NGINX, Kind, Server, haproxy_program, nginx_program
from bench.streaming.configs import haproxy_config, nginx_config
from bench.streaming.scene import ANSWER, HOSTS, Scene, streaming_settings
from nearbucket.supervisor.snapshot import snapshot_of

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def started(scene: Scene, kind: Kind) -> Iterator[Server]:
    """A running proxy.

    Raises:
        BenchError: It does not start.
    """
    folder = scene.folder / str(kind).replace(", ", "-").replace(" ", "-")
    folder.mkdir(exist_ok=True)
    place = Place(free_port(), folder / "access.log" if kind.log else None, folder)
    errors = folder / "errors"
    with ExitStack() as stack:
        output = stack.enter_context((place.log or folder / "output").open("ab"))
        stderr = stack.enter_context(errors.open("wb"))
        process = stack.enter_context(
            running(
                _command(scene, kind, place), core=scene.cores.server, stdout=output, stderr=stderr
            )
        )
        wait_for(kind.name, process, [place.port], errors)
        yield Server(kind, process.pid, place.port, place.log)


def _command(scene: Scene, kind: Kind, place: Place) -> list[str]:
    """What to run; writes the configuration first."""
    config = place.folder / "config"
    if kind.name == NGINX:
        config.write_text(nginx_config(scene, place), encoding="ascii")
        program = nginx_program() or NGINX
        return [program, "-p", str(place.folder), "-e", "stderr", "-c", str(config)]
    if kind.name == HAPROXY:
        config.write_text(haproxy_config(scene, place), encoding="ascii")
        return [haproxy_program() or HAPROXY, "-db", "-f", str(config)]
    chosen = streaming_settings(scene, log=kind.log)
    config.write_bytes(pickle.dumps(snapshot_of(chosen, scene.ranges)))
    # Python's ssl trusts OpenSSL's default file, which this variable names.
    trust = ["env", f"SSL_CERT_FILE={scene.origin.certificate}"]
    lanes = "aiohttp" if kind.name == AIOHTTP else "all"
    command = [*trust, *module_command(serve_one.__name__, lanes, place.port, config)]
    return [*command, str(place.log)] if place.log else command


def check(scene: Scene, server: Server, thing: Object, way: str) -> None:
    """Check that a client gets the object: its fields, its length, and its first MiB.

    Raises:
        BenchError: It does not.
    """
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    fields = {"Host": HOSTS[way], "X-Forwarded-For": scene.clients[0]}
    connection.request("GET", f"/{thing.key}", headers=fields)
    answer = connection.getresponse()
    found = (answer.status, *map(answer.getheader, _SHOWN))
    wanted = (200, ANSWER, str(thing.size), "application/gzip", None)
    data = answer.read(min(thing.size, MIB)) if found == wanted else b""
    connection.close()
    if not data or not is_part(data, 0):
        raise BenchError(f"{server.kind.name}, {way} origin, {thing.key}: got {found}")


_SHOWN = ("X-Nearbucket", "Content-Length", "Content-Type", "x-amz-request-id")
