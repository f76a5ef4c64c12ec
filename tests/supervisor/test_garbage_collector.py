"""The garbage collector, which is off while ``serve`` starts."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_SERVE = """
import gc
from nearbucket.cli.main import main
from nearbucket.supervisor import prefork
from nearbucket.supervisor.supervisor import Supervisor

def serve(given):
    print("worker", gc.isenabled(), flush=True)
    return started(given)

def announce(supervisor, admin):
    print("supervisor", gc.isenabled(), flush=True)
    supervisor._stop.set()

started, prefork.serve, Supervisor._announce = prefork.serve, serve, announce
main()
"""


def test_it_is_on_in_workers_and_in_the_supervisor_when_they_serve(tmp_path: Path) -> None:
    config = tmp_path / "nearbucket.yaml"
    nowhere = {"endpoint": "http://127.0.0.1:9", "credentials": "anonymous"}
    sections = {
        "listen": {"host": "127.0.0.1", "port": 0, "workers": 1},
        "admin": {"port": 0},
        "limits": {"drain_grace": 0},
        "regions": {"source": str(tmp_path / "none"), "cache": str(tmp_path / "cache")},
        "sites": [{"origin": {"bucket": "downloads", "region": "us-east-1", **nowhere}}],
    }
    config.write_text(json.dumps(sections), encoding="utf-8")
    command = [sys.executable, "-c", _SERVE, "serve", "--config", str(config)]
    ended = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert ended.stdout.splitlines() == ["worker True", "supervisor True"]
