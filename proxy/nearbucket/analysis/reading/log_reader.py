"""The requests of log files one after the other, in every format.

One block of a file is held at a time, whatever its size; of Parquet, the file as it is stored.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from nearbucket.analysis.reading.duplicate_files import DuplicateFinder, each_once
from nearbucket.analysis.reading.formats import (
    COLUMNS,
    REDIRECTS,
    TO_HTTPS,
    agent_of,
    sent_target,
    text_of,
)
from nearbucket.analysis.reading.line_reader import NONE, LineReader, line_of_object
from nearbucket.analysis.reading.log_blocks import LogBlocks, open_file
from nearbucket.analysis.reading.sources import ALWAYS, STDIN, local_sources
from nearbucket.config.buckets import S3_SCHEME
from nearbucket.errors import ConfigError, install_command

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nearbucket.analysis.reading.line_reader import LogLine
    from nearbucket.analysis.reading.sources import DamagedFile, LogSource


class LoggedRequest(NamedTuple):
    """The part of a line on which a decision depends.

    Attributes:
        client: The client's address, or None.
        host: Host as sent, or None.
        method: Method.
        target: Path as sent, with the query if the log has one.
        agent: User-Agent, or None.
        cookie: Cookie, or None; nearbucket's log never has one.
        reason: The logged reason; None in a log that is not nearbucket's.
    """

    client: str | None
    host: str | None
    method: str
    target: str
    agent: str | None
    cookie: str | None
    reason: str | None


class LogEntry(NamedTuple):
    """One logged request.

    Attributes:
        request: The request.
        status: Status of the response.
        size: Bytes of the response.
        range_size: Bytes of the requested range if it has an end, which may be behind the object's;
            0 for the rest of an object from a later byte on: a client goes on with a download, of
            which a redirect has been counted. None for the whole object.
        served: Whether ``size`` are bytes of the object, not of a redirect or a refusal.
        length: Content length of the response, where the log has one; else None.
        range_end: End of the range that was sent + 1, if the line shows it; else None.
        day: Days from 1970 to that of the request; None if the line does not show it.
    """

    request: LoggedRequest
    status: int
    size: int
    range_size: int | None
    served: bool
    length: int | None = None
    range_end: int | None = None
    day: int | None = None


class UnreadableInput(NamedTuple):
    """A line or a file that cannot be read.

    Attributes:
        text: File, line and reason.
        rest: Whether the rest of the file is lost.
    """

    text: str
    rest: bool = False


@dataclass(slots=True)
class LogFiles:
    """Log files, read one after the other.

    Attributes:
        names: Paths, folders and patterns; ``-`` is standard input.
        size: Bytes of all files on disk; None with standard input.
        position: Bytes read from disk so far.
        s3_logs: Whether a file that was read is a server access log of S3.
    """

    names: Sequence[str]
    size: int | None = field(init=False)
    position: int = field(init=False, default=0)
    s3_logs: bool = field(init=False, default=False)
    _sources: list[LogSource] = field(init=False)
    _left_out: tuple[DamagedFile, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Look for all files first, so that a wrong name does not show after an hour.

        Raises:
            ConfigError: A name is of nothing.
        """
        if there := [name for name in self.names if name.startswith(S3_SCHEME)]:
            raise ConfigError(
                f"{there[0]}: logs in S3 are read by nearbucket analyze alone; pipe them: "
                "aws s3 cp … - | nearbucket config diff … --log -"
            )
        sources, _ = each_once(local_sources(self.names, ALWAYS))
        self._sources, self._left_out = DuplicateFinder(open_file).split(sources)
        sizes = [source.size for source in self._sources]
        self.size = None if STDIN in self.names else sum(sizes)

    def entries(self) -> Iterator[LogEntry | UnreadableInput]:
        """Every request, and every line that cannot be read; then files that are left out.

        Raises:
            ConfigError: A file cannot be opened.
        """
        for source in self._sources:
            name = "standard input" if source.name == STDIN else source.name
            try:
                file = open_file(source)
            except OSError as error:
                raise ConfigError(f"{name}: {error.strerror or error}") from None
            with file:
                blocks = LogBlocks(file, self._advance)
                reader = LineReader()
                try:
                    yield from _entries(blocks, reader, name)
                finally:  # also if no more lines are wanted
                    self.s3_logs |= reader.s3_log
            if blocks.parquet:
                yield from _of_parquet(blocks.parquet, name)
            if blocks.damage:
                yield UnreadableInput(f"{name}: {blocks.damage}", rest=True)
        for left_out in self._left_out:
            yield UnreadableInput(f"{left_out.name}: {left_out.why}", rest=True)

    def _advance(self, count: int) -> None:
        self.position += count


def _entries(
    blocks: LogBlocks, reader: LineReader, name: str
) -> Iterator[LogEntry | UnreadableInput]:
    number = 0
    for block in blocks:
        for raw in block.removesuffix(b"\n").split(b"\n"):
            number += 1
            try:
                for line in reader.lines(raw):
                    yield _entry(line)
            except ValueError as error:
                yield UnreadableInput(f"{name}: line {number}: {error}")


def _of_parquet(content: bytes, name: str) -> Iterator[LogEntry | UnreadableInput]:
    try:
        import pyarrow.parquet  # noqa: PLC0415  # of the extra "report"
    except ImportError:
        yield UnreadableInput(
            f"{name}: is Parquet, which needs: {install_command('report')}", rest=True
        )
        return
    number = 0
    try:
        for batch in pyarrow.parquet.ParquetFile(pyarrow.py_buffer(content)).iter_batches():
            for row in batch.to_pylist():
                number += 1
                yield _entry(line_of_object(row))
    except (ValueError, OSError) as error:  # pyarrow's errors are these, too
        yield UnreadableInput(f"{name}: row {number}: {error}", rest=True)


def _entry(line: LogLine) -> LogEntry:
    found = dict(zip(COLUMNS, (value or NONE for value in line), strict=True))
    own = line[_REASON] is not None
    status, host = _number(found["sc_status"]), found["x_host_header"]
    request = LoggedRequest(
        text_of(found["c_ip"]) or None,
        text_of(found["cs_host"] if host == NONE else host) or None,
        text_of(found["cs_method"]) or "-",
        sent_target(found["cs_uri_stem"], found["cs_uri_query"], own=own),
        agent_of(found["cs_user_agent"], own=own) or None,
        text_of(found["cs_cookie"]) or None,
        text_of(found["x_nearbucket_reason"]) or None,
    )
    moved = status in REDIRECTS and found["x_edge_result_type"] != TO_HTTPS.encode()
    length, start, end = (found[name] for name in _LENGTHS)
    return LogEntry(
        request,
        status,
        _number(found["sc_bytes"]),
        _span(start, end),
        found["x_nearbucket_action"] != b"refuse" and not moved,
        None if length in _NOTHING else int(length),
        _range_end(start, end, _number(found["sc_bytes"]) if own else None),
        _day(found),
    )


_REASON = COLUMNS.index("x_nearbucket_reason")
_LENGTHS = ("sc_content_len", "sc_range_start", "sc_range_end")
_NOTHING = (NONE, b"")
_DAY = 86400
_EPOCH = date(1970, 1, 1)
_FIRST, _END = ((date(year, 1, 1) - _EPOCH).days for year in (2000, 2100))


def _day(found: Mapping[str, bytes]) -> int | None:
    if found["date"] not in _NOTHING:
        return _day_of(found["date"])
    for name, unit in (("timestamp_ms", _DAY * 1000), ("timestamp", _DAY)):
        with suppress(ValueError, OverflowError):
            return _in_logs(int(float(found[name]) // unit))
    return None


@lru_cache(1 << 10)
def _day_of(raw: bytes) -> int | None:
    with suppress(ValueError):
        return _in_logs((date.fromisoformat(raw.decode("ascii")) - _EPOCH).days)
    return None


def _in_logs(day: int) -> int | None:
    """A day of this century; one damaged date would make a log of days one of centuries."""
    return day if _FIRST <= day < _END else None


def _number(value: bytes) -> int:
    return 0 if value in _NOTHING else int(value)


def _span(start: bytes, end: bytes) -> int | None:
    """Bytes of a range, ``0-99``, ``-100`` or ``100-``; None for the whole object."""
    first = None if start in _NOTHING else int(start)
    if end in _NOTHING:
        return 0 if first else None
    if first is None:
        return int(end)
    return int(end) - first + 1 if first <= int(end) else None  # what a server ignores


def _range_end(start: bytes, end: bytes, sent: int | None) -> int | None:
    """The range in nearbucket's own log is the requested one, and may end behind the object."""
    if start in _NOTHING or (sent is None and end in _NOTHING):
        return None
    return int(end) + 1 if sent is None else int(start) + sent
