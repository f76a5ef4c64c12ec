"""Reads access logs line by line, in every text format, and keeps what can be read of them.

Slower than ``arrow_reader.py``, but it needs no library, and one bad line costs no other. A line
is recognised by its beginning: ``{`` is JSON, ``#`` a header, then TAB-separated values, then the
lines of S3's server access logs.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from nearbucket.analysis.reading.formats import (
    BOUNDS,
    COLUMNS,
    NUMBER,
    NUMBERS,
    column_of,
    columns_of,
)
from nearbucket.analysis.reading.formats import standard_fields as standard
from nearbucket.analysis.reading.log_blocks import LONGEST
from nearbucket.policy.byte_range import BYTE_RANGE, LOGGED_DIGITS, short_bound

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LogLine = tuple[bytes | None, ...]
"""The values of one line, in the order of ``formats.COLUMNS``; None where the file has no such
column, ``-`` where the column has no value."""

NONE = b"-"
NO_HEADER = "neither JSON, nor W3C below a #Fields line"
"""What is wrong with TAB-separated values whose names nothing tells."""
_NO_NUMBER = (NONE, b"", None)
_STATUS = COLUMNS.index("sc_status")
_FIRST_NUMBER = len(COLUMNS) - len(NUMBERS)
_TEXT_LIKE = re.compile(rb"[\t\n\r]")
_S3_LINE = re.compile(
    rb"\S+ (?P<bucket>\S+) \[(?P<time>[^\]]+)\] (?P<client>\S+) \S+ \S+ (?P<operation>\S+) "
    rb'(?P<key>\S+) (?:"(?P<request>.*?)"|-) (?P<status>\d{3}|-) (?P<error>\S+) (?P<bytes>\d+|-) '
    rb"(?P<size>\d+|-) \S+ \S+ (?P<quoted>.*)"
)
_S3_TIME = "%d/%b/%Y:%H:%M:%S %z"
_START, _END = map(COLUMNS.index, ("sc_range_start", "sc_range_end"))


class LineReader:
    """Reads the lines of one file, in order."""

    def __init__(self, fields: Sequence[str] = ()) -> None:
        """Take the names of the fields of a file without a header; ``()`` if it has one."""
        self.s3_log = False
        self._problem = ""
        self._pick: Callable[[list[bytes | None]], LogLine] | None = None
        self._count = 0
        if fields:
            self._take(columns_of(fields))

    def lines(self, raw: bytes) -> Sequence[LogLine]:
        """The requests of one line; several if JSON objects follow each other without a break.

        Raises:
            ValueError: The line cannot be read.
        """
        if len(raw) > LONGEST:
            raise ValueError(f"longer than {LONGEST} bytes")
        raw = raw.rstrip(b"\r\n")
        if raw.startswith(b"{"):
            return _of_json(raw)
        if raw.startswith(b"#Fields:"):
            self.header(raw)
        elif raw and not raw.startswith(b"#"):
            if self._pick or b"\t" in raw:
                return (self._of_columns(raw),)
            line = _of_s3(raw)
            self.s3_log = True
            return (line,)
        return ()

    def header(self, raw: bytes) -> None:
        """Take the names of a ``#Fields`` line for the lines that follow.

        Raises:
            ValueError: A column is missing that is always needed.
        """
        self._pick = None
        try:
            self._take(columns_of(raw.decode("utf-8", "replace").split()[1:]))
        except ValueError as error:
            self._problem = str(error)
            raise

    def _of_columns(self, raw: bytes) -> LogLine:
        values: list[bytes | None] = [*raw.split(b"\t"), None]
        pick = self._pick
        if pick is None:
            names = standard(raw.split(b"\t"))
            if names is None:
                raise ValueError(self._problem or NO_HEADER)
            pick = self._take(columns_of(names))
        if len(values) != self._count + 1:
            raise ValueError(f"{len(values) - 1} columns, and #Fields names {self._count}")
        return _checked(pick(values))

    def _take(self, columns: Sequence[str | None]) -> Callable[[list[bytes | None]], LogLine]:
        """Take the columns; those that are missing are read behind the last, where None is."""
        place = {name: number for number, name in enumerate(columns)}
        self._count = len(columns)
        self._pick = itemgetter(*(place.get(name, self._count) for name in COLUMNS))
        return self._pick


def _line(found: dict[str, bytes]) -> LogLine:
    return _checked(tuple(map(found.get, COLUMNS)))


def _shown(value: bytes) -> str:
    """A value of a log in a message: printable, between quotes, and not long."""
    return ascii(value[:40].decode("utf-8", "backslashreplace"))


def _checked(line: LogLine) -> LogLine:
    start, end = line[_START] or NONE, line[_END] or NONE
    if len(start) > LOGGED_DIGITS or len(end) > LOGGED_DIGITS:
        bounds = {_START: _bound(start), _END: _bound(end)}
        line = tuple(bounds.get(place, value) for place, value in enumerate(line))
    for value in line[_FIRST_NUMBER:]:
        if value not in _NO_NUMBER and not NUMBER.fullmatch(value):
            name = COLUMNS[line.index(value, _FIRST_NUMBER)].replace("_", "-")
            raise ValueError(f"{_shown(value)} in {name} is no number")
    status = line[_STATUS]
    if status not in _NO_NUMBER and int(status) >= BOUNDS["sc_status"]:
        raise ValueError(f"{_shown(status)} in sc-status is no status")
    return line


def _bound(value: bytes) -> bytes:
    """A bound of a range, no longer than numbers in logs are; what is none stays as it is."""
    return short_bound(value.decode(), LOGGED_DIGITS).encode() if value.isdigit() else value


def _of_json(raw: bytes) -> list[LogLine]:
    """The objects of a line; Firehose writes them without line ends between them."""
    text, decoder, start = raw.decode("utf-8", "replace"), json.JSONDecoder(), 0
    found = []
    try:
        while start < len(text):
            value, start = decoder.raw_decode(text, start)
            found.append(line_of_object(value))
            start += len(text[start:]) - len(text[start:].lstrip(" \t,"))
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return found


def line_of_object(value: Any) -> LogLine:
    """The line of a JSON object, or of a row with the names of a format.

    Raises:
        ValueError: It is no request.
    """
    if not isinstance(value, dict):
        raise ValueError("a JSON value that is no object")  # noqa: TRY004  # of the line
    if "path" in value and "method" in value:
        return _of_own_json(value)
    found: dict[str, bytes] = {}
    for name, each in value.items():
        if (column := column_of(name)) is not None and each is not None:
            found[column] = _TEXT_LIKE.sub(b" ", str(each).encode("utf-8", "replace"))
    try:
        columns_of([name for name in value if value[name] is not None])
    except ValueError as error:
        raise ValueError(f"the JSON {str(error).removeprefix('#Fields ')}") from None
    return _line(found)


def _of_own_json(value: dict[str, Any]) -> LogLine:
    """A line of nearbucket's access log; its text is not encoded, unlike that of W3C files."""
    get: Callable[..., Any] = value.get
    types = tuple(type(get(name)) for name in ("method", "path", "reason", "status", "bytes"))
    optional = {type(get(name)) for name in ("client", "host", "user_agent", "range", "action")}
    if types != (str, str, str, int, int) or not optional <= {str, type(None)}:
        raise ValueError("not a line of nearbucket's access log")
    moment = str(get("time", ""))
    bounds = BYTE_RANGE.fullmatch(get("range") or "")
    return _line(
        {
            "date": moment[:10].encode() or NONE,
            "time": moment[11:19].encode() or NONE,
            "c_ip": _encoded(get("client")),
            "cs_method": _encoded(get("method")),
            "cs_host": _encoded(get("host")),
            "cs_uri_stem": _encoded(get("path")),
            "sc_status": b"%d" % get("status"),
            "cs_user_agent": _encoded(get("user_agent")),
            "x_edge_result_type": b"Error" if get("complete") is False else NONE,
            "x_nearbucket_action": _encoded(get("action")),
            "x_nearbucket_reason": _encoded(get("reason")),
            "sc_bytes": b"%d" % get("bytes"),
            "sc_range_start": bounds[1].encode() if bounds else NONE,
            "sc_range_end": bounds[2].encode() if bounds else NONE,
        }
    )


def _encoded(text: str | None) -> bytes:
    """Text as a W3C file has it, as far as decoding needs it."""
    if not text:
        return NONE
    if text == "-":
        return b"%2D"
    return text.replace("%", "%25").encode("utf-8", "replace")


def _of_s3(raw: bytes) -> LogLine:
    """A line of S3's server access log (S3 user guide, "Amazon S3 server access log format").

    Quotes in quoted fields are not escaped. The fields before the request have no space; status
    and sizes follow it; the last two quoted fields are Referer and User-Agent.
    """
    found = _S3_LINE.fullmatch(raw)
    if found is None:
        raise ValueError("neither JSON, nor W3C below a #Fields line, nor S3's format")
    moment, whole = _s3_time(found["time"]), found["status"] == b"200"
    operation, key = found["operation"].split(b"."), found["key"]
    last_quote = found["quoted"].rfind(b'"')
    referer_end = found["quoted"].rfind(b'" "', 0, max(last_quote, 0))
    agent = found["quoted"][referer_end + 3 : last_quote] if referer_end >= 0 else NONE
    query = (found["request"] or b"").partition(b" ")[2].rpartition(b" ")[0].partition(b"?")[2]
    return _line(
        {
            "date": moment.strftime("%Y-%m-%d").encode(),
            "time": moment.strftime("%H:%M:%S").encode(),
            "c_ip": found["client"],
            "cs_method": operation[1] if len(operation) > 1 else NONE,
            "x_host_header": found["bucket"],
            "cs_uri_stem": b"/" + key if key != NONE else b"/",
            "cs_uri_query": query.replace(b"%", b"%25") or NONE,
            "sc_status": found["status"],
            "cs_user_agent": agent.replace(b"%", b"%25") or NONE,
            "x_edge_result_type": found["error"],
            "sc_bytes": found["bytes"],
            # S3 logs the size of the whole object, also where it sends a range of it
            "sc_content_len": found["size"] if whole else NONE,
        }
    )


def _s3_time(raw: bytes) -> datetime:
    try:
        return datetime.strptime(raw.decode("ascii", "replace"), _S3_TIME).astimezone(UTC)
    except OverflowError:  # of the year 1 or 9999
        raise ValueError(f"{_shown(raw)} is no time") from None
