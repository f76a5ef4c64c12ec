"""Reads access logs line by line: nearbucket's own, as JSON or W3C, and CloudFront's W3C files.

Files may be compressed with gzip, or be standard input. One line is held at a time.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import sys
import zlib
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from urllib.parse import unquote

from nearbucket.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

STDIN = "-"
_LONGEST = 1 << 20
"""Bytes of a line; a longer one is split, and its parts are unreadable."""
_GZIP = b"\x1f\x8b"
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_NOT_IN_A_URL = re.compile(r"[^!-~]")
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")

_NEEDED = ("sc-bytes", "c-ip", "cs-method", "cs-uri-stem", "sc-status")
_WANTED = (
    *_NEEDED, "cs(Host)", "x-host-header", "cs(User-Agent)", "cs-uri-query", "cs(Cookie)",
    "x-edge-result-type", "sc-range-start", "sc-range-end", "x-nearbucket-action",
    "x-nearbucket-reason",
)  # fmt: skip


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
        range_size: Bytes of the requested range if it has an end; else None.
        served: Whether ``size`` are bytes of the object, not of a redirect or a refusal.
    """

    request: LoggedRequest
    status: int
    size: int
    range_size: int | None
    served: bool


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
        names: Paths; ``-`` is standard input.
        size: Bytes of all files on disk; None with standard input.
    """

    names: Sequence[str]
    size: int | None = field(init=False)
    _before: int = field(init=False, default=0)
    _current: io.BufferedReader | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        """Look for all files first, so that a wrong name does not show after an hour.

        Raises:
            ConfigError: A file does not exist.
        """
        sizes = [_size(name) for name in self.names if name != STDIN]
        self.size = sum(sizes) if len(sizes) == len(self.names) else None

    @property
    def position(self) -> int:
        """Bytes read from disk so far."""
        current = self._current
        return self._before + (current.tell() if current and current.seekable() else 0)

    def entries(self) -> Iterator[LogEntry | UnreadableInput]:
        """Every request, and every line that cannot be read.

        Raises:
            ConfigError: A file cannot be read.
        """
        for name in self.names:
            try:
                with _opened(name) as file:
                    self._current = file
                    yield from _lines_of(file, "standard input" if name == STDIN else name)
                    self._before, self._current = self.position, None
            except OSError as error:
                raise ConfigError(f"{name}: {error.strerror or error}") from None


def _opened(name: str) -> io.BufferedReader:
    if name == STDIN:
        return io.BufferedReader(cast("io.RawIOBase", sys.stdin.buffer))
    return Path(name).open("rb")


def _size(name: str) -> int:
    try:
        return Path(name).stat().st_size
    except OSError as error:
        raise ConfigError(f"--log {name}: {error.strerror}") from None


def _lines_of(file: io.BufferedReader, name: str) -> Iterator[LogEntry | UnreadableInput]:
    if file.peek(2)[:2] != _GZIP:
        yield from _parsed(file, name)
        return
    try:
        with io.BufferedReader(cast("Any", gzip.GzipFile(fileobj=file)), 1 << 18) as stream:
            yield from _parsed(stream, name)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        yield UnreadableInput(f"{name}: broken gzip, the rest is not read: {error}", rest=True)


def _parsed(stream: io.BufferedReader, name: str) -> Iterator[LogEntry | UnreadableInput]:
    columns: _Columns | None = None
    for number, raw in enumerate(iter(lambda: stream.readline(_LONGEST), b""), 1):
        try:
            if raw.startswith(b"{"):
                yield _of_json(raw)
            elif raw.startswith(b"#"):
                if raw.startswith(b"#Fields:"):
                    columns = None
                    columns = _Columns(raw.decode("utf-8", "replace").split()[1:])
            elif not raw.isspace():
                yield _needed(columns).entry(raw)
        except (ValueError, RecursionError) as error:
            yield UnreadableInput(f"{name}: line {number}: {error}")


def _needed(columns: _Columns | None) -> _Columns:
    if columns is None:
        raise ValueError("neither JSON, nor W3C below a #Fields line")
    return columns


def _of_json(raw: bytes) -> LogEntry:
    get: Callable[[str], Any] = json.loads(raw).get
    method, path, status, size = get("method"), get("path"), get("status"), get("bytes")
    client, host, agent = get("client"), get("host"), get("user_agent")
    reason, range_ = get("reason"), get("range")
    types = type(method), type(path), type(reason), type(status), type(size)
    optional = {type(client), type(host), type(agent), type(range_)}
    if types != (str, str, str, int, int) or not optional <= {str, NoneType}:
        raise ValueError("not a line of nearbucket's access log")
    bounds = _RANGE.fullmatch(range_) if range_ else None
    return LogEntry(
        LoggedRequest(client, host, method, path, agent, None, reason),
        status,
        size,
        _span(bounds[1], bounds[2]) if bounds else None,
        get("action") != "refuse" and status not in _REDIRECTS,
    )


class _Columns:
    """Reads lines by the names of a ``#Fields`` line, in any order."""

    def __init__(self, names: Sequence[str]) -> None:
        """Find the columns; a missing one is read behind the last, where ``entry`` puts ``-``.

        Raises:
            ValueError: A column is missing that is always needed.
        """
        place = {name: number for number, name in enumerate(names)}
        missing = [name for name in _NEEDED if name not in place]
        if missing:
            raise ValueError(f"#Fields has no {', '.join(missing)}")
        self._count = len(names)
        self._own = "x-nearbucket-reason" in place
        self._pick = itemgetter(*(place.get(name, -1) for name in _WANTED))

    def entry(self, raw: bytes) -> LogEntry:
        """Read a line.

        Raises:
            ValueError: It has another number of columns, or text where a number belongs.
        """
        values = raw.decode("utf-8", "replace").rstrip("\r\n").split("\t")
        if len(values) != self._count:
            raise ValueError(f"{len(values)} columns, and #Fields names {self._count}")
        values.append("-")
        found = self._pick(values)
        size, client, method, stem, code, host, viewer_host, agent = found[:8]
        query, cookie, result, start, end, action, reason = found[8:]
        host = _text(host if viewer_host == "-" else viewer_host)
        target = _url(stem, own=self._own)
        if query != "-":
            target += "?" + _url(query, own=self._own)
        name = _text(agent)
        if name and not self._own and "%20" in name:
            name = unquote(name)  # older logs encode it twice
        known = _text(reason) if self._own else None
        request = LoggedRequest(
            _text(client), host, _text(method) or "-", target, name, _text(cookie), known
        )
        status = 0 if code == "-" else int(code)
        return LogEntry(
            request,
            status,
            0 if size == "-" else int(size),
            _span(start.replace("-", ""), end.replace("-", "")),
            # "Redirect" is CloudFront's own, from http to https; the client comes again
            action != "refuse" and (status not in _REDIRECTS or result == "Redirect"),
        )


def _text(value: str) -> str | None:
    if value == "-":
        return None
    return unquote(value) if "%" in value else value


def _url(value: str, *, own: bool) -> str:
    """Path or query as sent: CloudFront encodes once more what the client encoded.

    Some tools undo that when they copy a log: what does not decode to a URL is left as it is.
    """
    if "%" not in value:
        return value
    decoded = unquote(value)
    return decoded if own or not _NOT_IN_A_URL.search(decoded) else value


def _span(start: str, end: str) -> int | None:
    """Bytes of a range, ``0-99`` or ``-100``; None if it has no end."""
    if not end:
        return None
    return max(0, int(end) - int(start) + 1) if start else int(end)
