"""What a command loads before it begins: time at each start."""

from __future__ import annotations

import subprocess
import sys

import pytest

_COMMAND = "nearbucket.cli.main.command_line({!r})"
_STEP = "{}\nprint(*sys.modules)\n"
_AS_SERVE = """
import ast, inspect
from nearbucket.cli import serve_command
for node in ast.walk(ast.parse(inspect.getsource(serve_command.serve))):
    if isinstance(node, ast.Import | ast.ImportFrom):
        exec(ast.unparse(node))
"""
_TRUSTED = """
from aiohttp import connector
context = connector._SSL_CONTEXT_VERIFIED
print(context.verify_mode.name, context.check_hostname, len(context.get_ca_certs()))
"""


def _said_by(code: str) -> list[str]:
    """The lines that a process of this code prints."""
    command = [sys.executable, "-c", f"import os, sys\n{code}\nsys.stdout.flush(); os._exit(0)"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param(
            {
                "import nearbucket.cli.main": {
                    "aiohttp", "asyncio", "botocore", "pyarrow", "rich.console",
                },
                _COMMAND.format("--version"): {"nearbucket.cli.output", "pydantic", "yaml"},
                _COMMAND.format("serve"): {
                    "nearbucket.cli.ranges", "nearbucket.edge_function", "nearbucket.pricing",
                },
                "import nearbucket.cli.analyze.analyze_run": {
                    "aiohttp", "asyncio", "botocore", "pyarrow.parquet", "rich.progress", "ssl",
                },
            },
            id="command line",
        ),
        pytest.param(
            {
                f"import nearbucket.cli.main; {_COMMAND.format('lookup')}": {
                    "nearbucket.cli.config", "nearbucket.edge_function", "nearbucket.s3",
                },
            },
            id="lookup",
        ),
        pytest.param(
            {
                "import nearbucket.supervisor.supervisor": {
                    "aiobotocore", "botocore.client", "nearbucket.replicas.catalog_source",
                },
                "import nearbucket.replication.replicator": {"aiobotocore", "botocore.client"},
            },
            id="supervisor and replicator",
        ),
    ],
)  # fmt: skip
def test_a_start_loads_nothing_that_only_other_commands_need(steps: dict[str, set[str]]) -> None:
    """One process takes all steps: what a step must not load, those before it do not either."""
    said = _said_by("".join(map(_STEP.format, steps)))
    for (step, not_needed), loaded in zip(steps.items(), said, strict=True):
        assert not not_needed & set(loaded.split()), step


def test_pydantic_looks_for_no_plugins() -> None:
    loading = "import nearbucket.config.settings\nfrom pydantic.plugin import _loader"
    assert _said_by(f"{loading}\nprint(_loader._plugins)") == ["None"]


@pytest.mark.parametrize(
    ("loading", "not_needed"),
    [
        (_AS_SERVE, {"aiobotocore", "botocore.client"}),
        ("import nearbucket.supervisor.worker.worker_process", set()),
        ("import nearbucket.cli.check.checks", set()),
        ("import nearbucket.cli.sync_report", set()),
    ],
)
def test_a_tls_context_that_no_session_uses_is_made_without_authorities(
    loading: str, not_needed: set[str]
) -> None:
    loaded, trusted = _said_by(_STEP.format(loading) + _TRUSTED)
    assert trusted.split() == ["CERT_REQUIRED", "True", "0"]
    assert not not_needed & set(loaded.split())
