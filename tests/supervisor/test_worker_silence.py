"""How long a worker is silent: what counts, and what is the fault of others."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from types import SimpleNamespace

import pytest

from nearbucket.supervisor import worker_silence
from nearbucket.supervisor.worker_silence import HUNG_AFTER, STATES, STEP, WorkerSilence

PATIENCE = 30.0
NO_PROCESS = (1 << 22) + 1

SECOND = 1_000_000_000
Scheduling = worker_silence._Scheduling


class Machine:
    """A clock, and what the kernel says of the worker."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.scheduling: worker_silence._Scheduling | None = Scheduling("S", 0, 0)
        clock = SimpleNamespace(monotonic=lambda: self.now)
        monkeypatch.setattr(worker_silence, "time", clock)
        monkeypatch.setattr(worker_silence, "_scheduling", lambda _pid: self.scheduling)

    def passes(
        self, silence: WorkerSilence, steps: int, *, state: str, ran: float = 0, waited: float = 0
    ) -> float:
        """So many steps, in each of which it ran and waited for the CPU for so many seconds."""
        for _ in range(steps):
            self.now += STEP
            before = self.scheduling or Scheduling("S", 0, 0)
            self.scheduling = Scheduling(
                state, before.ran + int(ran * SECOND), before.waited + int(waited * SECOND)
            )
            silence.check()
        return silence.seconds


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


STEPS = round(HUNG_AFTER / STEP)


@pytest.mark.parametrize(
    ("state", "ran", "waited"),
    [
        pytest.param("T", 0, 0, id="stopped"),
        pytest.param("S", 0, 0, id="waits in a call"),
        pytest.param("D", 0, 0, id="waits for a disk"),
        pytest.param("R", STEP, 0, id="computes"),
    ],
)
def test_a_worker_that_hangs_is_silent_for_all_the_time(
    machine: Machine, state: str, ran: float, waited: float
) -> None:
    silence = WorkerSilence(NO_PROCESS)
    assert machine.passes(silence, STEPS, state=state, ran=ran, waited=waited) == HUNG_AFTER


@pytest.mark.parametrize(
    ("ran", "waited"),
    [
        pytest.param(0.01, STEP - 0.01, id="gets a fiftieth of a CPU"),
        pytest.param(0, 0, id="gets none, so that the kernel has not added up yet"),
    ],
)
def test_a_worker_that_other_processes_keep_from_the_cpu_does_not_hang(
    machine: Machine, ran: float, waited: float
) -> None:
    silence = WorkerSilence(NO_PROCESS)
    seconds = machine.passes(silence, 20 * STEPS, state="R", ran=ran, waited=waited)
    assert seconds < HUNG_AFTER


def test_one_that_computes_beside_others_still_hangs(machine: Machine) -> None:
    silence = WorkerSilence(NO_PROCESS)
    assert machine.passes(silence, 2 * STEPS, state="R", ran=STEP / 2, waited=STEP / 2) > HUNG_AFTER


@pytest.mark.parametrize("pause", [30.0, 86_400.0])
def test_a_supervisor_that_was_held_up_or_a_suspended_machine_is_one_step(
    machine: Machine, pause: float
) -> None:
    silence = WorkerSilence(NO_PROCESS)
    machine.now += pause
    silence.check()
    assert silence.seconds == 2 * STEP


def test_anything_from_the_worker_ends_its_silence(machine: Machine) -> None:
    silence = WorkerSilence(NO_PROCESS)
    machine.passes(silence, STEPS - 1, state="S")
    silence.end()
    assert machine.passes(silence, STEPS - 1, state="S") < HUNG_AFTER


def test_where_the_kernel_keeps_no_figures_all_time_counts(machine: Machine) -> None:
    silence = WorkerSilence(NO_PROCESS)
    for _ in range(STEPS):
        machine.now += STEP
        machine.scheduling = None
        silence.check()
    assert silence.seconds == HUNG_AFTER
    assert silence.state == "its state is unknown"
    assert not silence.is_stopped


def test_what_the_kernel_says_of_a_real_process() -> None:
    with subprocess.Popen(["sleep", "1000"]) as process:
        try:
            silence = WorkerSilence(process.pid)
            assert silence.state in {STATES["S"], STATES["R"], STATES["D"]}
            os.kill(process.pid, signal.SIGSTOP)
            deadline = time.monotonic() + PATIENCE
            while silence.state != STATES["T"]:
                assert time.monotonic() < deadline
            assert silence.is_stopped
            found = worker_silence._scheduling(process.pid)
            assert found is not None
            assert 0 < found.ran < PATIENCE * SECOND
        finally:
            process.kill()
    assert worker_silence._scheduling(process.pid) is None
