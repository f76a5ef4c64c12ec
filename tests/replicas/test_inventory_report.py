"""S3 Inventory reports, read from a bucket and from a folder, or refused."""

from __future__ import annotations

import asyncio
import csv
import gzip
import io
import itertools
import json
import time
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

import pytest

from nearbucket.cli.demo.seaweedfs import make_bucket
from nearbucket.errors import ConfigError, ProxyError
from nearbucket.replicas import inventory_report as inventory
from nearbucket.replicas.inventory_report import report_of
from nearbucket.s3.bucket_location import BucketLocation
from nearbucket.s3.sdk.sdk_client import opened
from nearbucket.s3.unreadable import Unreadable
from tests.storing import store

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from tests.conftest import LocalS3

CREATED = 1_790_000_000.0
"""When S3 began to write the reports."""

WRITTEN, MODIFIED = "2026-01-01T00:00:00.000Z", 1_767_225_600.0
"""When all objects were uploaded, in a report and as Unix time."""

CURRENT = "Bucket, Key, Size, LastModifiedDate, ETag, StorageClass"
VERSIONS = "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag"
BUCKET = "reports"
_NUMBERS = itertools.count()


def packed(rows: Iterable[Sequence[object]]) -> bytes:
    """A data file as S3 writes it: every value in quotes, no header."""
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    return gzip.compress(text.getvalue().encode(), mtime=0)


def row(key: str, size: int = 1, etag: str = "e") -> tuple[object, ...]:
    return "listed", quote_plus(key, safe="/"), size, WRITTEN, etag, "STANDARD"


def manifest(keys: Iterable[str], bucket: str, **changed: Any) -> bytes:
    """manifest.json of a report about the bucket ``listed``."""
    return json.dumps(
        {
            "sourceBucket": "listed",
            "destinationBucket": f"arn:aws:s3:::{bucket}",
            "version": "2016-11-30",
            "creationTimestamp": str(int(CREATED * 1000)),
            "fileFormat": "CSV",
            "fileSchema": CURRENT,
            "files": [{"key": key, "size": 1, "MD5checksum": "0"} for key in keys],
            **changed,
        }
    ).encode()


@dataclass
class Shelf:
    """A new folder for reports, in a bucket or on disk.

    Attributes:
        base: The folder's keys begin with this.
        folder: The one on disk; None in a bucket.
    """

    s3: LocalS3
    base: str
    folder: Path | None

    @property
    def where(self) -> str:
        """The manifest in settings."""
        if self.folder:
            return str(self.folder / "manifest.json")
        return f"s3://{BUCKET}/{self.base}2026-01-01T01-00Z/manifest.json"

    async def put(self, key: str, data: bytes) -> None:
        if self.folder:
            (self.folder / key.rpartition("/")[2]).write_bytes(data)
        else:
            await store(self.s3.server, BUCKET, {key: data})

    async def store(self, *data: bytes, day: int = 1, **changed: Any) -> None:
        """Store a whole report."""
        keys = [f"{self.base}data/{day}-{number}.csv.gz" for number in range(len(data))]
        for key, each in zip(keys, data, strict=True):
            await self.put(key, each)
        said = manifest(keys, BUCKET, **changed)
        await self.put(f"{self.base}2026-01-{day:02}T01-00Z/manifest.json", said)

    def place(self, where: str | None = None, **entry: Any) -> BucketLocation:
        made = self.s3.entry("listed", inventory=where or self.where, **entry)
        return BucketLocation("sites.0.origin", made, made.credentials)

    async def read(self, where: str | None = None, **entry: Any) -> list[tuple[str, int, str]]:
        found: list[tuple[str, int, str]] = []
        async for page in report_of(self.place(where, **entry)):
            age = time.time() - CREATED
            assert time.monotonic() - page.seen == pytest.approx(max(0, age), abs=1)
            assert {modified for *_, modified in page.objects} <= {MODIFIED}
            found += [each[:3] for each in page.objects]
        return found


@pytest.fixture(scope="session")  # as long as the server: a module's tests may be split
@cache  # pytest registers the fixtures of a module twice when arguments name it twice
def with_buckets(s3: LocalS3) -> LocalS3:
    async def make() -> None:
        async with s3.server.client() as client:
            await make_bucket(client, BUCKET)
            await make_bucket(client, f"{BUCKET}-copy")

    asyncio.run(make())
    return s3


@pytest.fixture(params=["bucket", "folder"])
def shelf(request: pytest.FixtureRequest, with_buckets: LocalS3, tmp_path: Path) -> Shelf:
    base = f"inv-{next(_NUMBERS)}/listed/daily/"
    return Shelf(with_buckets, base, tmp_path if request.param == "folder" else None)


async def test_all_objects_of_all_files_are_read(shelf: Shelf) -> None:
    rows = [row(f"pack-{number:05}.tar.gz", number, f"{number:032x}") for number in range(1000)]
    await shelf.store(packed(rows[:600]), packed(rows[600:]))
    assert await shelf.read() == [(each[1], each[2], each[4]) for each in rows]


@pytest.mark.parametrize("shelf", ["bucket"], indirect=True)
async def test_the_destination_bucket_holds_the_data_wherever_the_manifest_is(shelf: Shelf) -> None:
    other = f"{BUCKET}-copy"
    await shelf.store(packed([row("a")]))
    said = manifest([f"{shelf.base}data/1-0.csv.gz"], BUCKET)
    await store(shelf.s3.server, other, {"manifest.json": said})
    assert await shelf.read(f"s3://{other}/manifest.json") == [("a", 1, "e")]


@pytest.mark.parametrize("shelf", ["bucket"], indirect=True)
async def test_of_a_folder_the_newest_report_is_read(shelf: Shelf) -> None:
    for day, key in ((1, "old"), (9, "newest"), (2, "newer")):
        await shelf.store(packed([row(key)]), day=day)
    await shelf.put(f"{shelf.base}hive/dt=2026-01-09-01-00/symlink.txt", b"")
    assert await shelf.read(f"s3://{BUCKET}/{shelf.base}") == [("newest", 1, "e")]
    with pytest.raises(ConfigError, match=rf"s3://{BUCKET}/none/ holds no report"):
        await shelf.read(f"s3://{BUCKET}/none/")


KEYS = ["a b.txt", "a+b.txt", "a%20b.txt", "ünï/€.gz", 'quo"te', "com,ma", "new\nline", "%", "日本"]


async def test_keys_are_decoded_as_s3_encodes_them(shelf: Shelf) -> None:
    await shelf.store(packed([row(key) for key in KEYS]))
    assert [key for key, *_ in await shelf.read()] == KEYS


async def test_a_space_may_be_encoded_either_way(shelf: Shelf) -> None:
    await shelf.store(packed([("listed", "a%20b+c%2Bd", 1, WRITTEN, "e", "")]))
    assert await shelf.read() == [("a b c+d", 1, "e")]


async def test_only_current_versions_count(shelf: Shelf) -> None:
    rows = [
        ("listed", "now", "v2", "true", "false", "2", WRITTEN, "new"),
        ("listed", "now", "v1", "false", "false", "1", WRITTEN, "old"),
        ("listed", "gone", "v4", "true", "true", "", "", ""),
        ("listed", "gone", "v3", "false", "false", "3", "", "was"),
    ]
    await shelf.store(packed(rows), fileSchema=VERSIONS)
    assert await shelf.read() == [("now", 2, "new")]


async def test_only_the_folder_of_the_entry_counts_and_not_its_own_entry(shelf: Shelf) -> None:
    await shelf.store(packed([row("dl/"), row("dl/a"), row("dl/b/c"), row("dlx/a"), row("a")]))
    assert [key for key, *_ in await shelf.read(prefix="dl")] == ["a", "b/c"]


async def test_a_file_of_several_gzip_members_is_read_whole(shelf: Shelf) -> None:
    await shelf.store(packed([row("a")]) + packed([row("b")]) + packed([]))
    assert [key for key, *_ in await shelf.read()] == ["a", "b"]


async def test_a_file_is_read_in_pieces(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "_PIECE", 100)
    rows = [row(f"pack-{number}", number, f"{number**9:032x}") for number in range(200)]
    await shelf.store(packed(rows))
    assert len(await shelf.read()) == 200


async def test_pages_are_small_however_well_a_file_is_packed_and_the_loop_goes_on_between_them(
    shelf: Shelf,
) -> None:
    await shelf.store(packed([row(f"{number}{'x' * 900}") for number in range(2_000)]))
    loop = asyncio.get_running_loop()
    sizes: list[int] = []
    turns: list[int] = []
    async for page in report_of(shelf.place()):
        assert len(turns) == len(sizes)
        sizes.append(len(page.objects))
        loop.call_soon(turns.append, len(sizes))
    assert sum(sizes) == 2_000
    assert max(sizes) < 200


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"fileFormat": "ORC"}, "fileFormat is ORC, and only CSV can be read; choose CSV"),
        ({"fileFormat": "Parquet"}, "fileFormat is Parquet, .* or remove inventory:"),
        ({"sourceBucket": "other"}, "a report about bucket other, not listed"),
        (
            {"fileSchema": "Key, Size, LastModifiedDate"},
            "no column ETag; add it to the fields of the inv",
        ),
        ({"fileSchema": "Key, LastModifiedDate"}, "no column Size and no ETag"),
        ({"fileSchema": "Key, Size, ETag"}, "no column LastModifiedDate; add"),
        ({"files": None}, "not the manifest of an S3 Inventory report"),
        ({"creationTimestamp": "now"}, "not the manifest of an S3 Inventory report"),
    ],
)
async def test_a_report_that_cannot_be_used_is_refused(
    shelf: Shelf, changed: dict[str, Any], says: str
) -> None:
    await shelf.store(packed([row("a")]), **changed)
    with pytest.raises(ConfigError, match=rf"sites.0.origin.inventory: {shelf.where}: .*{says}"):
        await shelf.read()


@pytest.mark.parametrize("data", [b"[]", b"{}", b"", b"\x1f\x8b", b'"CSV"'])
async def test_what_is_no_manifest_is_refused(shelf: Shelf, data: bytes) -> None:
    await shelf.put(f"{shelf.base}2026-01-01T01-00Z/manifest.json", data)
    with pytest.raises(ProxyError, match=r"sites.0.origin.inventory: "):
        await shelf.read()


GOOD = packed([row(f"pack-{number}", number, f"{number**9:032x}") for number in range(3000)])


@pytest.mark.parametrize(
    "damaged",
    [
        GOOD[:-1],
        GOOD[: len(GOOD) // 2],
        GOOD[:-8] + bytes(8),
        GOOD[: len(GOOD) // 2] + bytes(100) + GOOD[len(GOOD) // 2 + 100 :],
        b"",
        b"Bucket,Key",
        packed([("listed", "a")]),
        packed([("listed", "a", "large", WRITTEN, "e", "")]),
        packed([("listed", "a", 1, "yesterday", "e", "")]),
        packed([("listed", "%ff", 1, WRITTEN, "e", "")]),
        gzip.compress(b'"listed","a",1,"","e'),
        gzip.compress(bytes(2_000_000)),
    ],
    ids=["last byte", "half", "checksum", "hole", "empty", "plain", "columns", "size", "date",
         "utf-8", "quote", "no lines"],
)  # fmt: skip
async def test_of_a_damaged_file_the_error_tells_and_what_came_before_stays(
    shelf: Shelf, damaged: bytes
) -> None:
    await shelf.store(packed([row("before")]), damaged)
    pages = report_of(shelf.place())
    assert (await anext(pages)).objects == (("before", 1, "e", MODIFIED),)
    with pytest.raises(
        ConfigError, match=r"inventory: .*data/1-1.csv.gz (is damaged|cannot be read): ."
    ):
        _ = [page async for page in pages]


async def test_a_file_that_is_not_there_is_named(shelf: Shelf) -> None:
    with pytest.raises(ProxyError, match=r"inventory: .*manifest.json cannot be read: "):
        await shelf.read()
    await shelf.store(files=[{"key": "data/lost.csv.gz"}])
    with pytest.raises(ProxyError, match=r"inventory: .*/lost.csv.gz cannot be read: "):
        await shelf.read()


@pytest.mark.parametrize("shelf", ["bucket"], indirect=True)
async def test_a_report_that_wrong_keys_keep_from_being_read_says_to_correct_them(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inventory, "opened", partial(opened, attempts=1))
    await shelf.store(packed([row("a")]))
    (tmp_path / "wrong").write_text("WRONG")
    files = shelf.s3.files.model_copy(update={"access_key_file": tmp_path / "wrong"})
    made = shelf.s3.entry("listed", inventory=shelf.where)
    says = "inventory: bucket reports: .*: the keys are not accepted; correct the credentials"
    with pytest.raises(ProxyError, match=says):
        _ = [page async for page in report_of(BucketLocation("sites.0.origin", made, files))]


@pytest.mark.parametrize("shelf", ["bucket"], indirect=True)
@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"credentials": "anonymous"}, "cannot be read: the credentials need s3:GetObject"),
        ({"endpoint": "http://127.0.0.1:9"}, "is the endpoint right"),
    ],
)
async def test_a_report_out_of_reach_says_what_helps(
    shelf: Shelf, entry: dict[str, Any], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inventory, "opened", partial(opened, attempts=1))
    await shelf.store(packed([row("a")]))
    made = shelf.s3.entry("listed", inventory=shelf.where).model_copy(update=entry)
    with pytest.raises(ProxyError, match=rf"sites.0.origin.inventory: .*{says}"):
        _ = [
            page
            async for page in report_of(BucketLocation("sites.0.origin", made, made.credentials))
        ]


@pytest.mark.parametrize("shelf", ["bucket"], indirect=True)
async def test_a_file_that_is_replaced_while_it_is_read_is_not_mixed_with_the_new_one(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inventory, "_PIECE", 10_000)
    await shelf.store(GOOD)
    pages = report_of(shelf.place())
    assert (await anext(pages)).objects
    await shelf.store(packed([row("other")] * 9000))
    with pytest.raises(ConfigError, match="it was replaced while it was read"):
        _ = [page async for page in pages]


COLUMNS = f"{CURRENT}, EncryptionStatus, IntelligentTieringAccessTier"
TIERED = "INTELLIGENT_TIERING"
READABLE = [
    ("STANDARD", "SSE-S3", "", True, True),
    ("STANDARD", "NOT-SSE", "", True, True),
    ("GLACIER_IR", "SSE-S3", "", True, True),
    ("GLACIER", "SSE-S3", "", False, False),
    ("DEEP_ARCHIVE", "SSE-S3", "", False, False),
    (TIERED, "SSE-S3", "FREQUENT", True, True),
    (TIERED, "SSE-S3", "ARCHIVE", False, False),
    (TIERED, "SSE-S3", "DEEP_ARCHIVE", False, False),
    (TIERED, "SSE-S3", "", False, False),
    ("STANDARD", "SSE-KMS", "", False, True),
    ("STANDARD", "DSSE-KMS", "", False, True),
    ("STANDARD", "SSE-C", "", False, False),
]
"""Storage class, encryption, tier, and whether clients can read the copy: without and with signed
URLs."""


async def test_copies_that_clients_may_not_be_able_to_read_are_left_out(shelf: Shelf) -> None:
    keys = ["/".join(row[:3]) for row in READABLE]
    lines = [
        ("listed", key, 1, WRITTEN, "e", *row[:3]) for key, row in zip(keys, READABLE, strict=True)
    ]
    await shelf.store(packed(lines), fileSchema=COLUMNS)
    every, kms = frozenset(Unreadable), frozenset({Unreadable.KMS})
    for barriers, column in ((every, 3), (every - kms, 4)):
        readable = [key for key, row in zip(keys, READABLE, strict=True) if row[column]]
        assert await listed_by(shelf, barriers) == readable
    assert await listed_by(shelf, frozenset()) == keys


async def listed_by(shelf: Shelf, barriers: frozenset[Unreadable]) -> list[str]:
    """The keys that are read where these barriers count."""
    pages = [page async for page in report_of(shelf.place(), barriers)]
    return [each[0] for page in pages for each in page.objects]


async def test_a_report_of_a_target_needs_the_columns_that_tell(shelf: Shelf) -> None:
    missing, damaged = "no column EncryptionStatus", "damaged: a row has 6 columns instead of 8"
    for schema, why in ((CURRENT, missing), (COLUMNS, damaged)):
        await shelf.store(packed([row("a.tar.gz")]), fileSchema=schema)
        with pytest.raises(ConfigError, match=why):
            await listed_by(shelf, frozenset(Unreadable))


@pytest.mark.usefixtures("own_sdk_session")
def test_a_profile_that_is_not_there_is_an_error_of_one_line(
    s3: LocalS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "missing")
    entry = s3.entry("listed", inventory=f"s3://{BUCKET}/daily/")

    async def read() -> None:
        async for _ in report_of(BucketLocation("sites.0.origin", entry, "ambient")):
            pass

    with pytest.raises(ConfigError, match=r"inventory: .*The config profile \(missing\)"):
        asyncio.run(read())
