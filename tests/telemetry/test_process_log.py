"""The process log: its lines, and that nothing waits for the reader of standard error."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from nearbucket.telemetry import process_log
from nearbucket.telemetry.log_format import MAX_LINE
from nearbucket.telemetry.process_log import ProcessLog, lines_dropped

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE = 10.0

_log = logging.getLogger("somewhere")


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """The handlers of pytest, which a process log replaces."""
    root = logging.getLogger()
    before = root.handlers[:]
    root.setLevel(logging.INFO)
    yield
    root.handlers = before


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe's reading and writing end."""
    reader, writer = os.pipe()
    yield reader, writer
    for end in (reader, writer):
        os.close(end)


def text_of(reader: int) -> str:
    """What is in a pipe."""
    os.set_blocking(reader, False)
    return os.read(reader, 1 << 20).decode()


def fill(writer: int) -> None:
    """Fill a pipe, so that the next write waits."""
    os.set_blocking(writer, False)
    try:
        while os.write(writer, b"." * 4096):
            pass
    except BlockingIOError:
        os.set_blocking(writer, True)


@contextmanager
def in_time() -> Iterator[None]:
    start = time.monotonic()
    yield
    assert time.monotonic() - start < PATIENCE


def test_text_is_one_line_with_the_level_and_the_place(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    log = ProcessLog("text", "supervisor", writer)
    log.start()
    _log.warning("%d of %s", 3, "é")
    log.close()
    line = text_of(reader)
    assert line.endswith(" WARNING somewhere: 3 of é\n")
    assert line.count("\n") == 1


def test_lines_of_workers_have_the_process_id(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    log = ProcessLog("text", "worker", writer)
    log.start()
    _log.error("broken")
    log.close()
    assert text_of(reader).endswith(f" ERROR worker[{os.getpid()}]: broken\n")


def test_json_is_one_object_a_line_even_with_a_traceback(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    log = ProcessLog("json", "worker", writer)
    log.start()
    _log.info('two\nlines "é"')
    try:
        int("broken")
    except ValueError:
        _log.exception("it failed")
    log.close()
    first, second = (json.loads(line) for line in text_of(reader).splitlines())
    assert first.pop("time").endswith("+00:00")
    assert first == {
        "level": "info",
        "process": "worker",
        "pid": os.getpid(),
        "logger": "somewhere",
        "message": 'two\nlines "é"',
    }
    assert (second["level"], second["message"]) == ("error", "it failed")
    assert second["exception"].startswith("Traceback ")
    assert second["exception"].endswith("with base 10: 'broken'")


@pytest.fixture
def packets() -> Iterator[tuple[int, int]]:
    """A pipe of which each read gives what one write wrote, and the kernel kept whole."""
    reader, writer = os.pipe2(os.O_DIRECT)
    os.set_blocking(reader, False)
    yield reader, writer
    for end in (reader, writer):
        os.close(end)


def read_of(reader: int) -> list[bytes]:
    """What each read gives until there is no more."""
    found = []
    with suppress(BlockingIOError):
        while piece := os.read(reader, 1 << 20):
            found.append(piece)
    return found


@pytest.mark.parametrize("letter", ["x", "é", "\U0001f600", "\n", '"', "\udc80"], ids=ascii)
@pytest.mark.parametrize("size", [5_000, 20_000])
@pytest.mark.parametrize("form", ["text", "json"])
def test_no_line_of_another_process_can_get_into_a_long_one(
    packets: tuple[int, int], form: Any, size: int, letter: str
) -> None:
    reader, writer = packets
    log = ProcessLog(form, "worker", writer)
    log.start()
    told = f"it begins {letter * size} it ends"
    _log.error(told, exc_info=ValueError(told))
    log.close()
    pieces = read_of(reader)
    assert all(len(piece) <= MAX_LINE and piece.endswith(b"\n") for piece in pieces)
    text = b"".join(pieces).decode()
    assert "it begins" in text
    assert text.rstrip('"}\n').endswith("it ends")
    assert ("left out" in text) == (form == "json" or letter != "\n")
    if form == "json":
        (line,) = text.splitlines()
        assert json.loads(line)["exception"].startswith("ValueError: it begins")


def test_a_long_traceback_in_text_is_whole(packets: tuple[int, int]) -> None:
    reader, writer = packets
    log = ProcessLog("text", "worker", writer)
    log.start()
    stack = "\n".join(f'  File "module.py", line {number}, in call' for number in range(500))
    _log.error("a worker hangs:\n%s", stack)
    log.close()
    assert b"".join(read_of(reader)).decode().endswith(f" a worker hangs:\n{stack}\n")


def test_a_long_line_in_a_file_is_whole(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        log = ProcessLog("json", "worker", file.fileno())
        log.start()
        _log.error("x" * 20_000)
        log.close()
    assert json.loads((tmp_path / "log").read_text("utf-8"))["message"] == "x" * 20_000


def test_no_thread_runs_before_the_start_and_no_line_is_lost_by_that(
    pipe: tuple[int, int],
) -> None:
    reader, writer = pipe
    log = ProcessLog("text", "supervisor", writer)
    before = threading.active_count()
    _log.info("first")
    assert threading.active_count() == before
    log.start()
    _log.info("second")
    log.close()
    assert [line.rpartition(" ")[2] for line in text_of(reader).splitlines()] == ["first", "second"]


def test_a_log_that_is_closed_before_its_start_writes_what_it_held(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    log = ProcessLog("text", "supervisor", writer)
    _log.info("why it did not start")
    log.close()
    assert "why it did not start" in text_of(reader)


def test_a_process_has_one_process_log_and_a_fork_does_not_write_its_parents_lines(
    pipe: tuple[int, int],
) -> None:
    reader, writer = pipe
    ProcessLog("text", "supervisor", writer)
    _log.info("of the parent")
    log = ProcessLog("text", "worker", writer)
    log.start()
    _log.info("of the fork")
    log.close()
    assert logging.getLogger().handlers == [log]
    assert "of the parent" not in text_of(reader)


def test_nothing_waits_for_a_reader_that_stalls_and_what_does_not_fit_is_counted(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_log, "MAX_WAITING", 5)
    reader, writer = pipe
    fill(writer)
    log = ProcessLog("text", "worker", writer)
    log.start()
    with in_time():
        for number in range(8):
            _log.info("line %d", number)
    assert log.dropped == lines_dropped() == 3
    text_of(reader)
    log.close(PATIENCE)
    assert [line[-1] for line in text_of(reader).splitlines()] == ["0", "1", "2", "3", "4"]
    assert log.dropped == 3


def test_the_end_waits_for_a_reader_but_not_for_ever(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    fill(writer)
    log = ProcessLog("text", "worker", writer)
    log.start()
    _log.info("one")
    _log.info("two")
    with in_time():
        log.close(patience=0.05)
        log.close()  # as logging does at the exit
    assert log.dropped == 2
    text_of(reader)


def test_without_a_reader_every_line_counts_as_dropped() -> None:
    log = ProcessLog("text", "worker", -1)
    log.start()
    _log.info("one")
    log.close()
    assert lines_dropped() == 1


def test_a_message_that_cannot_be_formatted_ends_nothing(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    reader, writer = pipe
    log = ProcessLog("text", "worker", writer)
    log.start()
    wrong: Any = "%d"
    _log.info(wrong, "no number")
    _log.info("the next")
    log.close()
    assert text_of(reader).endswith("the next\n")


def test_without_a_process_log_nothing_is_dropped() -> None:
    assert lines_dropped() == 0
