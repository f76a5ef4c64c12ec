"""The demo as a person runs it: it shows what it says, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.build import COMMAND, PACKAGE
from tests.e2e.running import PATIENCE, gone
from tests.programs import program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

END = 40.0
"""Seconds that a demo may take to end."""

ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, a supervisor, a terminal that closes."""


def endings(*short: int) -> list[Any]:
    """All of them, those that are not in ``short`` for ``make test-long``."""
    return [
        pytest.param(each, id=each.name, marks=() if each in short else pytest.mark.long)
        for each in ENDINGS
    ]


SERVE = f"{PACKAGE} serve"
"""What shows a process to be the proxy: ``python -m PACKAGE serve``."""


class Demo:
    """``nearbucket demo`` in a session of its own, with a private folder for temporary files."""

    def __init__(self, folder: Path, *options: str) -> None:
        program("curl")  # which the demo runs
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        (folder / "nearbucket.yaml").write_text("the user's, which no command of the demo may read")
        self.log = folder / "demo.log"
        self._seen: dict[int, str] = {}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*COMMAND, "demo", *options],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # a proxy that is not there, and a setting: nothing of the demo may use them
                env=os.environ
                | {
                    "TMPDIR": str(self.temporary),
                    "http_proxy": "http://127.0.0.1:9",
                    "NEARBUCKET_PRICES__PLAN": "flat:pro",
                },
                start_new_session=True,
            )

    @property
    def text(self) -> str:
        """What it has printed until now."""
        return self.log.read_text("utf-8")

    def until(self, word: str) -> None:
        """Wait until it has printed a word."""
        self._wait(lambda: word in self.text)

    def until_started(self, word: str) -> None:
        """Wait until it has started a program."""
        self._wait(lambda: word in " ".join(self.programs().values()))

    def _wait(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE + END
        while not holds():
            assert self.process.poll() is None, self.text
            assert time.monotonic() < deadline, self.text
            time.sleep(0.05)

    def programs(self) -> dict[int, str]:
        """Process id to command line of everything it has started, and they in turn."""
        found = {pid: line for pid in _children(self.process.pid) if (line := _command(pid))}
        self._seen |= found
        return found

    def kill(self) -> None:
        """End it and what it started, however badly it went."""
        for pid in (*self.programs(), self.process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        for path in sockets_of(self._seen):
            path.unlink(missing_ok=True)


def _children(pid: int) -> Iterator[int]:
    with suppress(FileNotFoundError, ProcessLookupError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text("ascii").split():
                yield int(child)
                yield from _children(int(child))


def _command(pid: int) -> str:
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def sockets_of(programs: dict[int, str]) -> list[Path]:
    """The sockets that weed puts into /tmp whatever TMPDIR says."""
    port = re.compile(r"-(master|volume|filer|s3|admin)\.port\.grpc=(\d+)")
    return [
        Path(f"/tmp/seaweedfs-{part}-grpc-{number}.sock")  # noqa: S108 - weed's choice
        for line in programs.values()
        for part, number in port.findall(line)
    ]


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    running = Demo(tmp_path, "--stay")
    try:
        yield running
    finally:
        running.kill()


def left(demo: Demo, programs: dict[int, str]) -> list[str]:
    """Processes, temporary files and sockets that are still there."""
    return [
        *(line for pid, line in programs.items() if not gone(pid) and _command(pid) == line),
        *map(str, demo.temporary.iterdir()),
        *(str(path) for path in sockets_of(programs) if path.exists()),
    ]


def assert_right(demo: Demo) -> None:
    """It has shown every command, and that what it printed is right."""
    lines = demo.text.splitlines()
    assert sum(line.startswith("$ curl ") for line in lines) == 6
    shown = [line.removeprefix("$ ").split()[:2] for line in lines if " analyze " in line]
    assert shown == [[str(Path(sys.executable).with_name("nearbucket")), "analyze"]] * 2
    assert [line for line in lines if line in {"ok", "NOT as expected"}] == ["ok"] * 8


@pytest.mark.long
def test_a_demo_that_does_not_stay_shows_every_line_and_ends(tmp_path: Path) -> None:
    demo = Demo(tmp_path, "--no-stay")
    try:
        assert demo.process.wait(PATIENCE + END) == 0, demo.text
    finally:
        demo.kill()
    assert_right(demo)
    assert "Still running" not in demo.text
    assert list(demo.temporary.iterdir()) == []


@pytest.mark.parametrize("number", endings(signal.SIGINT))
def test_a_demo_that_stays_shows_every_line_and_ends_cleanly_and_leaves_nothing(
    demo: Demo, number: int
) -> None:
    demo.until("Still running")
    assert_right(demo)
    programs = demo.programs()
    found = [re.search(rf"/weed |{SERVE}", line) for line in programs.values()]
    one_server_one_proxy_two_workers = ["/weed ", SERVE, SERVE, SERVE]
    assert sorted(each[0] for each in found if each) == one_server_one_proxy_two_workers
    assert len(left(demo, programs)) > 4, "the test sees what must go"
    demo.process.send_signal(number)
    assert demo.process.wait(END) == 0, demo.text
    assert left(demo, programs) == []
    assert "Traceback" not in demo.text


def test_the_command_that_a_demo_proposes_for_its_configuration_works(demo: Demo) -> None:
    demo.until("Ctrl-C stops")
    proposed = re.search(r"To try other commands: (.*nearbucket.yaml) [.]", demo.text)
    assert proposed, demo.text
    done = subprocess.run(proposed[1].split(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 of 1 sampled objects: same" in done.stdout


@pytest.mark.parametrize(
    ("program", "number"),
    [
        pytest.param(program, *each.values, id=f"{name}-{each.id}", marks=each.marks)
        for program, name, ways in (
            ("weed", "weed", endings(signal.SIGTERM)),
            (SERVE, "serve", endings()),
        )
        for each in ways
    ],
)
def test_a_demo_ended_while_it_starts_leaves_nothing_either(
    demo: Demo, program: str, number: int
) -> None:
    demo.until_started(program)
    programs = demo.programs()
    demo.process.send_signal(number)
    assert demo.process.wait(END) == 0, demo.text
    assert left(demo, programs) == []
    assert "Traceback" not in demo.text
