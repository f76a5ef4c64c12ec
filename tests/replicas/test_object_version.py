"""Two copies are the same when S3 says so: by size and ETag, or by size and a checksum."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from nearbucket.replicas.object_version import ABSENT, CHECKSUMS, ObjectVersion

MD5, OTHER_MD5 = "0cc175b9c0f1b6a831c399e269772661", "92eb5ffee6ae2fec3ad71c777531578f"
PARTS, OTHER_PARTS = f"{MD5}-2", f"{OTHER_MD5}-3"
SUM = {"x-amz-checksum-crc64nvme": "kQj3Zg8AAAA=", "x-amz-checksum-type": "FULL_OBJECT"}
OTHER_SUM = {"x-amz-checksum-crc64nvme": "AAAAZg8AAAA=", "x-amz-checksum-type": "FULL_OBJECT"}
KMS = {"x-amz-server-side-encryption": "aws:kms"}
S3_KEY = {"x-amz-server-side-encryption": "AES256"}

HELD = st.builds(
    ObjectVersion,
    st.integers(0, 2),
    st.sampled_from(["", MD5, PARTS]),
    st.sampled_from([None, "", "crc32=a", "crc32=b", "crc32=a sha1=c", "sha1=c"]),
)


def held(etag: str, *more: dict[str, str], size: int = 7) -> ObjectVersion:
    fields = CIMultiDict({"content-length": str(size), "etag": f'"{etag}"'})
    for each in more:
        fields.update(each)
    return ObjectVersion.of(fields)


@pytest.mark.parametrize(
    ("one", "two", "equal"),
    [
        pytest.param(held(MD5), held(MD5), True, id="size and ETag"),
        pytest.param(held(MD5), held(OTHER_MD5), False, id="other ETag"),
        pytest.param(held(MD5), held(MD5, size=8), False, id="other size"),
        pytest.param(held(PARTS), held(PARTS), True, id="the same parts"),
        pytest.param(held(PARTS), held(OTHER_PARTS), False, id="other parts, no checksum"),
        pytest.param(held(PARTS, SUM), held(OTHER_PARTS, SUM), True, id="other parts, checksum"),
        pytest.param(held(PARTS, SUM), held(OTHER_PARTS, OTHER_SUM), False, id="other checksum"),
        pytest.param(held(PARTS, SUM), held(OTHER_PARTS, SUM, size=8), False, id="checksum, size"),
        pytest.param(held(PARTS, SUM), held(OTHER_PARTS), False, id="one checksum only"),
        pytest.param(held(MD5, SUM), held(PARTS, SUM), True, id="one piece, copied in parts"),
        pytest.param(held(PARTS, SUM), held(MD5, SUM), True, id="parts, copied in one piece"),
        pytest.param(held(MD5, SUM, S3_KEY), held(OTHER_MD5, SUM, KMS), True, id="copy under KMS"),
        pytest.param(held(MD5, SUM, KMS), held(OTHER_MD5, SUM, KMS), True, id="both under KMS"),
        pytest.param(held(MD5, KMS), held(OTHER_MD5, KMS), False, id="KMS, no checksum"),
        pytest.param(held(PARTS), held(OTHER_PARTS).marked(PARTS), True, id="other parts, marked"),
        pytest.param(held(PARTS), held(OTHER_PARTS).marked(MD5), False, id="marked for another"),
        pytest.param(held(PARTS, SUM), held(MD5).marked(PARTS), True, id="marked, one checksum"),
        pytest.param(held(PARTS), held(OTHER_PARTS, size=8).marked(PARTS), False, id="mark, size"),
        pytest.param(held(""), held(MD5).marked(""), False, id="marked for no ETag"),
        pytest.param(
            held(PARTS)._replace(checksums=None),
            held(MD5).marked(PARTS),
            True,
            id="marked, and the other one listed",
        ),
        pytest.param(held(""), held(""), False, id="no ETag says nothing"),
        pytest.param(held("", SUM), held("", SUM), True, id="no ETag, checksum"),
        pytest.param(held("", SUM), held("", OTHER_SUM), False, id="no ETag, other checksum"),
        pytest.param(ABSENT, ABSENT, False, id="nothing is no copy"),
        pytest.param(ABSENT, held(MD5), False, id="absent"),
    ],
)
def test_copies_are_told_apart(one: ObjectVersion, two: ObjectVersion, equal: bool) -> None:  # noqa: FBT001  # a cell
    assert one.equals(two) is equal
    assert two.equals(one) is equal


@pytest.mark.parametrize("mark", [{"x-amz-checksum-type": "COMPOSITE"}, {}])
def test_a_checksum_of_parts_checksums_says_nothing_of_the_whole(mark: dict[str, str]) -> None:
    suffix = "-2" if not mark else ""
    parts = {"x-amz-checksum-crc32": f"AAAAAA=={suffix}", **mark}
    whole = {"x-amz-checksum-crc32": "BBBBBB==", "x-amz-checksum-type": "FULL_OBJECT"}
    assert not held(PARTS, parts).equals(held(OTHER_PARTS, whole))


@pytest.mark.parametrize("name", CHECKSUMS)
def test_any_checksum_of_all_bytes_settles_it(name: str) -> None:
    both = {name: "YWJj"}
    assert held(PARTS, both).equals(held(OTHER_PARTS, both))
    more = {**both, next(other for other in CHECKSUMS if other != name): "eHl6"}
    assert held(PARTS, both).equals(held(OTHER_PARTS, more))


def test_the_same_value_of_two_algorithms_is_no_common_checksum() -> None:
    one, two = {CHECKSUMS[1]: "YWJjZA=="}, {CHECKSUMS[2]: "YWJjZA=="}
    assert not held(PARTS, one).equals(held(OTHER_PARTS, two))


@given(HELD, HELD)
def test_being_the_same_has_no_direction_and_needs_the_same_size(
    one: ObjectVersion, two: ObjectVersion
) -> None:
    assert one.equals(two) is two.equals(one)
    if one.equals(two):
        assert one.size == two.size
    if one.size != two.size:
        assert one.equals(two) is False
    assert one.equals(ABSENT) is False


@pytest.mark.parametrize("two", [held(PARTS), held(PARTS, SUM), held(MD5)._replace(checksums=None)])
def test_listings_leave_open_what_only_a_checksum_could_settle(two: ObjectVersion) -> None:
    listed = ObjectVersion(7, OTHER_PARTS, None)
    assert listed.equals(two) is two.equals(listed) is None
    assert listed.equals(two._replace(etag=OTHER_PARTS)) is True
    assert listed.equals(two._replace(size=8)) is False


@pytest.mark.parametrize("fields", [{"ETag": MD5}, {"ETag": MD5, "Content-Length": "many"}])
def test_what_has_no_size_is_not_read(fields: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        ObjectVersion.of(CIMultiDict(fields))


def test_an_empty_object_is_held() -> None:
    empty = held("d41d8cd98f00b204e9800998ecf8427e", size=0)
    assert empty.equals(empty)
    assert empty != ABSENT


@pytest.mark.parametrize(
    ("before", "after", "ends"),
    [
        ("", "archived", True),
        ("encrypted with a KMS key", "archived", True),  # it could be read by signed URLs
        ("archived", "archived", False),
        ("archived", "", False),
        (None, "archived", False),  # nothing was redirected to it
        ("", "encrypted with a KMS key", False),  # signed URLs can read it
        ("", "encrypted with a customer-provided key", True),
    ],
)
def test_an_object_that_cannot_be_read_any_more_ends_redirects(
    before: str | None, after: str, *, ends: bool
) -> None:
    known, now = (ObjectVersion(1, "e", unreadable=each) for each in (before, after))
    barriers = {"archived", "encrypted with a customer-provided key"}
    assert now.ends(known, barriers) is ends
