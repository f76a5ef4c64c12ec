"""Writes records as log files: CloudFront's W3C, JSON and Parquet."""

from __future__ import annotations

import gzip
import io
import json
from base64 import b64encode
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from functools import lru_cache, partial
from hashlib import sha512
from itertools import chain
from typing import TYPE_CHECKING, cast

from tests.analysis.made_logs import DAY, FIRST_SECOND, Mixed, Record, logged, mixed
from tests.analysis.made_story import Story, story

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

FIELDS = [
    "date",
    "time",
    "x-edge-location",
    "sc-bytes",
    "c-ip",
    "cs-method",
    "cs(Host)",
    "cs-uri-stem",
    "sc-status",
    "cs(Referer)",
    "cs(User-Agent)",
    "cs-uri-query",
    "cs(Cookie)",
    "x-edge-result-type",
    "x-edge-request-id",
    "x-host-header",
    "cs-protocol",
    "cs-bytes",
    "time-taken",
    "x-forwarded-for",
    "ssl-protocol",
    "ssl-cipher",
    "x-edge-response-result-type",
    "cs-protocol-version",
    "fle-status",
    "fle-encrypted-fields",
    "c-port",
    "time-to-first-byte",
    "x-edge-detailed-result-type",
    "sc-content-type",
    "sc-content-len",
    "sc-range-start",
    "sc-range-end",
]
"""The 33 fields of the standard log; with the client's network, ``asn`` follows."""
KINDS = ("w3c", "w3c-asn", "json", "parquet")


_NAMES = (*FIELDS, "asn")
_ODD = int.from_bytes(sha512(b"request id").digest()[:41], "big") | 1


@lru_cache(1 << 12)
def _agent(text: str, times: int) -> str:
    for _ in range(times):
        text = logged(text)
    return text or "-"


@lru_cache(1 << 12)
def _minute(minute: int) -> str:
    return datetime.fromtimestamp(minute * 60, UTC).strftime("%Y-%m-%d\t%H:%M:")


def _request_id(record: Record, number: int) -> str:
    """56 characters that compress as badly as CloudFront's."""
    mixed_up = (number << 32 | record.time) * _ODD & (1 << 328) - 1
    return b64encode(mixed_up.to_bytes(41, "big")).decode()


def w3c_line(record: Record, number: int, *, asn: bool = False) -> str:
    """One line, without its end. Ports and times differ from line to line, as CloudFront's do.

    Args:
        record: The request.
        number: Makes the request id.
        asn: Whether the 34th field is the client's network.
    """
    minute, second = divmod(record.time, 60)
    size, length = record.bytes, "-" if record.length < 0 else str(record.length)
    start = "-" if record.start < 0 else str(record.start)
    end = "-" if record.end < 0 else str(record.end)
    query = logged(record.query) if record.query else "-"
    cookie = logged(record.cookie) if record.cookie else "-"
    result = record.result
    noise = (number * 2654435761 ^ record.time * 40503) & 0xFFFFFFFF
    taken = size / 30_000_000 + 0.001 + (noise >> 16) / 500_000
    port, first_byte = 1024 + noise % 64512, min(taken, taken / 2 + 0.02)
    sent = 150 + len(record.object.sent) + len(record.agent)
    return (
        f"{_minute(minute)}{second:02}\t{record.edge}\t{size}\t{record.client or '-'}\t"
        f"{record.method}\td111111abcdef8.cloudfront.net\t{record.object.logged}\t"
        f"{record.status:03}\t-\t{_agent(record.agent, record.encoded)}\t{query}\t{cookie}\t"
        f"{result}\t{_request_id(record, number)}\t{record.host}\thttps\t{sent}\t{taken:.3f}\t-\t"
        f"TLSv1.3\tTLS_AES_128_GCM_SHA256\t{result}\tHTTP/1.1\t-\t-\t{port}\t{first_byte:.3f}\t"
        f"{result}\tapplication/octet-stream\t{length}\t{start}\t{end}"
        + (f"\t{record.asn}" if asn else "")
    )


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write lines, compressed if the name ends in .gz."""
    with path.open("wb") as raw:
        packed = gzip.GzipFile("", "wb", 4, raw, 0) if path.suffix == ".gz" else raw
        with io.TextIOWrapper(cast("io.BufferedWriter", packed), "ascii", newline="\n") as file:
            file.writelines(line + "\n" for line in lines)


def w3c(path: Path, records: Iterable[Record], *, asn: bool = False) -> None:
    """Write a W3C file."""
    fields = [*FIELDS, "asn"] if asn else FIELDS
    lines = (w3c_line(record, number, asn=asn) for number, record in enumerate(records, 1))
    _write_lines(path, chain(["#Version: 1.0", f"#Fields: {' '.join(fields)}"], lines))


def json_lines(path: Path, records: Iterable[Record]) -> None:
    """Write a v2 file of JSON objects."""
    rows = (w3c_line(record, n, asn=True).split("\t") for n, record in enumerate(records, 1))
    _write_lines(path, (json.dumps(dict(zip(_NAMES, row, strict=True))) for row in rows))


def parquet(path: Path, records: Iterable[Record]) -> None:
    """Write a v2 Parquet file, its columns named as CloudFront does."""
    import pyarrow as pa  # noqa: PLC0415 - heavy, and only this format needs it
    import pyarrow.parquet as pq  # noqa: PLC0415

    rows = [w3c_line(record, n, asn=True).split("\t") for n, record in enumerate(records, 1)]
    names = [name.replace("(", "_").replace(")", "").replace("-", "_").lower() for name in _NAMES]
    columns = list(zip(*rows, strict=True)) or [()] * len(names)
    pq.write_table(pa.table([pa.array(c, pa.string()) for c in columns], names=names), path)


WRITERS: dict[str, tuple[str, Callable[[Path, Iterable[Record]], None]]] = {
    "w3c": (".gz", w3c),
    "w3c-asn": (".gz", partial(w3c, asn=True)),
    "json": (".json.gz", json_lines),
    "parquet": (".parquet", parquet),
}
"""Suffix and writer of each kind. ``w3c`` is the standard log, which has no ``asn``."""


def records_of(spec: Mixed | Story, file: int) -> Iterable[Record]:
    """The records of one file."""
    return mixed(spec, file) if isinstance(spec, Mixed) else story(spec, file)


def write_file(folder: Path, spec: Mixed | Story, kind: str, file: int) -> Path:
    """Write one file; its name is CloudFront's, and has the hour in which it begins."""
    suffix, writer = WRITERS[kind]
    begin = FIRST_SECOND + spec.days * DAY * file // spec.files
    if isinstance(spec, Story):
        begin += spec.first * DAY
    hour = datetime.fromtimestamp(begin, UTC).strftime("%Y-%m-%d-%H")
    path = folder / f"E2EXAMPLE.{hour}.{file:08x}{suffix}"
    writer(path, records_of(spec, file))
    return path


def write(folder: Path, spec: Mixed | Story, kind: str = "w3c", processes: int = 1) -> list[Path]:
    """Write all files.

    Args:
        folder: Where to; it is made.
        spec: What is written.
        kind: One of ``KINDS``.
        processes: How many write at once.
    """
    folder.mkdir(parents=True, exist_ok=True)
    one = partial(write_file, folder, spec, kind)
    if processes == 1:
        return [one(file) for file in range(spec.files)]
    with ProcessPoolExecutor(processes) as pool:
        return list(pool.map(one, range(spec.files)))
