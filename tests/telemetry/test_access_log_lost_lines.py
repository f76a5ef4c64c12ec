"""A log whose reader stalls or is gone: nothing waits for it, and each lost line is counted."""

from __future__ import annotations

import asyncio
import fcntl
import os
import resource
import socket
import threading
from errno import ENOSPC
from typing import TYPE_CHECKING, Literal

import pytest

from nearbucket.telemetry import access_log as accesslog
from nearbucket.telemetry.access_log import AccessLog
from nearbucket.telemetry.log_format import JsonFormat, W3cFormat
from tests.log_lines import FULL, HEADER, json_line, line_of
from tests.telemetry.pipes import PIPE_BUF, Pipe, add, sized, threads

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE = 5.0


async def test_a_full_pipe_stops_nobody_and_what_does_not_fit_is_counted(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accesslog, "_BATCH", 3)
    monkeypatch.setattr(accesslog, "MAX_WAITING", 3)
    dropped: list[int] = []
    filled = pipe.fill()
    blocked = threading.Event()

    def rescue() -> None:
        blocked.set()
        pipe.drain()

    watchdog = threading.Timer(PATIENCE, rescue)
    watchdog.start()
    log = AccessLog("json", dropped.append, pipe.writer)
    records = [FULL._replace(path=f"/{number}") for number in range(6)]
    add(log, records[0])
    log.flush()  # a thread waits for the reader from here on
    await asyncio.sleep(0)
    for record in records[1:]:
        add(log, record)
        log.flush()
    watchdog.cancel()
    assert not blocked.is_set()
    assert dropped == [1, 1]

    reading = asyncio.create_task(asyncio.to_thread(pipe.pieces))
    await log.close()
    pipe.close_writer()
    got = b"".join(await reading)[filled:]
    assert got == b"".join(json_line(record) for record in records[:4])
    assert dropped == [1, 1]


@pytest.mark.parametrize("flushed", [True, False], ids=["being written", "not yet flushed"])
async def test_the_end_does_not_wait_for_a_reader_that_stalls_and_counts_what_is_lost(
    pipe: Pipe,
    flushed: bool,  # noqa: FBT001 - a column of the table
) -> None:
    pipe.fill()
    dropped: list[int] = []
    log = AccessLog("json", dropped.append, pipe.writer)
    add(log, FULL)
    if flushed:
        log.flush()
        add(log, FULL)
    try:
        async with asyncio.timeout(PATIENCE):
            await log.close(patience=0.05)
    finally:
        pipe.drain()
    assert sum(dropped) == 1 + flushed
    async with asyncio.timeout(PATIENCE):
        while threads():  # noqa: ASYNC110  # a list of threads; the write that the reader took only now was the last
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("form", ["json", "w3c"])
async def test_without_a_reader_every_record_counts_as_dropped(
    pipe: Pipe, form: Literal["json", "w3c"]
) -> None:
    pipe.close_reader()
    dropped: list[int] = []
    log = AccessLog(form, dropped.append, pipe.writer)
    for _ in range(3):
        add(log, FULL)
    await log.close()
    assert sum(dropped) == 3


async def test_without_a_standard_output_every_record_counts_as_dropped() -> None:
    dropped: list[int] = []
    log = AccessLog("json", dropped.append, descriptor=-1)
    add(log, FULL)
    await log.close()
    assert sum(dropped) == 1


async def test_a_descriptor_made_non_blocking_by_another_process_loses_nothing(pipe: Pipe) -> None:
    os.set_blocking(pipe.writer, False)
    dropped: list[int] = []
    log = AccessLog("json", dropped.append, pipe.writer)
    for _ in range(1000):
        add(log, FULL)
    reading = asyncio.create_task(asyncio.to_thread(pipe.pieces))
    await log.close()
    pipe.close_writer()
    assert b"".join(await reading) == 1000 * json_line(FULL)
    assert dropped == []


@pytest.mark.parametrize("form", ["json", "w3c"])
async def test_of_a_block_that_is_written_in_part_only_the_lost_lines_are_counted(
    tmp_path: Path, form: Literal["json", "w3c"]
) -> None:
    """A file that may grow no further, as on a full disk."""
    line = line_of(JsonFormat() if form == "json" else W3cFormat(), FULL)
    head = HEADER if form == "w3c" else b""
    dropped: list[int] = []
    with (tmp_path / "log").open("wb", buffering=0) as file:
        log = AccessLog(form, dropped.append, file.fileno())
        for _ in range(5):
            add(log, FULL)
        most, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(head) + 2 * len(line) + 7, hard))
        try:
            await log.close()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    assert (tmp_path / "log").read_bytes() == head + 2 * line + line[:7]
    assert sum(dropped) == 3


async def test_lines_of_several_partial_writes_are_counted_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A socket whose buffer is small takes a piece bit by bit, until its reader is gone."""
    monkeypatch.setattr(accesslog, "_BATCH", 10_000)
    reader, writer = socket.socketpair()
    writer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    writer.setblocking(False)  # noqa: FBT003  # the standard library's signature
    dropped: list[int] = []
    log = AccessLog("json", dropped.append, writer.fileno())
    for number in range(8000):
        add(log, FULL._replace(path=f"/{number}"))
    log.flush()
    got = b""
    while got.count(b"\n") < 5000:
        got += await asyncio.to_thread(reader.recv, 1 << 16)
    assert log._writer.waiting
    reader.close()
    await log.close()
    writer.close()
    written = 8000 - sum(dropped)
    assert 0 <= written - got.count(b"\n") < 200  # those in the buffer


async def test_lines_that_a_stalled_reader_has_taken_are_not_counted_as_lost(pipe: Pipe) -> None:
    dropped: list[int] = []
    log = AccessLog("json", dropped.append, pipe.writer)
    room = fcntl.fcntl(pipe.writer, fcntl.F_GETPIPE_SZ) // PIPE_BUF
    for _ in range(room + 3):
        add(log, sized(PIPE_BUF))
    log.flush()
    await log.close(patience=0.5)
    assert sum(dropped) == 3
    pipe.drain()
    while threads():  # noqa: ASYNC110  # a list of threads; the write that was taken only now ends
        await asyncio.sleep(0.001)


async def test_lines_behind_those_that_a_pipe_took_are_counted_each_once(pipe: Pipe) -> None:
    dropped: list[int] = []
    log = AccessLog("json", dropped.append, pipe.writer)
    pipe.fill()
    for _ in range(100):  # more than one write
        add(log, FULL)
    log.flush()
    pipe.close_reader()
    await log.close()
    assert sum(dropped) == 100


class Disk:
    """A file system with room for so many bytes more, as ``os.write`` finds it."""

    def __init__(self, room: int) -> None:
        self.room = room
        self._write = os.write

    def write(self, descriptor: int, data: bytes) -> int:
        if self.room == 0:
            raise OSError(ENOSPC, os.strerror(ENOSPC))
        size = min(self.room, len(data))
        self.room -= size
        return self._write(descriptor, data[:size])


async def flushed(log: AccessLog) -> None:
    """Have what waits written, or dropped."""
    log.flush()
    while log._writer.waiting:  # noqa: ASYNC110  # another thread writes
        await asyncio.sleep(0.001)


async def test_what_a_full_disk_does_not_take_is_told_and_joins_no_later_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    line, path, dropped = json_line(FULL), tmp_path / "access.log", list[int]()
    disk = Disk(room=2 * len(line) + 10)
    monkeypatch.setattr(os, "write", disk.write)
    monkeypatch.setattr(accesslog, "QUIET", 0.0)
    caplog.set_level("INFO")
    with path.open("wb") as file:
        log = AccessLog("json", dropped.append, descriptor=file.fileno())
        for room in (0, 0, 10_000, 0, 0):
            for _ in range(3):
                add(log, FULL)
            await flushed(log)
            disk.room += room
        await log.close()
    whole = 2 * line + line[:10] + b"\n" + 6 * line
    assert path.read_bytes() == whole
    assert sum(dropped) == 15 - 8
    assert caplog.messages == [
        "lines of the access log are dropped: No space left on device",
        "lines of the access log are written again",
    ]


async def test_what_one_worker_wrote_to_a_full_disk_joins_no_line_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line, path = json_line(FULL), tmp_path / "access.log"
    disk = Disk(room=len(line) + 10)
    monkeypatch.setattr(os, "write", disk.write)
    with path.open("ab") as file:
        one, other = (AccessLog("json", descriptor=file.fileno()) for _ in range(2))
        for log in (one, one, other, other, one):
            add(log, FULL)
            await flushed(log)
            if log is other:
                disk.room = 10_000
        await one.close()
        await other.close()
    assert path.read_bytes() == line + line[:10] + b"\n" + line + b"\n" + line


async def test_a_disk_that_is_full_now_and_then_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    disk = Disk(room=0)
    monkeypatch.setattr(os, "write", disk.write)
    caplog.set_level("INFO")
    with (tmp_path / "access.log").open("wb") as file:
        log = AccessLog("json", descriptor=file.fileno())
        for _ in range(6):
            add(log, FULL)
            await flushed(log)
            disk.room = 0 if disk.room else 10_000
        await log.close()
    assert caplog.messages == ["lines of the access log are dropped: No space left on device"]


async def test_a_disk_that_stays_full_is_told_once_also_if_requests_are_rare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    disk = Disk(room=0)
    monkeypatch.setattr(os, "write", disk.write)
    monkeypatch.setattr(accesslog, "QUIET", 0.0)
    caplog.set_level("INFO")
    full = "lines of the access log are dropped: No space left on device"
    with (tmp_path / "access.log").open("wb") as file:
        log = AccessLog("json", descriptor=file.fileno())

        async def request() -> None:
            add(log, FULL)
            for _ in range(2):  # a second later, too
                await flushed(log)

        for _ in range(3):
            await request()
        assert caplog.messages == [full]
        disk.room = 10_000
        await request()
        await log.close()
    assert caplog.messages == [full, "lines of the access log are written again"]
