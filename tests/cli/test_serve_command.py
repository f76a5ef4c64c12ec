"""The end of ``nearbucket serve``."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.e2e.running import free_port
from tests.serving import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

WITHOUT_A_DISK = """
import sys, threading
from nearbucket.cli.main import main
from nearbucket.regions import ip_ranges_source

ip_ranges_source._read_changed = lambda *_: threading.Event().wait()
sys.argv[1:] = ["serve", "--config", sys.argv[1]]
main()
"""


def test_a_file_system_that_is_gone_does_not_hold_up_the_end(tmp_path: Path) -> None:
    config = {
        "listen": {"host": "127.0.0.1", "port": free_port(), "workers": 1},
        "admin": {"port": free_port()},
        "regions": {"source": str(tmp_path / "far.json"), "cache": str(tmp_path / "copy.json")},
        "limits": {"drain_grace": 0},
        "sites": [{"origin": {"bucket": "downloads", "region": "us-east-1"}}],
    }
    file = tmp_path / "nearbucket.yaml"
    file.write_text(json.dumps(config), encoding="utf-8")
    command = [sys.executable, "-c", WITHOUT_A_DISK, str(file)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            assert any("admin on " in line for line in process.stderr)
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
