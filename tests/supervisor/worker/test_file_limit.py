"""A process without a free file descriptor counts that, and logs its beginning and its end."""

from __future__ import annotations

import logging
import os
import resource
from typing import TYPE_CHECKING

from nearbucket.supervisor.worker.file_limit import FileLimit
from nearbucket.telemetry.metrics import Counters

if TYPE_CHECKING:
    import pytest

NAME = "nearbucket_file_limit_seconds_total"


def test_seconds_without_a_free_descriptor_are_counted_and_their_begin_and_end_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    counters = Counters()
    limit = FileLimit(counters)
    limit.check(1.0)
    assert counters.counter(NAME).value == 0
    usual, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(2)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        for now in (2.0, 3.0, 4.0):
            limit.check(now)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (usual, hard))
    limit.check(5.0)
    limit.check(6.0)
    assert counters.counter(NAME).value == 3
    begun, ended = caplog.messages
    assert begun.startswith(f"no file descriptor is free ({lowest} are allowed): new connections")
    assert ended == "file descriptors are free again, after 3 s"
