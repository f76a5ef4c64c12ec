"""The demo: starts a local S3 server and the proxy, runs ``curl`` commands, and cleans up."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, NamedTuple, Self

from rich.console import Console

from nearbucket.cli.demo.child_process import ENDINGS, end, own_environment, start
from nearbucket.cli.demo.sample_log import write_sample_log
from nearbucket.cli.demo.seaweedfs import SeaweedFS, allow_anonymous, make_bucket
from nearbucket.config.yaml_text.yaml_document import write_yaml
from nearbucket.errors import ConfigError, OriginError

KEY = "releases/demo-1.0.tar.gz"
IN_WEST, OUTSIDE = "198.51.100.7", "203.0.113.250"
HOME_REGION, WEST_REGION = "us-east-1", "us-west-2"
ORIGIN_BUCKET, WEST_BUCKET = "downloads", "us-west-2-downloads"
START_TIMEOUT = 30.0
STOP_PATIENCE = 35.0  # seconds: longer than drain_timeout
_SAMPLE_BYTES = 3 * 1024 * 1024

# Documentation addresses (RFC 5737, RFC 3849) in the format of AWS's list.
RANGES = {
    "syncToken": "1767225600",
    "createDate": "2026-01-01-00-00-00",
    "prefixes": [
        {"ip_prefix": prefix, "region": region, "service": "EC2", "network_border_group": region}
        for prefix, region in (("192.0.2.0/24", HOME_REGION), ("198.51.100.0/24", WEST_REGION))
    ],
    "ipv6_prefixes": [
        {"ipv6_prefix": prefix, "region": region, "service": "EC2", "network_border_group": region}
        for prefix, region in (
            ("2001:db8:1::/48", HOME_REGION),
            ("2001:db8:2::/48", WEST_REGION),
            ("2001:db8:3::/48", "eu-west-1"),
        )
    ],
}


class DemoCommand(NamedTuple):
    """A command, what it shows, and words that its output must contain."""

    title: str
    command: str
    expected: tuple[str, ...]


class Demo:
    """A running demo; ``with`` starts it and cleans it up."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._server: subprocess.Popen[bytes]
        self.folder: Path
        self.port, self.admin_port = _free_port(8080), _free_port(9090)
        self.sample = secrets.token_bytes(_SAMPLE_BYTES)

    def __enter__(self) -> Self:
        """Start S3, fill the buckets, start the proxy."""
        if shutil.which("curl") is None:
            raise ConfigError("the demo needs curl: install it")
        with self._stack:
            temporary = tempfile.TemporaryDirectory(prefix="nearbucket-")
            self.folder = Path(self._stack.enter_context(temporary))
            s3 = self._stack.enter_context(SeaweedFS(self.folder / "s3"))
            asyncio.run(self._fill(s3))
            write_sample_log(self.folder / "sample-log")
            self._serve(self.folder, s3)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_failure: object) -> None:
        """Stop all processes and remove all files."""
        self._stack.close()

    async def _fill(self, s3: SeaweedFS) -> None:
        async with s3.client() as client:
            for bucket, region in ((ORIGIN_BUCKET, HOME_REGION), (WEST_BUCKET, WEST_REGION)):
                await make_bucket(client, bucket, region)
                await allow_anonymous(client, bucket)
                await client.put_object(
                    Bucket=bucket, Key=KEY, Body=self.sample, ContentType="application/gzip"
                )
            text = b"Small and always current: served by the proxy.\n"
            await client.put_object(Bucket=ORIGIN_BUCKET, Key="README.txt", Body=text)

    def _serve(self, folder: Path, s3: SeaweedFS) -> None:
        (folder / "ip-ranges.json").write_text(json.dumps(RANGES), encoding="utf-8")
        keys = {"access_key_file": s3.access_key, "secret_key_file": s3.secret_key}
        for name, key in keys.items():
            (folder / name).write_text(key, encoding="utf-8")
        credentials = {name: str(folder / name) for name in keys}
        config = folder / "nearbucket.yaml"
        config.write_text(
            write_yaml(self._config(folder, s3.endpoint, credentials)), encoding="utf-8"
        )
        log = self._stack.enter_context((folder / "server.log").open("wb"))
        self._server = start(
            [sys.executable, "-m", "nearbucket", "serve", "--config", str(config)],
            lambda server: self._stack.callback(end, server, STOP_PATIENCE),
            log=log,
            env={},
        )
        self._wait(folder / "server.log")

    def _wait(self, log: Path) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline and self._server.poll() is None:
            with suppress(OSError, urllib.error.URLError):
                address = f"http://127.0.0.1:{self.admin_port}/readyz"
                with urllib.request.urlopen(address, timeout=1):
                    return
            time.sleep(0.05)
        tail = log.read_text(encoding="utf-8", errors="replace")[-2000:]
        raise OriginError(503, f"the proxy did not become ready:\n{tail}")

    def _config(self, folder: Path, endpoint: str, credentials: dict[str, str]) -> dict[str, Any]:
        def bucket(name: str, region: str) -> dict[str, Any]:
            return {"bucket": name, "region": region, "endpoint": endpoint}

        return {
            "listen": {"host": "127.0.0.1", "port": self.port, "workers": 2},
            "admin": {"port": self.admin_port},
            "limits": {"drain_grace": 0},  # no load balancer has to notice
            "client_address": {"from": "x-forwarded-for", "trusted_proxies": ["loopback"]},
            "regions": {
                "source": str(folder / "ip-ranges.json"),
                "cache": str(folder / "cache.json"),
            },
            # the server's first answers may take longer than usual
            "catalog": {"wait": "5s"},
            "sites": [
                {
                    "origin": bucket(ORIGIN_BUCKET, HOME_REGION) | {"credentials": credentials},
                    "targets": {WEST_REGION: bucket(WEST_BUCKET, WEST_REGION)},
                    # so that a command can be run twice in a row
                    "redirect": {"scheme": "http", "came_back": "off"},
                }
            ],
        }

    def commands(self) -> list[DemoCommand]:
        """The commands to try."""
        url = f"http://127.0.0.1:{self.port}/{KEY}"
        digest = hashlib.sha256(self.sample).hexdigest()
        west, outside = (f"-H 'X-Forwarded-For: {ip}'" for ip in (IN_WEST, OUTSIDE))
        metrics = f"http://127.0.0.1:{self.admin_port}/metrics"
        counts = "^nearbucket_(redirects|bypasses|streamed_bytes)_total.* [1-9]"
        return [
            DemoCommand(f"A client in {WEST_REGION} is redirected to the bucket there",
                        f"curl -sD- -o/dev/null {west} {url}", ("301", f"/{WEST_BUCKET}/{KEY}")),
            DemoCommand("curl -L follows, and gets the very bytes from that bucket",
                        f"curl -sL {west} {url} | sha256sum", (digest,)),
            DemoCommand("A client outside AWS gets the object through the proxy",
                        f"curl -s {outside} {url} | sha256sum", (digest,)),
            DemoCommand("... or a part of it",
                        f"curl -sD- -o/dev/null -r 0-99 {outside} {url}",
                        ("206", f"bytes 0-99/{_SAMPLE_BYTES}")),
            DemoCommand("A small, changing file is never redirected",
                        f"curl -sD- {west} http://127.0.0.1:{self.port}/README.txt",
                        ("reason=path", "always current")),
            DemoCommand("Both are counted, with the reason and the bytes",
                        f"curl -s {metrics} | grep -E '{counts}'",
                        (f'redirects_total{{region="{WEST_REGION}",site="*"}} 2.0',)),
            *self._report_commands(),
        ]  # fmt: skip

    def _report_commands(self) -> list[DemoCommand]:
        """What is shown of a report on access logs."""
        page = self.folder / "report.html"
        analyze = (
            f"{_command()} analyze {self.folder}/sample-log --ranges {self.folder}/ip-ranges.json "
            f"--origin-region {HOME_REGION}"
        )
        figures = "bill.usd_month|recommendation.(paths|regions|saving_usd_month|low|high)"
        return [
            DemoCommand("A report on an access log says what redirects would save a month",
                        f"{analyze} | grep -E '^({figures})'",
                        ("recommendation.paths\t*.tar.xz", "recommendation.saving_usd_month")),
            DemoCommand("... also as a page with charts",
                        f"{analyze} --format html --output {page} && "
                        f"grep -o '<title>.*</title>' {page}",
                        ("<title>downloads.example.com, 2 to 15 November 2026</title>",)),
        ]  # fmt: skip


def run(*, stay: bool) -> bool:
    """Run the demo, with ``stay`` until Ctrl-C; returns whether all output was as expected."""
    console = Console(highlight=False, soft_wrap=True)
    for number in ENDINGS:  # Ctrl-C too: a background job of a shell inherits it ignored
        signal.signal(number, signal.default_int_handler)
    os.environ["no_proxy"] = "127.0.0.1"  # for curl, the SDK and the proxy's own check
    right = True
    with suppress(KeyboardInterrupt):
        console.print("starting a local S3 server, two buckets and the proxy ...")
        with Demo() as demo:
            right = _try(console, demo)
            if stay:
                console.print(
                    "\nStill running, so that you can try the commands. The dashboard is "
                    f"http://127.0.0.1:{demo.admin_port}/ and the report is "
                    f"{(demo.folder / 'report.html').as_uri()} ; server.log is in {demo.folder} . "
                    f"To try other commands: {_command()} check "
                    f"--config {demo.folder}/nearbucket.yaml . Ctrl-C stops and removes everything."
                )
                signal.pause()
            else:
                console.print(f"\nDone; `{_command()} demo --stay` keeps it running.")
    with suppress(OSError):  # the terminal may have been closed
        console.print("Stopped; all files are removed.")
    return right


def _try(console: Console, demo: Demo) -> bool:
    right = True
    for title, command, expected in demo.commands():
        done = subprocess.run(  # noqa: S602  # our own command, shown and run alike
            command,
            shell=True,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            cwd=demo.folder / "sample-log",  # has no nearbucket.yaml, unlike perhaps the user's
            env=own_environment(),
        )
        output = done.stdout.replace("\r", "").strip()
        good = all(words in output for words in expected)
        right = right and good
        console.print(f"\n[bold]{title}[/bold]")
        console.print(f"$ {command}", style="cyan", markup=False)
        console.print(output + done.stderr, markup=False)
        console.print("ok" if good else "NOT as expected", style="green" if good else "bold red")
    return right


def _command() -> str:
    """This command as a shell finds it; its path, if it is not on PATH, as after ``make demo``."""
    own = Path(sys.executable).with_name("nearbucket")
    found = shutil.which(own.name)
    return own.name if found and Path(found).resolve() == own.resolve() else str(own)


def _free_port(wanted: int) -> int:
    for port in (wanted, 0):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ConfigError("no free port on 127.0.0.1")
