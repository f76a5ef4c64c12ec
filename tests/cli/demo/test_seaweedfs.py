"""The local S3 server starts, answers on loopback alone, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import pytest

from nearbucket.cli.demo import seaweedfs as seaweed
from nearbucket.cli.demo.seaweedfs import SeaweedFS, allow_anonymous, find_weed, make_bucket
from nearbucket.errors import ConfigError, install_command

if TYPE_CHECKING:
    from collections.abc import Iterator


def listening(pid: int) -> set[str]:
    """Addresses, in hexadecimal, on which a process listens (``/proc/net/tcp``, state 0A)."""
    links = [path for path in Path(f"/proc/{pid}/fd").iterdir() if path.is_symlink()]
    sockets = {str(path.readlink()) for path in links}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                found.add(fields[1].partition(":")[0])
    return found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    with SeaweedFS(tmp_path_factory.mktemp("weed")) as running:
        yield running


async def test_an_object_put_with_the_keys_is_read_back(server: SeaweedFS) -> None:
    async with server.client() as client:
        await make_bucket(client, "kept")
        await client.put_object(Bucket="kept", Key="k", Body=b"v")
        answer = await client.get_object(Bucket="kept", Key="k")
        async with answer["Body"] as body:
            assert await body.read() == b"v"


async def test_a_bucket_can_be_made_for_another_region(server: SeaweedFS) -> None:
    async with server.client() as client:
        await make_bucket(client, "western", "us-west-2")
        assert "western" in [one["Name"] for one in (await client.list_buckets())["Buckets"]]


async def test_only_a_bucket_open_to_all_can_be_read_without_keys(server: SeaweedFS) -> None:
    async with server.client() as client:
        for name in ("opened", "closed"):
            await make_bucket(client, name)
            await client.put_object(Bucket=name, Key="k", Body=b"v")
        await allow_anonymous(client, "opened")
    assert await anonymous_status(server, "/opened/k") == 200
    assert await anonymous_status(server, "/closed/k") == 403


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_every_port_is_on_loopback(server: SeaweedFS) -> None:
    assert server.pid is not None
    assert listening(server.pid) == {"0100007F"}


def test_after_stopping_nothing_runs_or_stays_in_the_temporary_folder(tmp_path: Path) -> None:
    server = SeaweedFS(tmp_path / "weed")
    server.start()
    pid, endpoint, sockets = server.pid, server.endpoint, server._sockets
    assert pid is not None
    assert endpoint.startswith("http://127.0.0.1:")
    server.stop()
    with pytest.raises(ProcessLookupError):
        os.killpg(pid, 0)
    assert not [path for path in sockets if path.exists()]
    assert server.endpoint == ""
    server.stop()


def test_a_server_that_ends_at_once_is_an_error_with_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "weed"
    fake.write_text("#!/bin/sh\necho the disk is on fire\nexit 3\n")
    fake.chmod(0o755)
    monkeypatch.setattr(seaweed, "find_weed", lambda: str(fake))
    with pytest.raises(ConfigError, match="the disk is on fire"):
        SeaweedFS(tmp_path / "data").start()


def test_a_server_whose_parts_do_not_start_is_started_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = tmp_path / "starts"
    fake = tmp_path / "weed"
    fake.write_text(
        f"#!/bin/sh\necho one >> {quote(str(starts))}\n"
        "echo '  Master       ready     0.2s'\necho '  Volume       failed'\n"
        f"[ $(wc -l < {quote(str(starts))}) -lt 3 ] || exit 3\nexec sleep 60\n"
    )
    fake.chmod(0o755)
    monkeypatch.setattr(seaweed, "find_weed", lambda: str(fake))
    with pytest.raises(ConfigError, match=r"in attempt 3 of 3(?s:.)*Volume       failed"):
        SeaweedFS(tmp_path / "data").start()
    assert starts.read_text().count("one") == seaweed._STARTS


def test_a_server_that_ignores_termination_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "weed"
    fake.write_text(
        f"#!/bin/sh\nexec {quote(sys.executable)} -c "
        "'import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)'\n"
    )
    fake.chmod(0o755)
    monkeypatch.setattr(seaweed, "find_weed", lambda: str(fake))
    monkeypatch.setattr(seaweed, "_STOP_SECONDS", 0.1)
    with pytest.raises(ConfigError, match=r"did not answer within 0\.5 s"):
        SeaweedFS(tmp_path / "data").start(timeout=0.5)


def test_a_missing_weed_is_an_error_that_names_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(ConfigError, match=re.escape(install_command("demo"))):
        find_weed()


async def anonymous_status(server: SeaweedFS, path: str) -> int:
    host, port = server.endpoint.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode()
    )
    status = int((await reader.read()).split(b" ", 2)[1])
    writer.close()
    await writer.wait_closed()
    return status
