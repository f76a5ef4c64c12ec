"""The stack of a process that hangs, written by a real one."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from nearbucket.supervisor.stack_dump import StackDump

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 30.0

PROGRAM = """
import os, sys, threading
from nearbucket.supervisor.stack_dump import write_stack_to

def computes():
    print("here", flush=True)
    while True:
        pass

def waits():
    print("here", flush=True)
    threading.Event().wait()

def crashes():
    print("here", flush=True)
    os.kill(os.getpid(), {signal})

write_stack_to({descriptor})
{name}()
"""


@pytest.fixture
def dump() -> Iterator[StackDump]:
    made = StackDump()
    yield made
    made.close()


def program(dump: StackDump, name: str) -> subprocess.Popen[bytes]:
    """A process that has begun to hang in the function of this name."""
    number = dump.descriptor
    text = PROGRAM.format(descriptor=number, name=name, signal=int(signal.SIGSEGV))
    made = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, pass_fds=[number])
    assert made.stdout is not None
    assert made.stdout.readline() == b"here\n"
    return made


@pytest.mark.parametrize("name", ["computes", "waits"])
async def test_a_process_says_where_it_hangs(dump: StackDump, name: str) -> None:
    with program(dump, name) as process:
        try:
            async with asyncio.timeout(PATIENCE):
                text = await dump.ask(process.pid)
        finally:
            process.kill()
    assert f" in {name}" in text
    assert "most recent call first" in text


async def test_a_process_that_crashes_says_where(dump: StackDump) -> None:
    with program(dump, "crashes") as process:
        assert process.wait(PATIENCE) == -signal.SIGSEGV
    text = dump.read()
    assert text.startswith("Fatal Python error: Segmentation fault")
    assert " in crashes" in text


async def test_a_process_that_cannot_say_anything_is_not_waited_for(dump: StackDump) -> None:
    with program(dump, "computes") as process:
        os.kill(process.pid, signal.SIGSTOP)
        try:
            async with asyncio.timeout(PATIENCE):
                assert await dump.ask(process.pid) == ""
        finally:
            process.kill()


async def test_a_process_that_is_gone_has_said_nothing(dump: StackDump) -> None:
    async with asyncio.timeout(PATIENCE):
        assert await dump.ask((1 << 22) + 1) == ""
