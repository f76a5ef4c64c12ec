"""Verdicts about two objects, by their listings and by HEAD."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from nearbucket.replication.comparison import (
    Verdict,
    compare_heads,
    compare_listings,
    description,
    equal_by_checksum,
)
from nearbucket.s3.listing.list_page import ListedObject

EARLY, LATE = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)


def entry(
    size: int = 1, etag: str = "e", modified: datetime = EARLY, storage_class: str = "STANDARD"
) -> ListedObject:
    return ListedObject("key", size, etag, modified, storage_class)


@pytest.mark.parametrize(
    ("origin", "target", "verdict"),
    [
        pytest.param(entry(), None, Verdict.COPY, id="missing"),
        pytest.param(None, entry(), Verdict.DELETE, id="not at the origin"),
        pytest.param(entry(), entry(), Verdict.SAME, id="same, copied in the same second"),
        pytest.param(entry(), entry(modified=LATE), Verdict.SAME, id="same, copied later"),
        pytest.param(entry(modified=LATE), entry(), Verdict.DESCRIBED, id="written again"),
        pytest.param(entry(size=2), entry(), Verdict.COPY, id="another size"),
        pytest.param(entry(size=2, etag="f"), entry(), Verdict.COPY, id="another size and ETag"),
        pytest.param(entry(etag="f"), entry(), Verdict.TAGGED, id="another ETag"),
        pytest.param(entry(etag=""), entry(etag=""), Verdict.TAGGED, id="no ETags"),
        *(
            pytest.param(entry(), entry(storage_class=name), verdict, id=name)
            for name, verdict in {
                "GLACIER": Verdict.STORED,
                "DEEP_ARCHIVE": Verdict.STORED,
                "INTELLIGENT_TIERING": Verdict.STORED,
                "GLACIER_IR": Verdict.SAME,
                "ONEZONE_IA": Verdict.SAME,
                "": Verdict.SAME,
            }.items()
        ),
        pytest.param(entry(storage_class="GLACIER"), entry(), Verdict.SAME, id="the origin's"),
    ],
)
def test_what_listings_say(
    origin: ListedObject | None, target: ListedObject | None, verdict: Verdict
) -> None:
    assert compare_listings((origin, target)) is verdict


# Answers of HeadObject with x-amz-checksum-mode: ENABLED, as the API reference has them.
ORIGIN = {
    "ETag": '"0cc175b9c0f1b6a831c399e269772661-3"',
    "ServerSideEncryption": "AES256",
    "ContentType": "application/x-xz",
    "LastModified": EARLY,
}
SUM = {"ChecksumCRC64NVME": "one", "ChecksumType": "FULL_OBJECT"}
OTHER_SUM = SUM | {"ChecksumCRC64NVME": "two"}
OF_PARTS = {"ChecksumCRC32": "one-3", "ChecksumType": "COMPOSITE"}
OTHER_TYPE = {"ContentType": "text/plain"}
KMS = {"ServerSideEncryption": "aws:kms", "ETag": '"92eb5ffee6ae2fec3ad71c777531578f"'}
ONE_PIECE = {"ETag": '"92eb5ffee6ae2fec3ad71c777531578f"'}
ONE_PIECE_TOO = {"ETag": '"0cc175b9c0f1b6a831c399e269772661"'}


@pytest.mark.parametrize(
    ("theirs", "ours", "verdict"),
    [
        pytest.param(SUM, SUM, "MARK", id="other parts, the same sum"),
        pytest.param(SUM, SUM | KMS, "MARK", id="KMS, the same sum"),
        pytest.param(SUM, SUM | {"LastModified": LATE}, "MARK", id="copied later"),
        pytest.param(SUM | {"LastModified": LATE}, SUM, "MARK", id="the same written again"),
        pytest.param(SUM, OTHER_SUM | {"LastModified": LATE}, "COPY", id="another sum"),
        pytest.param(SUM, SUM | OTHER_TYPE, "MARK", id="other headers"),
        pytest.param(SUM | {"LastModified": LATE}, SUM | OTHER_TYPE, "COPY", id="new headers"),
        pytest.param({}, {}, "OTHER_PARTS", id="no sums"),
        pytest.param({}, SUM, "OTHER_PARTS", id="one sum"),
        pytest.param(OF_PARTS, OF_PARTS, "OTHER_PARTS", id="sums of parts' sums"),
        pytest.param({}, {"LastModified": LATE}, "OTHER_PARTS", id="no sums, copied later"),
        pytest.param({}, KMS, "OTHER_PARTS", id="KMS, no sums"),
        pytest.param(ONE_PIECE_TOO, ONE_PIECE, "COPY", id="both in one piece"),
        pytest.param(ONE_PIECE_TOO | SUM, ONE_PIECE | SUM, "COPY", id="and a sum that says else"),
        pytest.param(ONE_PIECE_TOO, KMS, "OTHER_PARTS", id="both in one piece, one under KMS"),
        pytest.param({"LastModified": LATE}, {}, "COPY", id="the origin is newer"),
        pytest.param({}, {"ContentEncoding": "gzip"}, "COPY", id="another encoding"),
        pytest.param(SUM, SUM | {"ContentEncoding": "gzip"}, "COPY", id="and the same sum"),
    ],
)  # fmt: skip
def test_what_two_heads_say_of_objects_with_different_etags(
    theirs: dict[str, Any], ours: dict[str, Any], verdict: str
) -> None:
    assert compare_heads(answer(ORIGIN | theirs), answer(ORIGIN | ours)).name == verdict


def answer(values: dict[str, Any]) -> dict[str, Any]:
    """What the SDK makes of a response: the header fields are beside their values."""
    fields = {"content-type": values["ContentType"]}
    return values | {"ResponseMetadata": {"HTTPHeaders": fields}}


@pytest.mark.parametrize(
    ("one", "two", "equal"),
    [
        (SUM, SUM, True),
        (SUM, OTHER_SUM, False),
        (SUM, {}, None),
        (SUM, {"ChecksumCRC32": "one"}, None),
        (SUM | {"ChecksumSHA1": "a"}, OTHER_SUM | {"ChecksumSHA1": "a"}, False),
        (SUM, SUM | {"ChecksumType": "COMPOSITE"}, None),
        ({"ChecksumCRC32": "one-3"}, {"ChecksumCRC32": "one-2"}, None),
    ],
)
def test_a_checksum_of_all_bytes_decides_if_both_have_it(
    one: dict[str, Any],
    two: dict[str, Any],
    equal: bool | None,  # noqa: FBT001  # a column of the table
) -> None:
    assert equal_by_checksum(one, two) is equal
    assert equal_by_checksum(two, one) is equal


def test_a_description_is_the_header_fields_that_a_copy_keeps_as_they_came() -> None:
    fields = {"content-type": "text/plain", "content-length": "5", "etag": '"e"', "expires": "-1",
              "x-amz-meta-name": "=?UTF-8?Q?=C3=BC?=", "x-amz-server-side-encryption": "AES256",
              "last-modified": "Wed, 21 Oct 2037 07:28:00 GMT", "date": "x"}  # fmt: skip
    assert description({"ResponseMetadata": {"HTTPHeaders": fields}}) == {
        "content-type": "text/plain",
        "expires": "-1",
        "x-amz-meta-name": "=?UTF-8?Q?=C3=BC?=",
    }
