"""Reduces log files on Apache Spark, by the very functions that reduce them here.

Spark spreads the files and runs ``reduce_parts`` on its executors, in ``mapInArrow``; the sums come
back and are merged as always. So no query exists in a second dialect, and all figures are equal.

Every executor reads files by their names: from a file system that all share, or from ``s3://``. It
needs Python with ``nearbucket[spark]``, of the same versions as here (``PYSPARK_PYTHON``).
"""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from nearbucket.analysis.reading.s3_logs import S3Logs
from nearbucket.analysis.reading.sources import STDIN, LogSource
from nearbucket.analysis.reducing.reduce import reduce_parts
from nearbucket.analysis.reducing.reduced_file import ReducedFile, merged
from nearbucket.config.buckets import S3_SCHEME
from nearbucket.errors import ConfigError, install_command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from nearbucket.analysis.counting.aggregate_store import AggregateStore
    from nearbucket.analysis.counting.kept_aggregates import KeptAggregates
    from nearbucket.analysis.reducing.reduce import ReduceOptions

LOCAL = "local[*]"
"""Spark on all cores of this machine."""
_SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "ERROR",
}
_FILES = "name string, size long, version string"
_REDUCED = "data binary"
"""A reduced file as an Arrow stream: Spark has no unsigned numbers, so it cannot hold the ids."""
_COMPRESSED = pa.ipc.IpcWriteOptions(compression="zstd")


@dataclass(frozen=True, slots=True)
class SparkEngine:
    """Reduces files into a store, as ``LocalEngine`` does.

    Attributes:
        options: What counts.
        kept: Where reduced files are kept, on this machine; None for nowhere.
        master: Spark's master, such as ``local[*]`` or ``spark://host:7077``.
    """

    options: ReduceOptions
    kept: KeptAggregates | None = None
    master: str = LOCAL

    def run(self, sources: Sequence[LogSource], store: AggregateStore) -> None:
        """Add all files to the store.

        Raises:
            ConfigError: Spark, Java or the master is missing, or an executor lacks something.
        """
        new = {source.name: source for source in sources}
        if STDIN in new:
            raise ConfigError("--engine spark reads files, not standard input")
        for source in sources:
            known = self.kept.get(source) if self.kept is not None else None
            if known is not None:
                for part in known:
                    store.add(part)
                del new[source.name]
        for reduced in self._reduced(list(new.values())):
            source, parts = new[reduced.summary.name], [reduced]
            for part in parts if self.kept is None else self.kept.keep(source, parts):
                store.add(part)
        store.finish()

    def _reduced(self, sources: Sequence[LogSource]) -> Iterator[ReducedFile]:
        """The reduced files, in no order."""
        if not sources:
            return
        with _session(self.master) as spark:
            from pyspark import StorageLevel  # noqa: PLC0415  # of the extra "spark"

            files = spark.createDataFrame([tuple(source) for source in sources], _FILES)
            spread = files.repartition(len(sources))
            reduced = spread.mapInArrow(_reducing(self.options, Path.cwd()), _REDUCED)
            # An iterator computes one partition after the other. So all are computed first, at
            # once, and kept on the executors' disks: this process holds one file at a time.
            reduced.persist(StorageLevel.DISK_ONLY).count()
            for row in reduced.toLocalIterator():
                yield _unpacked(row.data)


def _reducing(
    options: ReduceOptions, folder: Path
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """What executors do; ``folder`` is where relative names begin."""

    def reduced(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        with S3Logs(1) as s3:

            def opened(source: LogSource) -> Any:
                if not source.name.startswith(S3_SCHEME):
                    source = source._replace(name=str(folder / source.name))
                return s3.opened(source)

            for batch in batches:
                for row in batch.to_pylist():
                    parts = reduce_parts(LogSource(**row), options, None, opened)
                    data = _packed(merged(list(parts)))
                    yield pa.record_batch({"data": pa.array([data], pa.binary())})

    return reduced


def _packed(reduced: ReducedFile) -> bytes:
    table = reduced.to_table()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=_COMPRESSED) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _unpacked(data: bytes) -> ReducedFile:
    with pa.ipc.open_stream(pa.py_buffer(data)) as reader:
        return ReducedFile.from_table(reader.read_all())


@contextmanager
def _session(master: str) -> Iterator[Any]:
    """A session of Spark; its errors, and those of its executors, are ours."""
    try:
        from py4j.protocol import Py4JError  # noqa: PLC0415  # as above
        from pyspark.errors import PySparkException  # noqa: PLC0415
        from pyspark.sql import SparkSession  # noqa: PLC0415
    except ImportError:
        raise ConfigError(f"--engine spark: {install_command('spark')}") from None
    if not os.environ.get("JAVA_HOME") and shutil.which("java") is None:
        raise ConfigError("--engine spark: Spark needs Java 17 or later, and there is no java")
    if master.startswith("local"):
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    builder = SparkSession.builder.master(master).appName("nearbucket analyze")
    for name, value in _SETTINGS.items():
        builder = builder.config(name, value)
    try:
        spark = builder.getOrCreate()
        try:
            yield spark
        finally:
            spark.stop()
    except (PySparkException, Py4JError) as error:
        raise ConfigError(f"--engine spark: {master}: {_reason(str(error))}") from error


def _reason(text: str) -> str:
    """The line of Spark's message that says what is wrong: Python's error, or Java's."""
    lines = [line.strip(" :") for line in text.splitlines() if line.strip(" :")]
    failed = [
        line for line in lines if not line.startswith(("at ", "File ", "Traceback", "SQLSTATE"))
    ]
    if any(line.startswith("Traceback") for line in lines):
        return failed[-1]
    return next((line for line in failed if line.startswith(("java.", "org."))), failed[0])
