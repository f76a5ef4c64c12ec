"""``serve`` whose caller has closed standard streams."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.build import COMMAND, lone_config

PATIENCE = 30.0


def port_of(log: Path) -> int:
    """The public port, when the workers serve."""
    deadline = time.monotonic() + PATIENCE
    while not (found := re.search(r"listen on \S+ port (\d+)", log.read_text(encoding="utf-8"))):
        assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
        time.sleep(0.02)
    return int(found[1])


def status_of(port: int) -> int:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as client:
        client.request("GET", "/.well-known/nearbucket-hosts.json")
        return client.getresponse().status


@pytest.mark.parametrize("closed", ["<&-", "<&- >&-"])
def test_a_worker_that_dies_is_replaced_where_standard_streams_are_closed(
    tmp_path: Path, closed: str
) -> None:
    config, log = lone_config(tmp_path), tmp_path / "stderr.log"
    command = ["sh", "-c", f'exec "$@" {closed}', "sh", *COMMAND, "serve", "--config", str(config)]
    with log.open("wb") as errors, subprocess.Popen(command, stderr=errors) as process:
        try:
            port = port_of(log)
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            (worker,) = children.read_text(encoding="ascii").split()
            os.kill(int(worker), signal.SIGKILL)
            assert status_of(port) == 200  # by the next worker, for which the connection has waited
            process.terminate()
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
