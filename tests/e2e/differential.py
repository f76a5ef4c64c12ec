"""One request sent twice: to a real S3 server itself, and to the proxy in front of it.

``matrix`` gives the requests, ``Twice`` both answers to each of them. Which differences are right
is in the tables of ``test_differential.py``.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import astuple, dataclass, replace
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from hashlib import sha256
from itertools import combinations, product
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import aiohttp
from yarl import URL

from tests.build import OUTSIDE
from tests.conftest import SAMPLES
from tests.s3server import make_bucket, signer_of
from tests.storing import put_in_parts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.s3server import SeaweedFS

BUCKET = "differential"
PART = 5 * 1024 * 1024
"""S3's smallest part but for the last."""
_BYTES = Random(3).randbytes(PART + 5)  # noqa: S311 - content, not a secret

OBJECTS: dict[str, dict[str, Any]] = {
    "empty": {"Body": b""},
    "one byte": {"Body": b"1"},
    "5 MiB": {"Body": _BYTES[:PART], "ContentType": "application/x-xz"},
    "gzip": SAMPLES["packed.json"],
    "aws-chunked": SAMPLES["chunked.json"],
    "described": SAMPLES["described.txt"],
    "odd": {
        "Body": b"metadata that somebody typed by hand",
        "ContentType": 'Text/X-Odd;  q="a;b"',
        "ContentDisposition": "attachment; filename=\"x y.txt\"; filename*=UTF-8''%C3%BC.txt",
        "ContentEncoding": "identity",
        "ContentLanguage": "de, en-x-odd",
        "CacheControl": 'no-transform,max-age=0,  x="y, z"',
        "Metadata": {"uni": "=?UTF-8?B?w7w=?=", "UPPER": "x" * 500},
        "Tagging": "a=b",
        "WebsiteRedirectLocation": "/elsewhere",
    },
    "forbidden": {"Body": b"nobody may read this"},
}  # fmt: skip
"""Kind to the arguments of PutObject; the kind is its key."""
KINDS = (*OBJECTS, "multipart", "missing")
_LARGE = ("5 MiB", "multipart")
_STEPS = {**dict.fromkeys(_LARGE, 3), "missing": 5, "forbidden": 5}

RANGES = {
    "none": "",
    "first byte": "bytes=0-0",
    "from 0 on": "bytes=0-",
    "last byte": "bytes=-1",
    "more than all": "bytes=-{beyond}",
    "whole": "bytes=0-{last}",
    "over the end": "bytes=0-{beyond}",
    "past the end": "bytes={size}-",
    "nothing": "bytes=-0",
    "reversed": "bytes=5-2",
    "several": "bytes=0-0,2-3",
    "several past": "bytes={size}-,{beyond}-",
    "other unit": "items=0-1",
    "no number": "bytes=a-b",
    "no bounds": "bytes=-",
    "in capitals": "Bytes=0-0",
    "spaced": "bytes= 0-0 ",
    "leading zeros": "bytes=000-000",
    "over 64 bits": "bytes=0-99999999999999999999",
    "starts over 64 bits": "bytes=99999999999999999999-",
}
"""Name to the value of Range."""
_BYTE = ("first byte", "last byte", "leading zeros")
"""Ranges of one byte."""

CONDITIONS: dict[str, dict[str, str]] = {
    "none": {},
    "none-match same": {"If-None-Match": "{etag}"},
    "none-match other": {"If-None-Match": '"other"'},
    "none-match weak": {"If-None-Match": "W/{etag}"},
    "none-match weak other": {"If-None-Match": 'W/"other"'},
    "none-match any": {"If-None-Match": "*"},
    "none-match list": {"If-None-Match": '"other", {etag}'},
    "none-match list, weak": {"If-None-Match": '"other", W/{etag}'},
    "none-match others": {"If-None-Match": '"other", "another"'},
    "none-match unquoted": {"If-None-Match": "{bare}"},
    "match same": {"If-Match": "{etag}"},
    "match other": {"If-Match": '"other"'},
    "match any": {"If-Match": "*"},
    "match weak": {"If-Match": "W/{etag}"},
    "match list": {"If-Match": '"other", {etag}'},
    "match others": {"If-Match": '"other", "another"'},
    "match unquoted": {"If-Match": "{bare}"},
    "modified since before": {"If-Modified-Since": "{before}"},
    "modified since then": {"If-Modified-Since": "{modified}"},
    "modified since after": {"If-Modified-Since": "{after}"},
    "modified since asctime": {"If-Modified-Since": "{asctime}"},
    "modified since rfc850": {"If-Modified-Since": "{rfc850}"},
    "modified since nonsense": {"If-Modified-Since": "yesterday"},
    "unmodified since before": {"If-Unmodified-Since": "{before}"},
    "unmodified since then": {"If-Unmodified-Since": "{modified}"},
    "unmodified since after": {"If-Unmodified-Since": "{after}"},
    "unmodified since nonsense": {"If-Unmodified-Since": "yesterday"},
    "if-range same": {"If-Range": "{etag}"},
    "if-range other": {"If-Range": '"other"'},
    "if-range weak": {"If-Range": "W/{etag}"},
    "if-range then": {"If-Range": "{modified}"},
    "if-range before": {"If-Range": "{before}"},
    "if-range after": {"If-Range": "{after}"},
    "if-range nonsense": {"If-Range": "yesterday"},
    "none-match other, modified since then":
        {"If-None-Match": '"other"', "If-Modified-Since": "{modified}"},
    "none-match same, modified since before":
        {"If-None-Match": "{etag}", "If-Modified-Since": "{before}"},
    "none-match unquoted, modified since then":
        {"If-None-Match": "{bare}", "If-Modified-Since": "{modified}"},
    "match same, unmodified since before":
        {"If-Match": "{etag}", "If-Unmodified-Since": "{before}"},
    "match other, unmodified since after":
        {"If-Match": '"other"', "If-Unmodified-Since": "{after}"},
    "match same, none-match same": {"If-Match": "{etag}", "If-None-Match": "{etag}"},
    "match any, none-match any": {"If-Match": "*", "If-None-Match": "*"},
    "unmodified since before, none-match same":
        {"If-Unmodified-Since": "{before}", "If-None-Match": "{etag}"},
    "unmodified since then, modified since then":
        {"If-Unmodified-Since": "{modified}", "If-Modified-Since": "{modified}"},
    "if-range same, match same": {"If-Range": "{etag}", "If-Match": "{etag}"},
    "if-range other, none-match same": {"If-Range": '"other"', "If-None-Match": "{etag}"},
    "if-range then, unmodified since before":
        {"If-Range": "{modified}", "If-Unmodified-Since": "{before}"},
}  # fmt: skip
"""Name to fields; what is in braces is the object's own."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One request of the matrix, by the names of its four coordinates."""

    method: str
    kind: str
    span: str = "none"
    condition: str = "none"

    def but(self, **changed: str) -> Cell:
        """The same request with other coordinates."""
        return replace(self, **changed)


@dataclass(frozen=True, slots=True)
class Said:
    """One answer: names in lower case, a repeated field joined, the body as its digest."""

    status: int
    headers: dict[str, str]
    body: str


def matrix() -> Iterator[Cell]:
    """The cells: all with one coordinate named ``none``, and of the rest every so manieth.

    One of one for GET of a small object, else one of 3 for a large one, of 5 for one that is
    not had, and of 3 times as many for HEAD. The steps share no divisor with the number of
    conditions, so every pair of range and condition is met.
    """
    for number, names in enumerate(product(KINDS, ("GET", "HEAD"), RANGES, CONDITIONS)):
        kind, method, span, condition = names
        step = _STEPS.get(kind, 1) * (3 if method == "HEAD" else 1)
        if "none" in {span, condition} or number % step == 0:
            yield Cell(method, kind, span, condition)


def pairs(cell: Cell) -> set[tuple[tuple[int, str], ...]]:
    """What the cell combines: each two of its coordinates, by number and name."""
    return set(combinations(enumerate(astuple(cell)), 2))


def _bytes_moved(cell: Cell) -> int:
    """0 for a small object, 1 for a byte of a large one, and 2 for all of it."""
    if cell.kind not in _LARGE:
        return 0
    return 1 if cell.span in _BYTE else 2


def sample() -> Iterator[Cell]:
    """Cells of the matrix that together have every pair of two coordinates in it.

    The same ones each time, and as few of the large objects, and of those as few whole ones, as
    that takes.
    """
    cells = list(matrix())
    Random(5).shuffle(cells)  # noqa: S311 - a choice, not a secret
    met: set[tuple[tuple[int, str], ...]] = set()
    for cell in sorted(cells, key=_bytes_moved):
        if not pairs(cell) <= met:
            met |= pairs(cell)
            yield cell


class Twice:
    """Asks the S3 server and the proxy; build it with ``fill``."""

    def __init__(
        self, server: SeaweedFS, port: int, session: aiohttp.ClientSession, known: Mapping[str, Any]
    ) -> None:
        self._session = session
        self._known = known
        self._endpoint = server.endpoint
        self._signed = signer_of(server)
        self._proxy = f"http://127.0.0.1:{port}"
        self._memo: dict[Cell, asyncio.Task[Said]] = {}

    async def direct(self, cell: Cell) -> Said:
        """What S3 says; each cell is asked once."""
        if cell not in self._memo:
            self._memo[cell] = asyncio.ensure_future(self._direct(cell))
        return await self._memo[cell]

    async def _direct(self, cell: Cell) -> Said:
        path = f"/{BUCKET}/{quote(cell.kind)}"
        return await self._ask(cell, self._endpoint + path, self._signed(cell.method, path))

    async def proxied(self, cell: Cell) -> Said:
        """What the proxy says to a client outside AWS."""
        headers = {"Host": "dl.example", "X-Forwarded-For": OUTSIDE}
        return await self._ask(cell, f"{self._proxy}/{quote(cell.kind)}", headers)

    async def _ask(self, cell: Cell, url: str, headers: Mapping[str, str]) -> Said:
        known = self._known.get(cell.kind) or self._known["one byte"]
        fields = {name: value.format(**known) for name, value in CONDITIONS[cell.condition].items()}
        if span := RANGES[cell.span]:
            fields["Range"] = span.format(**known)
        async with self._session.request(
            cell.method,
            URL(url, encoded=True),
            headers={**headers, **fields},
            allow_redirects=False,
        ) as response:
            body = await response.read()
            names = {name.lower() for name in response.headers}
            found = {name: ", ".join(response.headers.getall(name)) for name in sorted(names)}
        return Said(response.status, found, f"{len(body)} bytes, {sha256(body).hexdigest()[:16]}")


def client() -> aiohttp.ClientSession:
    """Adds nothing to a request, and leaves every byte of an answer as it came."""
    return aiohttp.ClientSession(
        auto_decompress=False,
        connector=aiohttp.TCPConnector(limit=0),
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
    )


async def fill(server: SeaweedFS) -> dict[str, dict[str, Any]]:
    """Make the bucket; kind to what its conditions and ranges are written with."""
    async with server.client() as client:
        await make_bucket(client, BUCKET)
        for kind, arguments in OBJECTS.items():
            await client.put_object(Bucket=BUCKET, Key=kind, **arguments)
        parts, kind = (_BYTES[:PART], _BYTES[PART:]), "application/x-tar"
        await put_in_parts(client, parts, Bucket=BUCKET, Key="multipart", ContentType=kind)
        there = [kind for kind in KINDS if kind != "missing"]
        known = {kind: await _known(client, kind) for kind in there}
        await client.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(_NOBODY_READS))
    return known


_NOBODY_READS = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:GetObject",
            "Resource": f"arn:aws:s3:::{BUCKET}/forbidden",
        }
    ],
}


async def _known(client: Any, key: str) -> dict[str, Any]:
    head = await client.head_object(Bucket=BUCKET, Key=key)
    raw = head["ResponseMetadata"]["HTTPHeaders"]
    date, size = parsedate_to_datetime(raw["last-modified"]), head["ContentLength"]
    return {
        "etag": raw["etag"],
        "bare": raw["etag"].strip('"'),
        "modified": raw["last-modified"],
        "before": format_datetime(datetime(2001, 9, 9, tzinfo=UTC), usegmt=True),
        "after": format_datetime(datetime(2037, 10, 21, tzinfo=UTC), usegmt=True),
        "asctime": date.strftime("%a %b %d %H:%M:%S %Y"),
        "rfc850": date.strftime("%A, %d-%b-%y %H:%M:%S GMT"),
        "size": size,
        "last": max(size - 1, 0),
        "beyond": size + 7,
    }
