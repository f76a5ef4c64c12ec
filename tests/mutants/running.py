"""pytest in a process of its own, in a copy of the tree, with limits on time and memory."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple, TypeVar
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

Item = TypeVar("Item")

NOT_COPIED = (".*", "build", "dist", "*.egg-info")
PYTEST = (
    sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist",
    "-p", "tests.mutants.plugin", "--hypothesis-seed=0",
)  # fmt: skip

MARK = "MUTANTS_PROCESS"
"""The variable by which processes of one run are found, whatever session they are in."""


class Limits(NamedTuple):
    """What a test process may take: seconds, and bytes of memory."""

    seconds: float
    memory: int


@dataclass(frozen=True, slots=True)
class Run:
    """How one run of pytest ended.

    Attributes:
        code: Exit code of pytest.
        output: Output of pytest.
        seconds: How long it took.
        over: ``time`` or ``memory`` where it was ended for exceeding that, else empty.
    """

    code: int
    output: str
    seconds: float
    over: str


def copy_tree(source: Path, target: Path) -> Path:
    """Copy what git would know. Times of files are kept, so that bytecode stays valid."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(*NOT_COPIED))
    return target


def share_out(
    items: Iterable[Item], trees: Sequence[Path], work: Callable[[Path, Item], Awaitable[None]]
) -> None:
    """Do some work for each item, in every tree one at a time."""

    async def worker(tree: Path, waiting: Iterator[Item]) -> None:
        for item in waiting:
            await work(tree, item)

    async def workers() -> None:
        waiting = iter(items)
        async with asyncio.TaskGroup() as group:
            for tree in trees:
                group.create_task(worker(tree, waiting))

    asyncio.run(workers())


async def run_pytest(tree: Path, arguments: Sequence[str], limits: Limits, **variables: str) -> Run:
    """Run pytest in a tree, and end whatever it leaves running.

    Args:
        tree: The copy.
        arguments: Further arguments of pytest.
        limits: Time and memory; a run that takes more is ended.
        variables: Variables of its environment.
    """
    mark = uuid4().hex
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(tree / "proxy"), str(tree)]),
        MARK: mark,
        **variables,
    }
    began, over = monotonic(), ""
    with (tree.parent / f"{tree.name}.{id(arguments)}.txt").open("w+b") as output:
        process = await asyncio.create_subprocess_exec(
            *PYTEST,
            *arguments,
            cwd=tree,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            while process.returncode is None and not over:
                with suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), 0.25)
                if monotonic() - began > limits.seconds:
                    over = "time"
                elif _resident(process.pid) > limits.memory:
                    over = "memory"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            _end_processes(f"{MARK}={mark}")
        output.seek(0)
        text = output.read().decode(errors="replace")
    return Run(process.returncode or 0, text, monotonic() - began, over)


def _end_processes(variable: str) -> None:
    """End the processes with a variable in their environment, in whichever session they run."""
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if variable.encode() in path.read_bytes().split(b"\0"):
                os.kill(int(path.parent.name), signal.SIGKILL)


def _resident(process: int) -> int:
    """Bytes of memory that a process occupies; 0 where the system does not tell."""
    try:
        pages = Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
