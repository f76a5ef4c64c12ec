"""The garbage collector, which is off while ``serve`` starts."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tests.build import lone_config

if TYPE_CHECKING:
    from pathlib import Path

_SERVE = """
import gc
from nearbucket.cli.main import main
from nearbucket.supervisor import prefork
from nearbucket.supervisor.supervisor import Supervisor

def serve(*given):
    print("worker", gc.isenabled(), flush=True)
    return started(*given)

def announce(supervisor, admin):
    print("supervisor", gc.isenabled(), flush=True)
    supervisor._stop.set()

started, prefork.serve, Supervisor._announce = prefork.serve, serve, announce
main()
"""


def test_it_is_on_in_workers_and_in_the_supervisor_when_they_serve(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _SERVE, "serve", "--config", str(lone_config(tmp_path))]
    ended = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert ended.stdout.splitlines() == ["worker True", "supervisor True"]
