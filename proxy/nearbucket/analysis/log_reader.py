"""Access logs, line by line: nearbucket's own, as JSON or W3C, and CloudFront's W3C files.

In: files, gzip or not, or standard input. Out: one ``LogEntry`` a request, or what is wrong with a
line. Refuses to know what becomes of them, and holds one line at a time.
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
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from urllib.parse import unquote

from nearbucket.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

STDIN = "-"
_LONGEST = 1 << 20
"""Bytes of a line; what is longer is taken apart, and its pieces are no lines."""
_GZIP = b"\x1f\x8b"
_AWAY = frozenset({301, 302, 303, 307, 308})
_NOT_IN_A_URL = re.compile(r"[^!-~]")
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")

_NEEDED = ("sc-bytes", "c-ip", "cs-method", "cs-uri-stem", "sc-status")
_WANTED = (
    *_NEEDED, "cs(Host)", "x-host-header", "cs(User-Agent)", "cs-uri-query", "cs(Cookie)",
    "x-edge-result-type", "sc-range-start", "sc-range-end", "x-nearbucket-action",
    "x-nearbucket-reason",
)  # fmt: skip


class LoggedRequest(NamedTuple):
    """What of a line a decision depends on.

    Attributes:
        client: Client's address, or None.
        host: Host as sent, or None.
        method: Method.
        target: Path as sent, with the query where the log has one.
        agent: User-Agent, or None.
        cookie: Whether the log shows a Cookie; nearbucket's never does.
        reason: The logged reason; None in a log of another server.
    """

    client: str | None
    host: str | None
    method: str
    target: str
    agent: str | None
    cookie: bool
    reason: str | None


class LogEntry(NamedTuple):
    """One logged request.

    Attributes:
        request: What it was.
        status: Status of the answer.
        size: Bytes that were sent.
        range_size: Bytes of the range that was asked for, where it has an end; else None.
        served: Whether ``size`` is of the object: not of a redirect, nor of a refusal.
    """

    request: LoggedRequest
    status: int
    size: int
    range_size: int | None
    served: bool


class UnreadableInput(NamedTuple):
    """What cannot be read.

    Attributes:
        text: Where, and why.
        rest: Whether the rest of the file is lost with it.
    """

    text: str
    rest: bool = False


@dataclass(slots=True)
class LogFiles:
    """Log files, read one after the other.

    Attributes:
        names: Paths; ``-`` is standard input.
        size: Bytes of all of them as they lie on the disk; None with standard input.
    """

    names: Sequence[str]
    size: int | None = field(init=False)
    _before: int = field(init=False, default=0)
    _current: io.BufferedReader | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        """Look at all files first: a wrong name should not show after an hour.

        Raises:
            ConfigError: A file is not there.
        """
        sizes = [_size(name) for name in self.names if name != STDIN]
        self.size = sum(sizes) if len(sizes) == len(self.names) else None

    @property
    def position(self) -> int:
        """Bytes read so far, as they lie on the disk."""
        current = self._current
        return self._before + (current.tell() if current and current.seekable() else 0)

    def entries(self) -> Iterator[LogEntry | UnreadableInput]:
        """Every request, and every line that cannot be read as one.

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
    found: dict[str, Any] = json.loads(raw)
    get = found.get
    method, path, status, size = get("method"), get("path"), get("status"), get("bytes")
    client, host, agent = get("client"), get("host"), get("user_agent")
    reason, asked_range = get("reason"), get("range")
    if not (isinstance(method, str) and isinstance(path, str) and isinstance(reason, str)
            and type(status) is int and type(size) is int):  # fmt: skip
        raise ValueError("not a line of nearbucket's access log")
    for text in (client, host, agent, asked_range):
        if text is not None and not isinstance(text, str):
            raise ValueError("not a line of nearbucket's access log")
    bounds = _RANGE.fullmatch(asked_range) if asked_range else None
    return LogEntry(
        LoggedRequest(client, host, method, path, agent, False, reason),  # noqa: FBT003  # the log has none
        status,
        size,
        _span(bounds[1], bounds[2]) if bounds else None,
        get("action") != "refuse" and status not in _AWAY,
    )


class _Columns:
    """Reads lines by the names of a ``#Fields`` line, in any order."""

    def __init__(self, names: Sequence[str]) -> None:
        """Find the columns; one that is not there is read behind the last, where ``-`` is put.

        Raises:
            ValueError: A column is missing that nothing can be said without.
        """
        place = {name: number for number, name in enumerate(names)}
        missing = [name for name in _NEEDED if name not in place]
        if missing:
            raise ValueError(f"#Fields has no {', '.join(missing)}")
        self._count = len(names)
        self._own = "x-nearbucket-reason" in place
        self._pick = itemgetter(*(place.get(name, -1) for name in _WANTED))

    def entry(self, raw: bytes) -> LogEntry:
        """The request of a line.

        Raises:
            ValueError: Another number of columns, or no number where one belongs.
        """
        values = raw.decode("utf-8", "replace").rstrip("\r\n").split("\t")
        if len(values) != self._count:
            raise ValueError(f"{len(values)} columns, and #Fields names {self._count}")
        values.append("-")
        (size, client, method, stem, code, host, viewer_host, agent, query, cookie, result, start,
         end, action, reason) = self._pick(values)  # fmt: skip
        host = _text(host if viewer_host == "-" else viewer_host)
        target = _url(stem, own=self._own)
        if query != "-":
            target += "?" + _url(query, own=self._own)
        name = _text(agent)
        if name and not self._own and "%20" in name:
            name = unquote(name)  # older logs encode it twice (edge case L1)
        status = 0 if code == "-" else int(code)
        return LogEntry(
            LoggedRequest(
                _text(client), host, _text(method) or "-", target, name, cookie != "-",
                _text(reason) if self._own else None,
            ),
            status,
            0 if size == "-" else int(size),
            _span(start.replace("-", ""), end.replace("-", "")),
            # "Redirect" is CloudFront's own, from http to https; the client comes again
            action != "refuse" and (status not in _AWAY or result == "Redirect"),
        )  # fmt: skip


def _text(value: str) -> str | None:
    if value == "-":
        return None
    return unquote(value) if "%" in value else value


def _url(value: str, *, own: bool) -> str:
    """Path or query as sent: CloudFront encodes once more what the client encoded.

    Some tools write a log on without that; what decoding makes no URL of was not encoded.
    """
    if "%" not in value:
        return value
    decoded = unquote(value)
    return decoded if own or not _NOT_IN_A_URL.search(decoded) else value


def _span(start: str, end: str) -> int | None:
    """Bytes of a range with an end, such as ``0-99`` or the last ``-100``."""
    if not end:
        return None
    return max(0, int(end) - int(start) + 1) if start else int(end)
