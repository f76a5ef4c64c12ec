"""Workers that hang, crash or do not start, and the others meanwhile; the processes are played."""

from __future__ import annotations

import asyncio
import signal
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import pytest

from nearbucket.errors import ProxyError
from nearbucket.supervisor import worker_silence
from nearbucket.supervisor.ipc import (
    Channel,
    Drain,
    Heartbeat,
    Ready,
    ServeSockets,
    Stats,
    StatsRequest,
)
from nearbucket.supervisor.pool import restart_backoff, worker_handle, worker_pool
from nearbucket.supervisor.pool.restart_backoff import FAILURES
from nearbucket.supervisor.pool.worker_handle import StartedWorker
from nearbucket.supervisor.pool.worker_pool import WorkerPool
from nearbucket.supervisor.snapshot import Snapshot
from nearbucket.supervisor.stack_dump import StackDump
from tests.build import settings, snapshot

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

PATIENCE = 20.0
NO_PROCESS = (1 << 22) + 1
RESTARTS = "nearbucket_worker_restarts_total"


class Process:
    """A worker process: what the supervisor has of it, and its own end of the channel.

    Attributes:
        slots: Sockets of other workers that it accepts from.
        snapshots: Those that it was sent.
        hangs: Whether it says nothing any more.
    """

    def __init__(self, *, starts: bool = True, crashes: bool = False, drains: bool = True) -> None:
        self.pid, self.returncode = NO_PROCESS, cast("int | None", None)
        self.slots: frozenset[int] = frozenset()
        self.snapshots: list[Snapshot] = []
        self.hangs = False
        self._starts, self._crashes, self._drains = starts, crashes, drains
        self._ended = asyncio.Event()
        self.end, self._own_end = socket.socketpair()
        self._running = asyncio.create_task(self._run())
        self._running.add_done_callback(self._end)

    def kill(self) -> None:
        if self.returncode is None:
            self.returncode = -signal.SIGKILL
            self._running.cancel()

    async def wait(self) -> int:
        await self._ended.wait()
        return self.returncode or 0

    async def _run(self) -> None:
        channel = await Channel.over(self._own_end)
        beating = asyncio.create_task(self._beat(channel))
        try:
            if self._starts:
                channel.send(Ready())
                await self._serve(channel)
            elif not self._crashes:
                await asyncio.Event().wait()
        finally:
            beating.cancel()
            if self.returncode is None:
                self.returncode = -signal.SIGSEGV if self._crashes else 0
            await channel.close()

    def _end(self, _running: asyncio.Task[None]) -> None:
        self._own_end.close()  # if it was killed before it ran
        self._ended.set()

    async def _serve(self, channel: Channel) -> None:
        while not self._crashes:
            message = await channel.receive()
            if message is None or (self._drains and isinstance(message, Drain)):
                return
            if isinstance(message, ServeSockets):
                self.slots = message.slots
            if isinstance(message, Snapshot):
                self.snapshots.append(message)
            if isinstance(message, StatsRequest) and not self.hangs:
                channel.send(Stats(message.number, {}))

    async def _beat(self, channel: Channel) -> None:
        while True:
            if self._starts and not self.hangs:
                channel.send(Heartbeat())
            await asyncio.sleep(0.005)


class Pool:
    """A pool of played workers, the first one of each socket and later ones.

    Attributes:
        made: All processes, by socket.
        snapshot: The first snapshot.
        forked_with: The snapshot that a new process has from its start.
    """

    def __init__(self, *makers: Callable[[], Process]) -> None:
        self.makers = makers
        self.made: list[list[Process]] = [[] for _ in makers]
        self.failed = asyncio.Event()
        self.snapshot = snapshot(settings())
        self.forked_with: Snapshot | None = None
        self.pool = WorkerPool([socket.socket() for _ in makers], self.snapshot, (), 0)

    async def start_worker(self, _listeners: object, slot: int, *_more: object) -> StartedWorker:
        made = self.makers[slot]()
        self.made[slot].append(made)
        return StartedWorker(cast("Any", made), made.end, StackDump(), self.forked_with)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not holds():  # noqa: ASYNC110  # several things change
                await asyncio.sleep(0.002)

    async def restarts(self) -> Mapping[tuple[str, ...], float]:
        return (await self.pool.figures())[RESTARTS]


@asynccontextmanager
async def pool_of(
    monkeypatch: pytest.MonkeyPatch, *makers: Callable[[], Process]
) -> AsyncIterator[Pool]:
    made = Pool(*makers)
    monkeypatch.setattr(worker_pool, "start_worker", made.start_worker)
    made.pool.start(made.failed.set)
    try:
        yield made
    finally:
        async with asyncio.timeout(PATIENCE):
            await made.pool.drain(Drain(25.0))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits of milliseconds instead of seconds."""
    monkeypatch.setattr(restart_backoff, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(restart_backoff, "LONGEST_PAUSE", 0.001)
    monkeypatch.setattr(worker_pool, "STEP", 0.005)
    monkeypatch.setattr(worker_silence, "STEP", 0.005)  # a busy machine does not count
    monkeypatch.setattr(worker_handle, "SUSPECT_AFTER", 0.2)
    monkeypatch.setattr(worker_handle, "HUNG_AFTER", 0.6)
    monkeypatch.setattr(worker_handle, "START_LIMIT", 0.6)


async def test_a_worker_that_was_forked_with_the_snapshot_is_not_sent_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    later = snapshot(settings(site={"redirect": {"mode": "off"}}))
    async with pool_of(monkeypatch, Process, Process) as it:
        it.forked_with = it.snapshot
        await it.pool.ready(asyncio.Event())
        (forked,), (other,) = it.made
        it.forked_with = None
        forked.kill()
        await it.until(lambda: len(it.made[0]) == 2 and it.pool.serving == 2)
        await it.pool.broadcast_snapshot(later)
        assert not forked.snapshots
        assert it.made[0][1].snapshots == [it.snapshot, later]
        assert other.snapshots == [later]


def crashing() -> Process:
    return Process(crashes=True)


async def test_a_worker_that_hangs_is_killed_and_replaced_and_others_accept_for_it_meanwhile(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with pool_of(monkeypatch, Process, Process) as it:
        await it.pool.ready(asyncio.Event())
        (hung,), (other,) = it.made
        hung.hangs = True
        await it.until(lambda: other.slots == {0})
        assert it.pool.serving == len(it.made[0]) == 1
        (problem,) = it.pool.problems
        assert problem.startswith(f"worker process {NO_PROCESS} has not answered for ")
        assert problem.endswith("; others accept its connections")
        await it.until(lambda: len(it.made[0]) == 2 and it.pool.serving == 2)
        await it.until(lambda: other.slots == frozenset())
        assert hung.returncode == -signal.SIGKILL
        assert (await it.restarts())["hung",] == 1
        assert it.pool.problems == []
    assert "worker 0 hung; another is started now" in caplog.messages
    assert sum("; killed" in message for message in caplog.messages) == 1


async def test_nothing_waits_for_a_worker_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_pool, "STATS_TIMEOUT", 10 * PATIENCE)
    monkeypatch.setattr(worker_handle, "HUNG_AFTER", 10 * PATIENCE)
    async with pool_of(monkeypatch, Process, Process) as it:
        await it.pool.ready(asyncio.Event())
        it.made[0][0].hangs = True
        async with asyncio.timeout(PATIENCE):
            await it.pool.figures()  # which begins before it is noticed
            figures = await it.pool.figures()
            await it.pool.broadcast_snapshot(snapshot(settings()))
        assert figures["nearbucket_workers"] == {(): 1}
        it.made[0][0].kill()


async def test_a_worker_that_answers_again_in_time_is_not_killed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(worker_handle, "HUNG_AFTER", PATIENCE)
    async with pool_of(monkeypatch, Process, Process) as it:
        await it.pool.ready(asyncio.Event())
        (slow,), (other,) = it.made
        slow.hangs = True
        await it.until(lambda: other.slots == {0})
        slow.hangs = False
        await it.until(lambda: it.pool.serving == 2 and not other.slots)
        assert len(it.made[0]) == 1
    assert caplog.messages[-1] == f"worker process {NO_PROCESS} answers again"


async def test_one_that_hangs_before_it_is_ready_is_killed_too(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    makers = iter([Process(starts=False), Process()])
    async with pool_of(monkeypatch, lambda: next(makers)) as it:
        await it.pool.ready(asyncio.Event())
        assert [process.returncode for process in it.made[0]] == [-signal.SIGKILL, None]
        assert (await it.restarts())["hung",] == 1
    assert any("has not become ready for" in message for message in caplog.messages)


async def test_healthy_workers_serve_on_while_one_crashes_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with pool_of(monkeypatch, crashing, Process) as it:
        await it.pool.ready(asyncio.Event())
        await it.until(lambda: len(it.made[0]) > 2 * FAILURES)
        assert not it.failed.is_set()
        assert len(it.made[1]) == 1
        assert it.made[1][0].slots == {0}
        assert it.pool.serving >= 1
        assert (await it.restarts())["signal",] >= 2 * FAILURES - 1


async def test_failures_of_a_worker_that_serves_now_do_not_end_the_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    crashes = [True, *[True] * FAILURES, False]
    async with pool_of(monkeypatch, Process, lambda: Process(crashes=crashes.pop(0))) as it:
        await it.until(lambda: not crashes and it.pool.serving == 2)
        it.makers = crashing, it.makers[1]
        it.made[0][0].kill()
        await it.until(lambda: len(it.made[0]) > 2 * FAILURES)
        assert it.pool._backoffs[1].failures > FAILURES
        assert not it.failed.is_set()


async def test_a_crash_loop_of_all_workers_ends_the_server_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with pool_of(monkeypatch, crashing, crashing) as it:
        async with asyncio.timeout(PATIENCE):
            await it.failed.wait()
        with pytest.raises(ProxyError) as error:
            it.pool.raise_failure()
        assert str(error.value) == (
            "no worker process lives for 10 s; the last of 7 on each socket was ended by SIGSEGV; "
            "see the log above"
        )
    assert [len(made) >= FAILURES for made in it.made] == [True, True]


async def test_workers_that_never_start_end_the_server_sooner(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with pool_of(monkeypatch, lambda: Process(starts=False, crashes=True)) as it:
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(ProxyError) as error:
                await it.pool.ready(asyncio.Event())
        assert str(error.value) == (
            "no worker process could start; the last of 3 on each socket was ended by SIGSEGV; "
            "see the log above"
        )
    assert len(it.made[0]) == 3


async def test_a_worker_that_lived_long_before_it_crashed_ends_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(restart_backoff, "YOUNG", 0.0)
    async with pool_of(monkeypatch, crashing) as it:
        await it.until(lambda: len(it.made[0]) > 3 * FAILURES)
        assert not it.failed.is_set()


async def test_the_drain_waits_for_no_pause_and_no_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restart_backoff, "FIRST_PAUSE", 100 * PATIENCE)
    monkeypatch.setattr(restart_backoff, "LONGEST_PAUSE", 100 * PATIENCE)
    monkeypatch.setattr(worker_handle, "START_LIMIT", 100 * PATIENCE)
    async with pool_of(monkeypatch, crashing, lambda: Process(starts=False), Process) as it:
        await it.until(lambda: it.pool._backoffs[0].pause > 0)
        (starting,) = it.made[1]
    assert starting.returncode == -signal.SIGKILL


async def test_the_drain_does_not_wait_for_a_worker_that_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker_pool, "END_MARGIN", 100 * PATIENCE)
    async with pool_of(monkeypatch, lambda: Process(drains=False)) as it:
        await it.pool.ready(asyncio.Event())
        (hung,) = it.made[0]
        hung.hangs = True
    assert hung.returncode == -signal.SIGKILL


async def test_during_the_drain_others_accept_for_a_worker_that_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with pool_of(monkeypatch, lambda: Process(drains=False), Process) as it:
        await it.until(lambda: it.pool.serving == 2)
        (first,), (second,) = it.made
        draining = asyncio.create_task(it.pool.drain(Drain(25.0, grace=5.0)))
        await it.until(lambda: second.returncode == 0)
        await it.until(lambda: first.slots == {1})
        first.kill()
        assert not await draining
        assert not it.pool.problems


async def test_before_sockets_are_closed_every_worker_accepts_from_all_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with pool_of(monkeypatch, Process, Process) as it:
        await it.until(lambda: it.pool.serving == 2)
        it.pool.share_all_sockets()
        await it.until(lambda: all(made[0].slots == {0, 1} for made in it.made))
        (first,), (second,) = it.made
        first.hangs = True
        await it.until(lambda: it.pool.serving == 1)
        assert second.slots == {0, 1}
