"""The access log: when lines are written, and that serving never waits."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import resource
import socket
import threading
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, Literal

import pytest

from nearbucket.frontend.worker_context import WorkerContext
from nearbucket.telemetry import access_log as accesslog
from nearbucket.telemetry.access_log import AccessLog
from nearbucket.telemetry.log_format import W3C_FIELDS, JsonFormat, W3cFormat
from tests.build import OUTSIDE, WEST, request, settings, snapshot
from tests.log_lines import FULL, HEADER, LogRecord, json_line, line_of, w3c_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nearbucket.policy.model import Request

PATIENCE = 5.0
PIPE_BUF = 4096


class Pipe:
    """A pipe; ``O_DIRECT`` makes each write one read."""

    def __init__(self, stack: ExitStack, flags: int) -> None:
        self.reader, self.writer = os.pipe2(flags)
        stack.callback(self.close)

    def close_reader(self) -> None:
        reader, self.reader = self.reader, -1
        if reader >= 0:
            os.close(reader)

    def close_writer(self) -> None:
        writer, self.writer = self.writer, -1
        if writer >= 0:
            os.close(writer)

    def close(self) -> None:
        self.close_writer()
        self.close_reader()

    def pieces(self) -> list[bytes]:
        """Everything until the last writer is gone, read by read."""
        return list(iter(lambda: os.read(self.reader, 1 << 20), b""))

    def fill(self) -> int:
        """Fill the pipe; returns the number of bytes."""
        os.set_blocking(self.writer, False)
        filled = 0
        with suppress(BlockingIOError):
            while True:
                filled += os.write(self.writer, b"." * PIPE_BUF)
        os.set_blocking(self.writer, True)
        return filled

    def drain(self) -> None:
        """Read what is in the pipe, so that a waiting write ends."""
        os.set_blocking(self.reader, False)
        with suppress(BlockingIOError):
            while os.read(self.reader, 1 << 20):
                pass


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    with ExitStack() as stack:
        yield Pipe(stack, 0)


@pytest.fixture
def packets() -> Iterator[Pipe]:
    """A pipe that shows where one write ended and the next began."""
    with ExitStack() as stack:
        yield Pipe(stack, os.O_DIRECT)


def add(log: AccessLog, record: LogRecord) -> None:
    """Keep the line of a record, as a worker does unless the log is off."""
    if log.format is not None:
        log.keep(line_of(log.format, record))


async def written(
    pipe: Pipe, form: Literal["json", "w3c", "off"], *records: LogRecord
) -> list[bytes]:
    """What a log writes of these records, write by write."""
    log = AccessLog(form, descriptor=pipe.writer)
    for record in records:
        add(log, record)
    await log.close()
    pipe.close_writer()
    return pipe.pieces()


async def test_records_leave_in_their_order_as_json_lines(pipe: Pipe) -> None:
    second = FULL._replace(path="/b")
    assert b"".join(await written(pipe, "json", FULL, second)) == json_line(FULL) + json_line(
        second
    )


async def test_the_w3c_header_is_written_once_before_the_first_line(pipe: Pipe) -> None:
    log = AccessLog("w3c", descriptor=pipe.writer)
    for _ in range(3):
        add(log, FULL)
        log.flush()
    await log.close()
    pipe.close_writer()
    assert b"".join(pipe.pieces()) == HEADER + 3 * w3c_line(FULL)


async def test_the_w3c_header_stands_there_before_any_request(pipe: Pipe) -> None:
    assert await written(pipe, "w3c") == [HEADER]


async def test_a_log_that_is_off_writes_nothing_and_says_so(pipe: Pipe) -> None:
    assert AccessLog("off").format is None
    assert isinstance(AccessLog("json").format, JsonFormat)
    assert isinstance(AccessLog("w3c").format, W3cFormat)
    assert await written(pipe, "off", FULL, FULL) == []


async def test_flushing_nothing_writes_nothing(pipe: Pipe) -> None:
    log = AccessLog("json", descriptor=pipe.writer)
    log.flush()
    await log.close()
    pipe.close_writer()
    assert pipe.pieces() == []


def threads() -> list[threading.Thread]:
    """The threads of all access logs of this process."""
    return [each for each in threading.enumerate() if each.name == "access-log"]


def sized(size: int) -> LogRecord:
    """A record whose JSON line has this many bytes."""
    return FULL._replace(path="/" + "a" * (size - len(json_line(FULL._replace(path="/")))))


@pytest.mark.parametrize(
    ("lines", "pieces"),
    [
        pytest.param([PIPE_BUF], [PIPE_BUF], id="one that just fits"),
        pytest.param([2048, 2048], [4096], id="two that just fit"),
        pytest.param([2048, 2049], [2048, 2049], id="two that just do not"),
        pytest.param([1000] * 9, [4000, 4000, 1000], id="many"),
        pytest.param([500, 4000, 500], [500, 4000, 500], id="a long one between"),
    ],
)
async def test_a_pipe_gets_whole_lines_in_pieces_that_no_other_process_gets_into(
    packets: Pipe, lines: list[int], pieces: list[int]
) -> None:
    records = [sized(size) for size in lines]
    got = await written(packets, "json", *records)
    assert [len(piece) for piece in got] == pieces
    assert b"".join(got) == b"".join(json_line(record) for record in records)
    assert all(piece.endswith(b"\n") for piece in got)


@pytest.mark.parametrize("letter", ["\U0001f600", "\x1f", '"', "1"])
@pytest.mark.parametrize("form", ["json", "w3c"])
async def test_the_longest_line_a_client_can_cause_is_still_one_such_piece(
    packets: Pipe, form: Literal["json", "w3c"], letter: str
) -> None:
    worst = letter * 8000
    fields = dict.fromkeys(
        ["host", "user_agent", "referer", "range"], worst.encode().decode("latin-1")
    )
    text = await logged(packets, form, request("/" + worst, **fields))
    lines = text.encode().splitlines(keepends=True)
    assert len(lines) == 1 + 2 * (form == "w3c")
    assert len(lines[-1]) <= PIPE_BUF
    assert lines[-1].endswith(b"\n")


@pytest.mark.parametrize("form", ["json", "w3c"])
async def test_of_a_field_that_is_too_long_for_a_line_its_beginning_is_logged(
    pipe: Pipe, form: Literal["json", "w3c"]
) -> None:
    asked = request("/" + "p" * 3000 + "/last", user_agent="u" * 3000 + "last", referer="r")
    text = await logged(pipe, form, asked)
    assert "/" + "p" * 1999 in text
    assert "u" * 1000 in text
    assert "last" not in text
    assert ('"referer":"r"' if form == "json" else "\tr\t") in text


async def test_a_file_gets_everything(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    with path.open("wb") as file:
        log = AccessLog("json", descriptor=file.fileno())
        for _ in range(5000):
            add(log, FULL)
        await log.close()
    assert path.read_bytes() == 5000 * json_line(FULL)


async def test_many_lines_leave_before_the_next_flush(pipe: Pipe) -> None:
    log = AccessLog("json", descriptor=pipe.writer)
    for _ in range(1025):
        add(log, FULL)
    assert await asyncio.to_thread(os.read, pipe.reader, PIPE_BUF)
    reading = asyncio.create_task(asyncio.to_thread(pipe.pieces))
    await log.close()
    pipe.close_writer()
    await reading


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


async def test_a_closed_log_has_no_thread_and_an_unused_one_never_had(pipe: Pipe) -> None:
    log = AccessLog("json", descriptor=pipe.writer)
    log.flush()
    assert threads() == []
    add(log, FULL)
    log.flush()
    assert len(threads()) == 1
    await log.close()
    assert threads() == []


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


async def logged(pipe: Pipe, form: Literal["json", "w3c"], asked: Request, **listen: Any) -> str:
    """What a worker writes about an answered request."""
    made = snapshot(settings(log={"access": form}, listen=listen))
    state = WorkerContext(made.settings, made.table, made.cdn, descriptor=pipe.writer)
    cached = state.entries.build(asked, state.decider.engine.decide(asked))
    state.recorder.record(cached, 200, 5, 1.0, 1.25)
    await state.log.close()
    pipe.close_writer()
    return b"".join(pipe.pieces()).decode()


SIGNED = "X-Amz-Signature=5eC2e7"


@pytest.mark.parametrize("form", ["json", "w3c"])
@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(request(f"/a.tar.gz?{SIGNED}", peer=WEST), id="stream"),
        pytest.param(request(f"/a.txt??{SIGNED}", peer=OUTSIDE), id="two question marks"),
        pytest.param(request(f"http://dl.example/a.tar.gz?{SIGNED}"), id="absolute form"),
        pytest.param(request(f"http://dl.example?{SIGNED}"), id="absolute form, no path"),
        pytest.param(request(f"/../a?{SIGNED}"), id="refused path"),
        pytest.param(request(f"/a?{SIGNED}", method="POST"), id="refused method"),
        pytest.param(request(referer=f"https://dl.example/a?{SIGNED}"), id="referer"),
    ],
)
async def test_no_line_holds_a_query_string_it_may_be_a_signature(
    pipe: Pipe, form: Literal["json", "w3c"], asked: Request
) -> None:
    text = await logged(pipe, form, asked)
    assert "dl.example" in text
    assert "5eC2e7" not in text
    assert "?" not in text


async def test_a_worker_logs_who_asked_what_they_got_and_why(pipe: Pipe) -> None:
    asked = request("/a.tar.gz", peer=WEST, user_agent="curl/8", range="bytes=0-4")
    line = json.loads(await logged(pipe, "json", asked))
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "client": WEST,
        "peer": WEST,
        "method": "GET",
        "host": "dl.example",
        "path": "/a.tar.gz",
        "status": 200,
        "bytes": 5,
        "seconds": 0.25,
        "action": "redirect",
        "region": "us-west-2",
        "reason": "in-region",
        "site": "*",
        "user_agent": "curl/8",
        "range": "bytes=0-4",
        "protocol": "HTTP/1.1",
    }


@pytest.mark.parametrize(
    ("listen", "scheme"),
    [({}, "http"), ({"tls": {"certificate": "/c.pem", "key": "/k.pem"}}, "https")],
)
async def test_a_w3c_line_names_the_scheme_of_the_public_port(
    pipe: Pipe, listen: dict[str, Any], scheme: str
) -> None:
    text = await logged(pipe, "w3c", request(), **listen)
    columns = text.splitlines()[-1].split("\t")
    assert columns[W3C_FIELDS.split().index("cs-protocol")] == scheme


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


def test_the_last_lines_are_kept_however_many_there_are() -> None:
    with ExitStack() as stack:
        log = AccessLog("json", descriptor=Pipe(stack, 0).writer)
        for number in range(3000):
            log.keep(b"%d\n" % number)
            if number == 1:
                log.flush()
                assert list(log.recent) == [b"0\n", b"1\n"]
        log.flush()
        asyncio.run(log.close(0.01))
    assert list(log.recent) == [b"%d\n" % number for number in range(2980, 3000)]
