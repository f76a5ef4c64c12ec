"""Verdicts about two objects, by their listings and by HEAD."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from nearbucket.replication.comparison import (
    Verdict,
    compare_listings,
    description,
    incomparable_but_equal,
)
from nearbucket.s3.bucket_listing import ListedObject

EARLY, LATE = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)


def entry(size: int = 1, etag: str = "e", modified: datetime = EARLY) -> ListedObject:
    return ListedObject("key", size, etag, modified)


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
    ],
)
def test_what_listings_say(
    origin: ListedObject | None, target: ListedObject | None, verdict: Verdict
) -> None:
    assert compare_listings((origin, target)) is verdict


# Answers of HeadObject with x-amz-checksum-mode: ENABLED, as the API reference has them.
PLAIN = {
    "ServerSideEncryption": "AES256",
    "ChecksumCRC64NVME": "one",
    "ChecksumType": "FULL_OBJECT",
}
KMS = PLAIN | {"ServerSideEncryption": "aws:kms"}


@pytest.mark.parametrize(
    ("ours", "equal"),
    [
        pytest.param(KMS, True, id="KMS, the same sum"),
        pytest.param(KMS | {"ServerSideEncryption": "aws:kms:dsse"}, True, id="two layers of KMS"),
        pytest.param({"SSECustomerAlgorithm": "AES256", "ChecksumCRC64NVME": "one"}, True,
                     id="a key of the customer"),
        pytest.param(KMS | {"ChecksumCRC64NVME": "two"}, False, id="another sum"),
        pytest.param(KMS | {"ChecksumType": "COMPOSITE"}, False, id="a sum of parts' sums"),
        pytest.param({"ServerSideEncryption": "aws:kms"}, False, id="no sum"),
        pytest.param({"ServerSideEncryption": "aws:kms", "ChecksumCRC32": "one"}, False,
                     id="a sum of another kind"),
        pytest.param(PLAIN, False, id="a copy would get the origin's ETag"),
    ],
)  # fmt: skip
def test_a_checksum_decides_only_where_etags_cannot(ours: dict[str, Any], *, equal: bool) -> None:
    assert incomparable_but_equal(PLAIN, ours) is equal
    assert incomparable_but_equal(ours, PLAIN) is equal


def test_a_description_is_what_makes_an_upload_like_the_origin() -> None:
    head = {"ContentType": "text/plain", "ContentLength": 5, "ETag": '"e"', "Metadata": {"a": "b"},
            "ExpiresString": "Wed, 21 Oct 2037 07:28:00 GMT", "Expires": LATE,
            "CacheControl": "", "ServerSideEncryption": "AES256"}  # fmt: skip
    assert description(head) == {
        "ContentType": "text/plain",
        "Expires": "Wed, 21 Oct 2037 07:28:00 GMT",
        "Metadata": {"a": "b"},
    }
