"""Reads an S3 Inventory report in CSV, from a bucket or from files, one page at a time.

Sources: S3 user guide, "Amazon S3 Inventory list" and "Locating your inventory list".
"""

from __future__ import annotations

import asyncio
import csv
import json
import re
import time
import zlib
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote_plus

import aiohttp

from nearbucket.config.buckets import S3_SCHEME
from nearbucket.config.regular_file import expanded, open_regular_file
from nearbucket.errors import ConfigError
from nearbucket.replicas.object_version import CatalogBatch
from nearbucket.s3.bucket_location import BucketLocation
from nearbucket.s3.error_codes import ErrorKind
from nearbucket.s3.sdk.bucket_listing import pages_of
from nearbucket.s3.sdk.sdk_client import FAULTS, as_ours, code_of, kind_of, opened
from nearbucket.s3.unreadable import maybe_archived, unreadable_by_report

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterator,
        Callable,
        Iterable,
        Iterator,
        Mapping,
        Sequence,
    )

    from nearbucket.config.buckets import Bucket
    from nearbucket.errors import ProxyError
    from nearbucket.replicas.object_version import CatalogEntry

    _Pieces = Callable[[str], AsyncGenerator[bytes]]

_PIECE = 1024**2
"""Bytes of a file in one request, so that no connection is open while the reader waits."""

_UNZIPPED = 128 * 1024
"""Bytes of a page, that is 600 to 1,000 rows."""

_MANIFEST_BYTES = 32 * 1024**2
"""A manifest has about 200 bytes a file; anything larger is not one."""

_NEEDED = ("Key", "Size", "ETag", "LastModifiedDate")
_OF_TARGETS = ("StorageClass", "EncryptionStatus")
"""Columns that show whether clients can read an object."""
_TIER = "IntelligentTieringAccessTier"
_CURRENT = {"IsLatest": {"true"}, "IsDeleteMarker": {"false", ""}}
"""What a row of a current object has in the columns that only a report of all versions has."""

_GZIP = 16 + zlib.MAX_WBITS
_DATED = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\dZ")
"""Name of a folder that holds the manifest of one report."""

_OF_THE_REPORT = (ErrorKind.NO_BUCKET, ErrorKind.NO_OBJECT, ErrorKind.REPLACED, ErrorKind.EMPTY)
"""Errors whose usual fixes, for the commands, do not help with a report."""

_NOT_ALLOWED = "the credentials need s3:GetObject, and kms:Decrypt where KMS encrypts it"

_NOT_LISTED = (
    "its credentials need s3:ListBucket (and expected_owner has to be right), or "
    "inventory: an S3 Inventory report of the bucket"
)


def not_listed(error: Exception, location: BucketLocation) -> ProxyError:
    """The error of a bucket that cannot be listed, with the advice for a warm-up."""
    if kind_of(error) is not ErrorKind.NOT_ALLOWED:
        return as_ours(error, location)
    what = f"{location.name}: bucket {location} cannot be listed"
    return ConfigError(f"{what}: {code_of(error)}; {_NOT_LISTED}")


async def report_of(
    location: BucketLocation, barriers: frozenset[str] = frozenset()
) -> AsyncGenerator[CatalogBatch]:
    """Every current object below the prefix of an entry, by its ``inventory``.

    Args:
        location: The bucket.
        barriers: Objects that may be unreadable for one of these reasons are left out.

    Raises:
        ProxyError: The manifest or a data file cannot be read; earlier pages are valid.
    """
    url = location.entry.object_base_url
    async with _opened(location) as (manifest, pieces_of):
        if barriers:
            manifest.check_columns(_OF_TARGETS, location)
        seen = time.monotonic() - max(0.0, time.time() - manifest.created)
        for file in manifest.files:
            try:
                async with aclosing(pieces_of(file)) as pieces:
                    async for lines in _lines(_unzipped(pieces)):
                        objects = _objects(lines, manifest, location.entry.prefix, barriers)
                        yield CatalogBatch(url, tuple(objects), seen)
                        await asyncio.sleep(0)
            except (ValueError, csv.Error, zlib.error) as error:
                raise ConfigError(
                    f"{location.name}.inventory: {file} is damaged: {error}"
                ) from error


async def _unzipped(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The content in parts of bounded size, however well it was compressed."""
    unzip = zlib.decompressobj(_GZIP)
    async for piece in pieces:
        left, part = piece, b""
        while left or len(part) == _UNZIPPED:
            part = unzip.decompress(left, _UNZIPPED)
            yield part
            left = unzip.unconsumed_tail
            if unzip.eof and unzip.unused_data:  # a file of several members (RFC 1952, 2.2)
                left, unzip = unzip.unused_data, zlib.decompressobj(_GZIP)
    if not unzip.eof:
        raise ValueError("it ends early")


async def _lines(parts: AsyncIterator[bytes]) -> AsyncIterator[list[bytes]]:
    """Whole lines, each of them a row, since keys are URL-encoded."""
    rest = b""
    async for part in parts:
        *lines, rest = (rest + part).split(b"\n")
        if len(rest) > _UNZIPPED:
            raise ValueError("it has no lines")
        yield lines
    yield [rest]


def _objects(
    lines: Iterable[bytes], manifest: _Manifest, prefix: str, barriers: frozenset[str]
) -> Iterator[CatalogEntry]:
    """Current objects below a prefix.

    Keys are URL-encoded, a space as ``+`` (user guide, "Key name"; cloud-custodian's issue 1997
    shows one).
    """
    columns = manifest.columns
    key_at, size_at, etag_at, modified_at = (columns.index(name) for name in _NEEDED)
    checks = [(columns.index(name), texts) for name, texts in _CURRENT.items() if name in columns]
    for row in csv.reader((line.decode() for line in lines), strict=True):
        if row and len(row) != len(columns):
            raise ValueError(f"a row has {len(row)} columns instead of {len(columns)}")
        if row and all(row[column].lower() in texts for column, texts in checks):
            key = unquote_plus(row[key_at], errors="strict")
            if key == prefix or not key.startswith(prefix):
                continue
            if barriers and _may_be_unreadable(dict(zip(columns, row, strict=True)), barriers):
                continue
            size, etag = int(row[size_at]), row[etag_at].strip('"')
            modified = datetime.fromisoformat(row[modified_at]).timestamp()
            yield key.removeprefix(prefix), size, etag, modified


def _may_be_unreadable(row: Mapping[str, str], barriers: frozenset[str]) -> bool:
    storage_class, encryption = (row[name] for name in _OF_TARGETS)
    archived = maybe_archived(storage_class, row.get(_TIER, ""))
    return archived or unreadable_by_report(encryption) in barriers


@dataclass(frozen=True, slots=True)
class _Manifest:
    """The contents of a ``manifest.json``."""

    bucket: str
    created: float
    files: tuple[str, ...]
    columns: Sequence[str]

    @classmethod
    def of(cls, data: bytes, source: str) -> Self:
        """Read a manifest; raises ConfigError unless it is of a CSV report on bucket ``source``."""
        try:
            found = json.loads(data)
            lists, format_ = str(found["sourceBucket"]), str(found["fileFormat"])
            schema = str(found["fileSchema"])
            bucket = str(found["destinationBucket"]).rpartition(":")[2]  # an ARN
            created = int(found["creationTimestamp"]) / 1000  # from milliseconds
            files = tuple(str(file["key"]) for file in found["files"])
        except (ValueError, TypeError, KeyError) as error:
            raise ConfigError(f"not the manifest of an S3 Inventory report: {error!r}") from error
        if format_ != "CSV":
            raise ConfigError(
                f"fileFormat is {format_}, and only CSV can be read; choose CSV in the inventory "
                "configuration, or remove inventory: and the bucket is listed"
            )
        if lists != source:
            raise ConfigError(f"a report about bucket {lists}, not {source}")
        columns = [name.strip() for name in schema.split(",")]
        if missing := [name for name in _NEEDED if name not in columns]:
            raise ConfigError(
                f"the report has no column {' and no '.join(missing)}; add it to the fields of "
                "the inventory configuration"
            )
        return cls(bucket, created, files, columns)

    def check_columns(self, names: Sequence[str], location: BucketLocation) -> None:
        """Raise ConfigError unless the report has these columns."""
        if missing := [name for name in names if name not in self.columns]:
            raise ConfigError(
                f"{location.name}.inventory: the report has no column "
                f"{' and no '.join(missing)}, which shows whether clients can read a copy; add it "
                "to the fields of the inventory configuration"
            )


@asynccontextmanager
async def _opened(location: BucketLocation) -> AsyncIterator[tuple[_Manifest, _Pieces]]:
    """The manifest of a report, and a function that reads a data file by its key."""
    where, name = location.entry.inventory or "", f"{location.name}.inventory"
    if not where.startswith(S3_SCHEME):
        path = expanded(Path(where))
        data = await _whole(_of_file(path, name))
        # a report that was copied from S3 has all its files in one folder
        yield _manifest(data, where, location), lambda key: _of_file(path.parent / _last(key), name)
        return
    bucket, _, key = where.removeprefix(S3_SCHEME).partition("/")
    report = BucketLocation(name, _entry(location.entry, bucket), location.credentials)
    async with AsyncExitStack() as stack:
        try:
            client = await stack.enter_async_context(opened(report))
        except FAULTS as error:  # of a profile that is not there
            raise as_ours(error, report) from error
        key = await _newest(client, report, key) if key.endswith("/") else key
        data = await _whole(_of_object(client, report, key))
        manifest = _manifest(data, f"{S3_SCHEME}{bucket}/{key}", location)
        report = replace(report, entry=_entry(location.entry, manifest.bucket))
        yield manifest, partial(_of_object, client, report)


def _entry(entry: Bucket, bucket: str) -> Bucket:
    """The report's own bucket; it is in the region of the bucket it lists (user guide)."""
    return entry.model_copy(update={"bucket": bucket, "prefix": ""})


def _last(key: str) -> str:
    return key.rpartition("/")[2]


def _manifest(data: bytes, where: str, location: BucketLocation) -> _Manifest:
    try:
        return _Manifest.of(data, location.entry.bucket)
    except ConfigError as error:
        raise ConfigError(f"{location.name}.inventory: {where}: {error}") from error


async def _whole(pieces: AsyncIterator[bytes]) -> bytes:
    """A manifest; reads no more of a larger file than makes it invalid."""
    data = b""
    async for piece in pieces:
        data += piece
        if len(data) > _MANIFEST_BYTES:
            break
    return data


async def _newest(client: Any, report: BucketLocation, folder: str) -> str:
    """Key of the newest manifest below the folder of an inventory configuration."""
    found: list[str] = []
    async for page in pages_of(client, report, not_listed, Prefix=folder, Delimiter="/"):
        found += (name for name in page.prefixes if _DATED.fullmatch(_last(name[:-1])))
    if not found:
        raise ConfigError(
            f"{report.name}: s3://{report}/{folder} holds no report, that is no folder such as "
            "2026-01-31T01-00Z/"
        )
    return f"{max(found)}manifest.json"


async def _of_object(client: Any, report: BucketLocation, key: str) -> AsyncGenerator[bytes]:
    """The pieces of an object, all of one version."""
    start, size, same = 0, 1, dict[str, str]()
    while start < size:
        asked = {**report.arguments(key), "Range": f"bytes={start}-{start + _PIECE - 1}", **same}
        try:
            answer = await client.get_object(**asked)
            async with answer["Body"] as body:
                piece = await body.read()
        except (*FAULTS, aiohttp.ClientError) as error:
            raise _not_read(error, report, key) from error
        yield piece
        start, size = start + len(piece), int(answer["ContentRange"].rpartition("/")[2])
        same = {"IfMatch": answer["ETag"]}


def _not_read(error: Exception, report: BucketLocation, key: str) -> ProxyError:
    kind = kind_of(error)
    if kind is ErrorKind.NOT_ALLOWED:
        why = _NOT_ALLOWED
    elif kind in _OF_THE_REPORT:
        why = kind.text
    elif isinstance(error, FAULTS):
        return as_ours(error, report)
    else:
        why = str(error)
    return ConfigError(f"{report.name}: s3://{report}/{key} cannot be read: {why}")


async def _of_file(path: Path, name: str) -> AsyncGenerator[bytes]:
    try:
        with await asyncio.to_thread(open_regular_file, path) as file:
            while piece := await asyncio.to_thread(file.read, _PIECE):
                yield piece
    except OSError as error:
        raise ConfigError(f"{name}: {path} cannot be read: {error.strerror}") from error
