"""Workers that hang or crash, and a standard error that nothing reads: no request is lost."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.certificates import make_certificate
from tests.conftest import BIG
from tests.e2e.running import PATIENCE, Running, gone, keys_of, site_of
from tests.ranges_lists import MADE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import LocalS3

BIG_PATH = "/big/pack-1.0.tar.xz"
RESTARTS = "nearbucket_worker_restarts_total"
PIECE = 4096


def running(s3: LocalS3, folder: Path) -> Running:
    config = {
        "regions": {"source": str(MADE.path), "cache": str(folder / "ranges.json")},
        "log": {"format": "json"},
        "sites": [site_of(s3)],
    }
    return Running(folder, config, keys_of(s3))


def statuses(server: Running, count: int) -> set[int]:
    """Of so many requests at the same time, each on a connection of its own."""
    with ThreadPoolExecutor(count) as threads:
        answers = threads.map(lambda _: server.get(BIG_PATH, MADE.west), range(count))
        return {answer.status for answer in answers}


def test_a_worker_that_hangs_keeps_no_request_waiting_and_is_replaced(
    s3: LocalS3, tmp_path: Path
) -> None:
    with running(s3, tmp_path) as server:
        hung = server.ready().workers()[0]
        os.kill(hung, signal.SIGSTOP)
        assert statuses(server, 25) == {301}
        assert not gone(hung)  # others have answered for it
        status, text = server.admin("/readyz")
        assert status == 200
        assert f"warning: worker process {hung} has not answered for " in text
        start = time.monotonic()
        assert server.figures()["nearbucket_workers"] == 1
        assert '"serving": 1' in server.admin("/api/status")[1]
        assert server.admin(f"/api/explain?ip={MADE.west}&path={BIG_PATH}")[0] == 200
        assert time.monotonic() - start < PATIENCE / 10
        server.until("/metrics", lambda _, text: f'{RESTARTS}{{cause="hung"}} 1.0' in text)
        server.ready()
        assert gone(hung)
        assert statuses(server, 5) == {301}
        assert server.stop() == 0
    said = server.errors.read_text(encoding="utf-8")
    assert re.search(f"worker process {hung} has not answered for . s: it was stopped by a", said)


def test_a_worker_that_crashes_again_and_again_keeps_no_request_waiting(
    s3: LocalS3, tmp_path: Path
) -> None:
    with running(s3, tmp_path) as server:
        healthy = server.ready().workers()[1]
        for _ in range(2):
            server.until("/healthz", lambda *_: set(server.workers()) - {healthy})
            for worker in set(server.workers()) - {healthy}:
                os.kill(worker, signal.SIGKILL)
            assert statuses(server, 10) == {301}
        server.ready()
        figures = server.figures()
        causes = "signal", "start"  # the second of them may have been ready
        assert sum(figures[f'{RESTARTS}{{cause="{cause}"}}'] for cause in causes) == 2
        assert healthy in server.workers()
        assert server.stop() == 0


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "AWS_CA_BUNDLE"])
def test_a_worker_that_is_replaced_needs_no_file_of_authorities(
    s3: LocalS3, tmp_path: Path, name: str
) -> None:
    authorities = make_certificate(tmp_path, "authority.test").certificate
    server = running(s3, tmp_path)
    server.environment[name] = str(authorities)
    with server:
        before = server.ready().workers()
        authorities.unlink()
        os.mkfifo(authorities)
        for worker in before:
            os.kill(worker, signal.SIGKILL)
        server.until("/healthz", lambda *_: len(set(server.workers()) - set(before)) == 2)
        server.ready()
        assert statuses(server, 5) == {301}
        assert server.figures()[f'{RESTARTS}{{cause="start"}}'] == 0


@pytest.mark.long
def test_a_crash_loop_that_does_not_heal_ends_with_a_message_and_an_exit_code(
    s3: LocalS3, tmp_path: Path
) -> None:
    with running(s3, tmp_path) as server:
        server.ready()
        deadline = time.monotonic() + 5 * PATIENCE
        while not gone(server.pid):
            assert time.monotonic() < deadline
            with suppress(FileNotFoundError):
                for worker in server.workers():
                    os.kill(worker, signal.SIGKILL)
            time.sleep(0.05)
        assert server.stop() == 1
    said = server.errors.read_text(encoding="utf-8").splitlines()[-1]
    assert '"level": "critical"' in said
    assert "no worker process lives for 10 s; the last of 7 on each socket" in said


class FullPipe:
    """A named pipe in place of a file, with no room, and a reader that reads only when asked."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._writer = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        fcntl.fcntl(self._writer, fcntl.F_SETPIPE_SZ, PIECE)
        with suppress(BlockingIOError):
            while os.write(self._writer, b"." * PIECE):
                pass

    def text(self, seen: str) -> str:
        """Read until this text was read."""
        text, deadline = "", time.monotonic() + PATIENCE
        while seen not in text and time.monotonic() < deadline:
            with suppress(BlockingIOError):
                text += os.read(self._reader, PIECE).decode()
            time.sleep(0.005)
        return text

    def close(self) -> None:
        os.close(self._reader)
        os.close(self._writer)


@contextmanager
def unread(s3: LocalS3, folder: Path) -> Iterator[tuple[Running, FullPipe]]:
    """A server whose standard error is such a pipe."""
    server = running(s3, folder)
    pipe = FullPipe(server.errors)
    try:
        with server:
            server.errors = Path(os.devnull)  # which ``until`` shows when it fails
            yield server, pipe
    finally:
        pipe.close()


def test_a_standard_error_that_nothing_reads_holds_up_neither_clients_nor_the_end(
    s3: LocalS3, tmp_path: Path
) -> None:
    with unread(s3, tmp_path) as (server, _):
        server.ready()
        good = server.config.read_text(encoding="utf-8")
        for _ in range(3):
            for text, result in (("sites: [", "refused"), (good, "applied")):
                before = server.figures()[f'nearbucket_config_reloads_total{{result="{result}"}}']
                server.config.write_text(text, encoding="utf-8")
                server.signal(signal.SIGHUP)
                new = f'nearbucket_config_reloads_total{{result="{result}"}} {before + 1}'
                server.until("/metrics", lambda _, text, new=new: new in text)
        assert server.get(BIG_PATH, MADE.outside[0]).body == BIG
        assert server.stop() == 0


def test_lines_that_waited_for_a_reader_are_written_to_the_last_one(
    s3: LocalS3, tmp_path: Path
) -> None:
    with unread(s3, tmp_path) as (server, pipe):
        server.ready()
        assert '"message": "listen on ' in pipe.text("admin on ")
        assert server.figures()['nearbucket_log_lines_dropped_total{log="process"}'] == 0
        server.signal(signal.SIGTERM)
        assert "drained; goodbye" in pipe.text("goodbye")
        assert server.stop(0) == 0  # no second signal
