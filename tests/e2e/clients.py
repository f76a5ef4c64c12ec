"""Two ways from a real client to an object, each of which can be cut in the middle.

``Way`` is a running ``nearbucket serve`` with a relay in front of it, and another relay in front of
the bucket that its redirects name. ``run`` runs a client that leaves nothing behind outside the
test's folder.

All clients come from the loopback address, because some can send no header of ours: for redirects,
``regions.overrides`` puts loopback into a region.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import socket
import struct
import subprocess
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, Self

from tests.e2e.running import ROOT, Running, keys_of, site_of
from tests.s3server import allow_anonymous, make_bucket

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.conftest import LocalS3

REGION = "us-west-2"
KEY = "clients/pack-1.0.tar.gz"
PAYLOAD = random.Random(7).randbytes(9 * 2**20 + 77)  # noqa: S311 - content, not a secret
"""More than aria2c needs for 8 segments of at least 1 MiB."""
STREAMED = "clients/kept.git/info/"
MIDDLE = 3 * 2**20
_SOCKET = 2**16
_HOST = "127.0.0.1"
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of no seconds: close sends RST, and drops what is not sent (socket(7))."""
HEAD = 4096
"""More bytes than the heads of a few answers have."""
_RANGE = re.compile(r"^range: *bytes=(\S+)", re.MULTILINE | re.IGNORECASE)


class Relay:
    """A port of 127.0.0.1 that passes bytes to another, and can end a connection early.

    Attributes:
        port: Where clients connect.
        cuts: Connections ended early since ``forget``.
    """

    def __init__(self, to: int) -> None:
        self._to = to
        self._listener = socket.create_server((_HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self.cuts = 0
        self._after: int | None = None
        self._lasting = False
        self._asked: dict[socket.socket, bytearray] = {}
        self._sent: dict[socket.socket, int] = {}
        self._open: set[socket.socket] = set()
        self._lock = Lock()
        self._threads = [Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_failure: object) -> None:
        _shut(self._listener, socket.SHUT_RDWR)  # wakes accept, which close does not
        self._listener.close()
        with self._lock:
            for end in self._open:
                _shut(end, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def cut(self, after: int, *, lasting: bool = False) -> None:
        """End the next connection on which this many bytes have come back.

        Args:
            after: Bytes, of heads too; the client gets all of them.
            lasting: From then on end every connection, until ``forget``; else no other one.
        """
        self.forget()
        self._after, self._lasting = after, lasting

    def forget(self) -> None:
        """Drop what was seen, and pass everything on."""
        with self._lock:
            self.cuts, self._after, self._lasting = 0, None, False
            self._sent, self._asked = {}, {}

    @property
    def passed(self) -> int:
        """Bytes that have come back since ``forget``, heads too."""
        return sum(self._sent.values())

    @property
    def heads(self) -> list[str]:
        """Heads of requests since ``forget``, one connection after the other."""
        with self._lock:
            seen = [bytes(asked) for asked in self._asked.values()]
        return [head for one in seen for head in one.decode("latin-1").split("\r\n\r\n") if head]

    @property
    def ranges(self) -> list[str]:
        """What each of them asked for after ``bytes=``, where it did."""
        return [found[1] for head in self.heads if (found := _RANGE.search(head))]

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._start(self._relay, client)

    def _start(self, work: Any, *arguments: Any) -> Thread:
        self._threads.append(thread := Thread(target=work, args=arguments, daemon=True))
        thread.start()
        return thread

    def _relay(self, client: socket.socket) -> None:
        with client, suppress(OSError), socket.create_connection((_HOST, self._to)) as server:
            # a server with bytes that nobody takes would otherwise wait until it gives up
            server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            with self._lock:
                self._open |= {client, server}
            up = self._start(self._up, client, server)
            with suppress(OSError):
                self._down(server, client)
            _shut(client, socket.SHUT_WR)
            _shut(server, socket.SHUT_RDWR)
            up.join()
            with self._lock:
                self._open -= {client, server}

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        """Pass requests on until the client ends, even if the other side is gone."""
        with suppress(OSError):
            while data := client.recv(_SOCKET):
                with self._lock:
                    self._asked.setdefault(client, bytearray()).extend(data)
                with suppress(OSError):
                    server.sendall(data)
        _shut(server, socket.SHUT_RDWR)

    def _down(self, server: socket.socket, client: socket.socket) -> None:
        while data := server.recv(_SOCKET):
            allowed = self._allowed(client, len(data))
            client.sendall(data[:allowed])
            if allowed < len(data):
                return

    def _allowed(self, client: socket.socket, more: int) -> int:
        """How many of so many more bytes a connection may get; fewer are its last."""
        with self._lock:
            if self.cuts and self._lasting:
                return 0
            sent = self._sent.get(client, 0)
            self._sent[client] = sent + more
            if self._after is None or sent + more <= self._after:
                return more
            left = self._after - sent
            self.cuts, self._after = self.cuts + 1, None
            return left


@dataclass(frozen=True, slots=True)
class Way:
    """A running proxy and the relays around it.

    Attributes:
        redirected: Whether it redirects everybody, else it streams to everybody.
        front: Where clients connect.
        back: Where its redirects lead.
        objects: Where its buckets are.
    """

    redirected: bool
    front: Relay
    back: Relay
    objects: LocalS3

    @property
    def last(self) -> Relay:
        """The relay that objects come through."""
        return self.back if self.redirected else self.front

    def url(self, key: str = KEY, host: str = _HOST) -> str:
        """The URL of an object that a client gets."""
        return f"http://{host}:{self.front.port}/{key}"

    def cut(self, after: int = MIDDLE, *, lasting: bool = False) -> None:
        """Break the next download that gets beyond so many bytes: once, or for good."""
        self.forget()
        self.last.cut(after, lasting=lasting)

    def forget(self) -> None:
        """Begin a test."""
        self.front.forget()
        self.back.forget()

    def taken(self, key: str = KEY) -> bool:
        """Whether the object was asked for here, and came the way it should."""
        asked, followed = (
            any(f"/{key} " in head for head in relay.heads) for relay in (self.front, self.back)
        )
        return asked and followed == self.redirected


@contextmanager
def open_way(s3: LocalS3, folder: Path, *, redirected: bool) -> Iterator[Way]:
    """Start a proxy that redirects, or streams to, all clients.

    Args:
        s3: The server of the tests; buckets of our own are made on it when they are missing.
        folder: Folder for configuration and logs.
        redirected: Which of the two. Pages (``*.html``) and ``STREAMED`` are never redirected.
    """
    ours = replace(s3, private="clients-origin", public="clients-west")
    store(ours, {KEY: PAYLOAD})
    with Relay(int(s3.server.endpoint.rpartition(":")[2])) as back:
        redirect = {
            "mode": "on" if redirected else "off",
            "client_probe": False,  # its requests for one byte would count as a client's
            "paths": ["*"],
            "exclude": ["*.html", f"{STREAMED}*"],
        }
        site = site_of(ours, redirect=redirect, index="index.html")
        site["targets"][REGION]["public_url"] = f"http://{_HOST}:{back.port}/{ours.public}"
        config = {
            "client_address": {"from": "peer"},
            "regions": {
                "source": str(ROOT / "config" / "ip-ranges.sample.json"),
                "cache": str(folder / "ranges.json"),
                "overrides": {"127.0.0.0/8": REGION},
            },
            "catalog": {"wait": "10s"},
            "sites": [site],
        }
        with Running(folder, config, keys_of(s3)) as running, Relay(running.port) as front:
            running.ready()
            yield Way(redirected, front, back, ours)


def store(s3: LocalS3, objects: Mapping[str, bytes]) -> None:
    """Put objects into both buckets, which are made when they are missing."""
    asyncio.run(_store(s3, objects))


async def _store(s3: LocalS3, objects: Mapping[str, bytes]) -> None:
    async with s3.server.client() as client:
        there = {bucket["Name"] for bucket in (await client.list_buckets())["Buckets"]}
        if s3.public not in there:
            await make_bucket(client, s3.private)
            await make_bucket(client, s3.public, REGION)
            await allow_anonymous(client, s3.public)
        for key, body in objects.items():
            kind = "text/html" if key.endswith(".html") else "application/octet-stream"
            for bucket in (s3.private, s3.public):
                await client.put_object(Bucket=bucket, Key=key, Body=body, ContentType=kind)


def quiet(folder: Path) -> dict[str, str]:
    """An environment without the machine's settings, at home in ``folder``."""
    return {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


def run(
    command: list[str], folder: Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a client in ``folder``, with ``quiet`` and ``env``."""
    return subprocess.run(
        command,
        cwd=folder,
        env=quiet(folder) | dict(env or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _shut(end: socket.socket, how: int) -> None:
    with suppress(OSError):
        end.shutdown(how)
