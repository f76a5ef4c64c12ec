"""The origin of the streaming benches: nginx that answers from memory, plain and over TLS.

It listens on two ports of loopback with a certificate made for the run, and does not verify
signatures. Its own CPU time is not measured.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from bench.lib.case import BenchError
from bench.lib.origin_objects import Object, fill
from bench.lib.processes import free_port, running
from bench.lib.servers import answers, nginx_program

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

BUCKET = "downloads"
NAME = "localhost"
"""Host name in the certificate, beside 127.0.0.1."""

_START_TIMEOUT = 20.0
_PAUSE = 0.01


class Origin(NamedTuple):
    """A running origin.

    Attributes:
        plain: Port for HTTP.
        tls: Port for HTTPS.
        certificate: PEM file of the certificate to trust.
    """

    plain: int
    tls: int
    certificate: Path


@contextmanager
def serving(objects: Iterable[Object], folder: Path, core: int) -> Iterator[Origin]:
    """An origin that has these objects in ``BUCKET``.

    Raises:
        BenchError: nginx or openssl is missing, or did not do it.
    """
    program = nginx_program()
    if program is None:
        raise BenchError("nginx is the origin of this bench: apt-get install nginx-light")
    with ExitStack() as stack:
        places = {each.key: stack.enter_context(_in_memory(each)) for each in objects}
        certificate, key = _certificate(folder)
        origin = Origin(free_port(), free_port(), certificate)
        config = folder / "origin.conf"
        config.write_text(_config(origin, key, places, folder), encoding="ascii")
        errors = stack.enter_context((folder / "origin.errors").open("w+b"))
        command = [program, "-p", str(folder), "-e", "stderr", "-c", str(config)]
        process = stack.enter_context(running(command, core=core, stderr=errors))
        wait_for("the origin", process, (origin.plain, origin.tls), folder / "origin.errors")
        yield origin


def wait_for(
    name: str, process: subprocess.Popen[bytes], ports: Iterable[int], errors: Path
) -> None:
    """Return when every port takes connections.

    Raises:
        BenchError: The process ended, or takes too long; with what it said.
    """
    deadline = time.monotonic() + _START_TIMEOUT
    for port in ports:
        while not answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise BenchError(f"{name} did not start:\n{errors.read_text()[-2000:]}")
            time.sleep(_PAUSE)


@contextmanager
def _in_memory(thing: Object) -> Iterator[str]:
    """A path of the object's bytes, which are gone with this process, however it ends."""
    descriptor = os.memfd_create("nearbucket-bench")
    try:
        fill(thing, descriptor)
        yield f"/proc/{os.getpid()}/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate, and its key."""
    certificate, key = folder / "origin.crt", folder / "origin.key"
    openssl = shutil.which("openssl")
    if openssl is None:
        raise BenchError("openssl makes the origin's certificate: apt-get install openssl")
    done = subprocess.run(  # noqa: S603  # a fixed command
        [
            openssl,
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            f"/CN={NAME}",
            "-addext",
            f"subjectAltName=DNS:{NAME},IP:127.0.0.1",
            "-keyout",
            str(key),
            "-out",
            str(certificate),
        ],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise BenchError(f"openssl made no certificate: {done.stderr[-500:]}")
    return certificate, key


def _config(origin: Origin, key: Path, places: dict[str, str], folder: Path) -> str:
    """Answers as S3's look: the same fields, and as many bytes in a TLS record.

    One cipher suite, so that all proxies decrypt the same; sendfile, so that a download costs
    the load's core as little as it can.
    """
    locations = "\n".join(
        f"    location = /{BUCKET}/{name} {{ alias {path}; }}" for name, path in places.items()
    )
    temporary = "\n".join(
        f"  {name}_temp_path {folder / 'origin-temporary'};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""\
daemon off;
master_process off;
pid {folder / "origin.pid"};
error_log stderr error;
events {{ worker_connections 8192; }}
http {{
{temporary}
  access_log off;
  default_type application/gzip;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  ssl_certificate {origin.certificate};
  ssl_certificate_key {key};
  ssl_protocols TLSv1.3;
  ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
  add_header x-amz-id-2 "k3d5c9vZ0lQ4nS3mTzV1b8yqkqj0u0p5Zr1T0xw2mE4=" always;
  add_header x-amz-request-id "4Q2M8N0S7T1V6W3X" always;
  add_header x-amz-server-side-encryption AES256 always;
  server {{
    listen 127.0.0.1:{origin.plain} backlog=4096;
    listen 127.0.0.1:{origin.tls} ssl backlog=4096;
{locations}
  }}
}}
"""
