"""What the Dockerfile says, where no container engine is needed to try it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

DOCKERFILE = Path(__file__).parents[1] / "Dockerfile"


class _Admin(BaseHTTPRequestHandler):
    """The admin port of an instance that is ready, or not."""

    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/readyz" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_the_health_check_asks_the_admin_port_that_is_set(
    status: int, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (command,) = re.findall(r"HEALTHCHECK [^\[]*CMD (\[.*\])", DOCKERFILE.read_text("utf-8"))
    _, *arguments = json.loads(command)
    monkeypatch.setattr(_Admin, "status", status)
    with HTTPServer(("127.0.0.1", 0), _Admin) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        given = {**os.environ, "NEARBUCKET_ADMIN__PORT": str(server.server_port)}
        done = subprocess.run(
            [sys.executable, *arguments], env=given, capture_output=True, timeout=60, check=False
        )
        server.shutdown()
        thread.join()
    assert done.returncode == code, done.stderr
