"""Starts child processes in sessions of their own, and ends them reliably."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import FrameType

ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that end the demo: by Ctrl-C, by a supervisor, by a terminal that closes."""


def start(
    command: Sequence[str],
    keep: Callable[[subprocess.Popen[bytes]], object],
    *,
    log: IO[bytes],
    env: Mapping[str, str],
    cwd: Path | str | None = None,
) -> subprocess.Popen[bytes]:
    """Start a process whose output goes to ``log``.

    Args:
        command: Program and arguments.
        keep: Called with the process while signals are held back, so that the caller can end it
            whenever a signal comes.
        log: Where standard output and error go.
        env: Added to this process's environment, without its AWS_ and NEARBUCKET_ variables.
        cwd: Its working folder.
    """
    with _signals_deferred():
        process = subprocess.Popen(  # noqa: S603 - our own commands, no shell
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=own_environment() | dict(env),
            start_new_session=True,
        )
        keep(process)
    return process


def own_environment() -> dict[str, str]:
    """This process's environment, without its AWS_ and NEARBUCKET_ variables."""
    others = ("AWS_", "NEARBUCKET_")
    return {name: text for name, text in os.environ.items() if not name.startswith(others)}


def end(process: subprocess.Popen[bytes], patience: float) -> None:
    """Terminate a process, and kill its group after ``patience`` seconds or at a second Ctrl-C."""
    process.terminate()
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        _kill(process)
    except BaseException:
        _kill(process)
        raise


def _kill(process: subprocess.Popen[bytes]) -> None:
    # the group is the process's own: it was started in a new session
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def _signals_deferred() -> Iterator[None]:
    """Handle signals that arrive in the block at its end."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread handles signals
        return
    held: list[tuple[int, FrameType | None]] = []
    before = [signal.signal(number, lambda *what: held.append(what)) for number in ENDINGS]
    try:
        yield
    finally:
        for number, handler in zip(ENDINGS, before, strict=True):
            signal.signal(number, handler)
    for came, _ in held:
        signal.raise_signal(came)
