"""The start and the end of ``nearbucket serve``."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.e2e.running import free_port
from tests.serving import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

START = """
import os, signal, sys, threading
from pathlib import Path
from nearbucket.__main__ import run
from nearbucket.regions import ip_ranges_source
from nearbucket.supervisor import prefork

file = Path(sys.argv[1])
launched = prefork.launch

def launch(*arguments, **options):
    {during}
    return launched(*arguments, **options)

prefork.launch = launch
{before}
sys.argv[1:] = ["serve", "--config", sys.argv[1]]
run()
"""


@contextmanager
def serving(folder: Path, before: str = "", during: str = "") -> Iterator[subprocess.Popen[str]]:
    """The command, and what happens before it and during its start."""
    config = {
        "listen": {"host": "127.0.0.1", "port": free_port(), "workers": 1},
        "admin": {"port": free_port()},
        "regions": {"source": str(folder / "far.json"), "cache": str(folder / "copy.json")},
        "limits": {"drain_grace": 0},
        "sites": [{"origin": {"bucket": "downloads", "region": "us-east-1"}}],
    }
    file = folder / "nearbucket.yaml"
    file.write_text(json.dumps(config), encoding="utf-8")
    command = [sys.executable, "-c", START.format(before=before, during=during), str(file)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        deadline = threading.Timer(PATIENCE, process.kill)
        deadline.start()
        try:
            yield process
        finally:
            deadline.cancel()
            process.kill()


def said(process: subprocess.Popen[str], text: str) -> bool:
    """Whether a line of the process log has the text; waits for it, or for the end."""
    assert process.stderr is not None
    return any(text in line for line in process.stderr)


def test_a_file_system_that_is_gone_does_not_hold_up_the_end(tmp_path: Path) -> None:
    gone = "ip_ranges_source._read_changed = lambda *_: threading.Event().wait()"
    with serving(tmp_path, before=gone) as process:
        assert said(process, "admin on ")
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0


@pytest.mark.parametrize(
    ("during", "line"),
    [
        ("os.kill(os.getpid(), signal.SIGHUP)", "configuration reloaded"),
        (
            'file.write_text(file.read_text().replace("downloads", "others"))',
            "sites.*.origin.bucket: downloads -> others",
        ),
    ],
    ids=["SIGHUP", "a changed file"],
)
def test_a_reload_that_is_due_during_the_start_follows_it(
    tmp_path: Path, during: str, line: str
) -> None:
    with serving(tmp_path, during=during) as process:
        assert said(process, line)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0


LIMIT = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({0}, {0}))"


@pytest.mark.parametrize("limit", [6, 16, 20, 67])
def test_with_too_few_open_files_it_ends_with_the_limit_and_the_cure(
    tmp_path: Path, limit: int
) -> None:
    with serving(tmp_path, before=LIMIT.format(limit)) as process:
        _, errors = process.communicate()
    assert process.returncode == 2
    assert errors == (
        f"nearbucket: open files: {limit} are allowed (nofile), and listen.workers: 1 needs at "
        "least 68; raise the limit to 1024 or more: ulimit -n in a shell, LimitNOFILE= "
        "in a systemd unit, --ulimit nofile= of a container\n"
    )


def test_the_fewest_open_files_that_it_accepts_are_enough(tmp_path: Path) -> None:
    with serving(tmp_path, before=LIMIT.format(68)) as process:
        assert said(process, "admin on ")
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate()
    assert process.returncode == 0
    assert "Too many open files" not in errors
