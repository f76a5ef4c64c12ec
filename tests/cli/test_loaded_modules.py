"""What a command loads before it begins: time at each start."""

from __future__ import annotations

import subprocess
import sys

import pytest

_LOADED = "import sys; import {}; print(*sys.modules)"
_LOADED_BY = "from nearbucket.cli.main import command_line; command_line({!r}); " + _LOADED


@pytest.mark.parametrize(
    ("module", "not_needed"),
    [
        ("nearbucket.cli.main", {"aiohttp", "asyncio", "botocore", "pyarrow", "rich.console"}),
        (
            "nearbucket.cli.analyze.analyze_run",
            {"aiohttp", "asyncio", "botocore", "pyarrow.parquet", "rich.progress", "ssl"},
        ),
        ("nearbucket.supervisor.prefork", {"aiobotocore", "botocore.client"}),
        (
            "nearbucket.supervisor.supervisor",
            {"aiobotocore", "botocore.client", "nearbucket.replicas.catalog_source"},
        ),
        ("nearbucket.replication.replicator", {"aiobotocore", "botocore.client"}),
    ],
)
def test_a_start_loads_nothing_that_only_other_commands_need(
    module: str, not_needed: set[str]
) -> None:
    command = [sys.executable, "-c", _LOADED.format(module)]
    loaded = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    assert not not_needed & set(loaded.split())


@pytest.mark.parametrize(
    ("word", "not_needed"),
    [
        ("--version", {"nearbucket.cli.output", "pydantic", "yaml"}),
        ("serve", {"nearbucket.cli.ranges", "nearbucket.edge_function", "nearbucket.pricing"}),
        (
            "lookup",
            {"nearbucket.cli.config", "nearbucket.edge_function", "nearbucket.s3"},
        ),
    ],
)
def test_a_command_loads_no_other_command(word: str, not_needed: set[str]) -> None:
    command = [sys.executable, "-c", _LOADED_BY.format(word, "sys")]
    loaded = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    assert not not_needed & set(loaded.split())


_TRUSTED = """
import {}
from aiohttp import connector
context = connector._SSL_CONTEXT_VERIFIED
print(context.verify_mode.name, context.check_hostname, len(context.get_ca_certs()))
"""


@pytest.mark.parametrize(
    "module",
    [
        "nearbucket.supervisor.prefork",
        "nearbucket.supervisor.worker.worker_process",
        "nearbucket.cli.check.checks",
        "nearbucket.cli.sync_report",
    ],
)
def test_a_tls_context_that_no_session_uses_is_made_without_authorities(module: str) -> None:
    command = [sys.executable, "-c", _TRUSTED.format(module)]
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    assert said.split() == ["CERT_REQUIRED", "True", "0"]
