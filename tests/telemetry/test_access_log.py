"""The access log: which lines it writes, when, and in what pieces."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Literal

import pytest

from nearbucket.frontend.worker_context import WorkerContext
from nearbucket.telemetry.access_log import AccessLog
from nearbucket.telemetry.log_format import W3C_FIELDS, JsonFormat, W3cFormat
from tests.build import OUTSIDE, WEST, request, settings, snapshot
from tests.log_lines import FULL, HEADER, LogRecord, json_line, w3c_line
from tests.telemetry.pipes import PIPE_BUF, Pipe, add, sized, threads

if TYPE_CHECKING:
    from pathlib import Path

    from nearbucket.policy.model import Request


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


async def test_a_socket_such_as_that_of_systemds_journal_gets_such_pieces_too() -> None:
    reader, writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with reader, writer:
        log = AccessLog("json", descriptor=writer.fileno())
        for _ in range(50):
            add(log, FULL)
        await log.close()
        writer.close()
        pieces = list(iter(lambda: reader.recv(1 << 20), b""))
    assert b"".join(pieces) == 50 * json_line(FULL)
    assert all(len(piece) <= PIPE_BUF and piece.endswith(b"\n") for piece in pieces)


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


async def test_a_closed_log_has_no_thread_and_an_unused_one_never_had(pipe: Pipe) -> None:
    log = AccessLog("json", descriptor=pipe.writer)
    log.flush()
    assert threads() == []
    add(log, FULL)
    log.flush()
    assert len(threads()) == 1
    await log.close()
    assert threads() == []


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
