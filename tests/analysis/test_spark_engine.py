"""Reports by Apache Spark, on this machine and on a cluster, are those of this machine alone."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.analysis.log_writers import write
from tests.analysis.made_logs import Mixed
from tests.made_ranges import MADE
from tests.skips import NO_JAVA, NO_SPARK

if TYPE_CHECKING:
    from collections.abc import Iterator

SPEC = Mixed(lines=20_000, files=6)
SECONDS = 600
"""Spark takes half a minute to start on a busy machine."""

pytestmark = [
    pytest.mark.spark,
    pytest.mark.skipif(find_spec("pyspark") is None, reason=NO_SPARK),
    pytest.mark.skipif(shutil.which("java") is None, reason=NO_JAVA),
]


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of logs in several formats; one file is cut off, and one is empty."""
    folder = tmp_path_factory.mktemp("logs")
    first = write(folder, SPEC)[0]
    for path in write(folder / "more", Mixed(lines=5000, files=2, seed=17), "parquet"):
        path.rename(path.with_name(path.name.replace("E2EXAMPLE", "E3EXAMPLE")))
    (folder / "cut.gz").write_bytes(first.read_bytes()[:60_000])
    (folder / "empty.gz").write_bytes(b"")
    return folder


def analyzed(folder: Path, *arguments: str, **environment: str) -> dict[str, Any]:
    """The JSON document of an engine; exit code 1, as two files are damaged."""
    command = [sys.executable, "-m", "nearbucket", "analyze", str(folder), "--format", "json"]
    command += ["--ranges", str(MADE), *arguments]
    done = subprocess.run(
        command,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    assert done.returncode == 1, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_spark_on_this_machine_gives_the_same_report(logs: Path) -> None:
    expected = analyzed(logs)
    assert [Path(each["name"]).name for each in expected["scope"]["damaged"]] == [
        "cut.gz",
        "empty.gz",
    ]
    assert analyzed(logs, "--engine", "spark") == expected


def test_what_spark_counted_is_kept_for_the_next_run(logs: Path, tmp_path: Path) -> None:
    keep = ("--keep", str(tmp_path / "kept"))
    expected = analyzed(logs, "--engine", "spark", *keep)
    assert len(list((tmp_path / "kept").glob("*.parquet"))) == expected["scope"]["files"]
    assert analyzed(logs, *keep, "--engine", "spark=spark://127.0.0.1:1") == expected
    assert analyzed(logs, *keep) == expected


def test_a_spark_cluster_gives_the_same_report(logs: Path) -> None:
    with cluster() as master:
        by_spark = analyzed(logs, "--engine", f"spark={master}", PYSPARK_PYTHON=sys.executable)
    assert by_spark == analyzed(logs)


def test_a_master_that_cannot_be_reached_is_named(logs: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "nearbucket", "analyze", str(logs)]
    command += ["--ranges", str(MADE), "--engine", f"spark=spark://127.0.0.1:{port}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert done.returncode == 2
    assert f"spark://127.0.0.1:{port}" in done.stderr
    assert "Traceback" not in done.stderr


@contextmanager
def cluster() -> Iterator[str]:
    """A master and a worker of Spark's own cluster manager, on this machine; gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    master = f"spark://127.0.0.1:{port}"
    here = ("--host", "127.0.0.1", "--webui-port", "0")
    with (
        started("Master", *here, "--port", port),
        started("Worker", *here, "--cores", "2", "--memory", "1g", master),
    ):
        yield master


@contextmanager
def started(kind: str, *arguments: str) -> Iterator[None]:
    """One process of the cluster."""
    spec = find_spec("pyspark")
    assert spec is not None
    assert spec.origin is not None
    home = Path(spec.origin).parent
    command = [str(home / "bin" / "spark-class"), f"org.apache.spark.deploy.{kind.lower()}.{kind}"]
    process = subprocess.Popen(
        [*command, *arguments],
        env=os.environ | {"SPARK_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(SECONDS)
