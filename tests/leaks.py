"""Fails a test that leaves a thread, task, socket, pipe, event loop or child process behind.

A pytest plugin, loaded by ``tests/conftest.py``. After each test, and after the teardown of its
function-scoped fixtures, what this process has is compared with what it had before. What a
fixture of a wider scope made is allowed until that fixture ends. A leak is an error of the test's
teardown, with a list of what is left; later tests are not blamed for it again.

It reads ``/proc``, so it does nothing on systems without it.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import uvloop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator

PATIENCE = 3.0
"""Seconds for what is ending anyway: a thread that was asked to stop, a killed process."""

_PROC = Path("/proc/self")
_WATCHED = ("socket:", "pipe:", "anon_inode:")
"""What descriptors are watched by the target of their link in ``/proc/self/fd``."""

FOR_THE_PROCESS = "background_"
"""Name prefix of the threads of ``event_loop.in_background``, which live as long as the process."""

Found = frozenset[str]


def held_now() -> Found:
    """One line for each thread, child process and watched descriptor of this process."""
    return frozenset(_threads() | _children() | _descriptors())


def _threads() -> set[str]:
    return {
        f"thread {each.name} ({each.native_id})"
        for each in threading.enumerate()
        if not each.name.startswith(FOR_THE_PROCESS)
    }


def _children() -> set[str]:
    found: set[str] = set()
    for task in _entries("task"):
        try:
            listed = (_PROC / "task" / task / "children").read_text(encoding="ascii").split()
        except OSError:  # that thread has ended meanwhile
            continue
        found.update(f"child process {pid}" for pid in listed)
    return found


def _descriptors() -> set[str]:
    found: set[str] = set()
    for number in _entries("fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{number}")  # noqa: PTH115  # called after each test
        except OSError:  # closed meanwhile
            continue
        if target.startswith(_WATCHED):
            # sockets and pipes have numbers of their own; event loops all look alike
            same = f" at descriptor {number}" if target.startswith("anon_inode") else ""
            found.add(f"descriptor of {target}{same}")
    return found


def _entries(folder: str) -> list[str]:
    try:
        return os.listdir(f"/proc/self/{folder}")  # noqa: PTH208  # called after each test
    except OSError:
        return []


def left_over(known: Found) -> Found:
    """What this process has beyond ``known``, when there was time to end it."""
    found = held_now() - known
    deadline = time.monotonic() + PATIENCE
    pause = 0.001
    while found and time.monotonic() < deadline:
        gc.collect()
        time.sleep(pause)
        pause = min(0.1, pause * 2)
        found = held_now() - known
    return found


class Leaks:
    """Compares before and after; one instance a test process."""

    def __init__(self) -> None:
        uvloop.new_event_loop().close()  # libuv's first loop makes a pipe that the process keeps
        self._known = held_now()
        self._of_fixture: dict[int, Found] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any]
    ) -> Generator[None, object, object]:
        """Note what a fixture of a wider scope makes."""
        if fixturedef.scope == "function" or fixturedef.argname == "_asyncio_loop_factory":
            return (yield)  # pytest-asyncio sets up its own, a name of a loop, for each test
        before = held_now()
        try:
            return (yield)
        finally:
            made = held_now() - before
            self._of_fixture[id(fixturedef)] = made
            self._known |= made

    def pytest_fixture_post_finalizer(self, fixturedef: pytest.FixtureDef[Any]) -> None:
        """What a fixture made must be gone when it has ended."""
        self._known -= self._of_fixture.pop(id(fixturedef), frozenset())

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self) -> Generator[None, object, object]:
        """Compare when all fixtures that end here have ended."""
        try:
            result = yield
        except BaseException as error:
            if said := self._compare():
                error.add_note(said)
            raise
        if said := self._compare():
            pytest.fail(said, pytrace=False)
        return result

    def _compare(self) -> str:
        """The text of an error with what is left; empty if nothing is."""
        left = left_over(self._known)
        self._known |= left
        return "left behind:\n  " + "\n  ".join(sorted(left)) if left else ""


def pytest_configure(config: pytest.Config) -> None:
    """Note what the test process has before the first test."""
    if _PROC.exists():
        config.pluginmanager.register(Leaks(), "leaks")


@pytest.fixture(autouse=True)
def _no_task_is_left(request: pytest.FixtureRequest) -> None:
    """Watch the tasks of the loop of a coroutine test."""
    if inspect.iscoroutinefunction(getattr(request.node, "obj", None)):
        request.getfixturevalue("_tasks_end")


@pytest.fixture
async def _tasks_end() -> AsyncIterator[None]:
    """Set up before all other fixtures, so that it looks when they have ended.

    The loop's end would cancel the tasks without a word.
    """
    yield
    own = asyncio.current_task()
    deadline = time.monotonic() + PATIENCE
    while (left := asyncio.all_tasks() - {own}) and time.monotonic() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    if left:
        pytest.fail("tasks left behind:\n  " + "\n  ".join(sorted(map(repr, left))), pytrace=False)
