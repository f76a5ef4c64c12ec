"""The access log: records gather, lines go out together.

In: one ``Record`` an answered request. Out: JSON or W3C lines on a file descriptor.
Refuses to wait for whoever reads them, and to write a query string: it may be a signature.
"""

from __future__ import annotations

import asyncio
import json
import os
import queue
import re
import select
import stat
import threading
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Literal, NamedTuple

from proxy.decide.model import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_WAITING = 100_000
"""Lines kept while standard output takes none; more are dropped and counted."""

_PIPE_BUF = 4096  # POSIX: writes up to PIPE_BUF are not mixed with other processes' writes
_FROM_CLIENT = frozenset({"method", "host", "path", "user_agent", "referer", "range"})
_W3C_UNSAFE = re.compile(rb"[\x00-\x20\x7f-\xff\"#%'<>\[\\\]^`{|}~]")

W3C_FIELDS = (
    "date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status "
    "cs(Referer) cs(User-Agent) cs-uri-query x-edge-result-type x-host-header cs-protocol "
    "time-taken x-forwarded-for cs-protocol-version sc-range-start sc-range-end "
    "x-nearbucket-action x-nearbucket-region x-nearbucket-reason"
)
"""CloudFront's names for the fields there are, then our own three."""


class Record(NamedTuple):
    """One answered request.

    Attributes:
        time: Unix time of the end of the answer, in seconds.
        client: Client address, or None.
        peer: Socket peer, or None.
        method: Method.
        host: Host header as sent.
        path: Path as sent, without the query.
        status: Status of the answer; 0 when the client left before any.
        bytes: Body bytes handed to the connection.
        seconds: From the request's head to the end of the answer.
        action: redirect, stream or refuse.
        region: Client's region, or UNKNOWN.
        reason: The decision's reason.
        site: Site name, or None when refused.
        user_agent: User-Agent as sent.
        referer: Referer, without its query.
        range: Range as sent.
        protocol: HTTP version, such as HTTP/1.1.
    """

    time: float
    client: str | None
    peer: str | None
    method: str
    host: str | None
    path: str
    status: int
    bytes: int
    seconds: float
    action: str
    region: str
    reason: str
    site: str | None
    user_agent: str | None
    referer: str | None
    range: str | None
    protocol: str


def json_line(record: Record) -> bytes:
    """One JSON object; fields that are not there are left out."""
    fields = {name: value for name, value in zip(record._fields, record, strict=True)
              if value is not None}  # fmt: skip
    fields["time"] = datetime.fromtimestamp(record.time, UTC).isoformat(timespec="milliseconds")
    fields["seconds"] = round(record.seconds, 6)
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


def w3c_line(record: Record, scheme: str = "http") -> bytes:
    """One TAB-separated line in the order of ``W3C_FIELDS``, encoded as CloudFront does."""
    moment = datetime.fromtimestamp(record.time, UTC)
    start, end = _range_bounds(record.range)
    columns = (
        f"{moment:%Y-%m-%d}", f"{moment:%H:%M:%S}", None, record.bytes, record.client,
        record.method, record.host, record.path, record.status, record.referer,
        record.user_agent, None, None, record.host, scheme, f"{record.seconds:.3f}", None,
        record.protocol, start, end, record.action,
        None if record.region == UNKNOWN else record.region, record.reason,
    )  # fmt: skip
    return b"\t".join(_w3c(column) for column in columns) + b"\n"


def _range_bounds(value: str | None) -> tuple[str | None, str | None]:
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", value or "")
    return (found[1] or None, found[2] or None) if found else (None, None)


def _w3c(value: str | int | None) -> bytes:
    if value is None or value == "":
        return b"-"
    raw = str(value).encode("utf-8", "surrogateescape")
    return _W3C_UNSAFE.sub(lambda found: b"%%%02X" % found[0][0], raw)


class AccessLog:
    """Collects records of one worker and has them written out on each ``flush``.

    Lines are made and written in a thread of its own: whoever reads them may be slow, or
    gone, and neither serving nor the end of the process waits for that.
    """

    def __init__(
        self,
        form: Literal["json", "w3c", "off"],
        dropped: Callable[[int], None] = lambda _count: None,
        descriptor: int = 1,
        scheme: str = "http",
    ) -> None:
        """Args: the form, who counts dropped lines, the file descriptor, our own scheme."""
        w3c = partial(w3c_line, scheme=scheme)
        lines: dict[str, Callable[[Record], bytes] | None]
        lines = {"json": json_line, "w3c": w3c, "off": None}
        self._line = lines[form]
        self._records: list[Record] = []
        self._dropped = dropped
        self._descriptor = descriptor
        self._header = f"#Version: 1.0\n#Fields: {W3C_FIELDS}\n".encode() if form == "w3c" else b""
        self._batches: queue.SimpleQueue[list[Record]] = queue.SimpleQueue()
        self._idle = threading.Event()
        self._idle.set()
        self._handed = 0
        self._lost = 0
        if self._line is not None:
            threading.Thread(target=self._run, name="access-log", daemon=True).start()

    @property
    def enabled(self) -> bool:
        """Whether records are worth making."""
        return self._line is not None

    def add(self, record: Record) -> None:
        """Keep one record for the next flush."""
        if self._line is None:
            return
        if len(self._records) < MAX_WAITING:
            self._records.append(record)
        else:
            self._dropped(1)

    def flush(self) -> None:
        """Hand what has gathered to the thread, unless it is still busy with the last."""
        if self._line is None or not self._idle.is_set():
            return
        lost, self._lost = self._lost, 0
        if lost:
            self._dropped(lost)
        if self._records or self._header:
            self._idle.clear()
            self._handed = len(self._records)
            self._batches.put(self._records)
            self._records = []

    async def close(self, patience: float = 2.0) -> None:
        """Write everything that is left; what is not taken in time counts as dropped."""
        for _ in range(2):  # what is being written, then the rest
            idle = asyncio.to_thread(self._idle.wait, patience)
            if not await idle:
                self._dropped(len(self._records) + self._handed)
                self._records = []
                return
            self.flush()

    def _run(self) -> None:
        while True:
            records = self._batches.get()
            lines = [_fitted(self._line, record) for record in records] if self._line else []
            header, self._header = self._header, b""
            lost = _write(self._descriptor, [header, *lines] if header else lines)
            self._lost += min(lost, len(records))
            self._idle.set()


def _fitted(line: Callable[[Record], bytes], record: Record) -> bytes:
    """A line that a pipe takes whole: what the client sent is cut when it is too long."""
    made = line(record)
    for most in (1000, 300, 100, 40):
        if len(made) <= _PIPE_BUF:
            break
        made = line(record._replace(**{
            name: value[:most]
            for name, value in record._asdict().items()
            if name in _FROM_CLIENT and value
        }))  # fmt: skip
    return made


def _write(descriptor: int, lines: list[bytes]) -> int:
    """Write whole lines, in pieces that no other worker's can get into.

    Returns:
        How many lines could not be written.
    """
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return len(lines)
    limit = _PIPE_BUF if stat.S_ISFIFO(mode) else 1 << 20
    piece, held, written = b"", 0, 0
    for line in lines:
        if piece and len(piece) + len(line) > limit:
            if not _write_all(descriptor, piece):
                return len(lines) - written
            piece, held, written = b"", 0, written + held
        piece, held = piece + line, held + 1
    return 0 if _write_all(descriptor, piece) else len(lines) - written


def _write_all(descriptor: int, data: bytes) -> bool:
    """Write all of it, waiting for the reader; False when there is none any more."""
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:  # somebody made the shared descriptor non-blocking
            select.select((), (descriptor,), ())
        except OSError:  # serving goes on without a log
            return False
    return True
