"""Ranges and conditions decide as RFC 9110 says, against a real S3 server."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from nearbucket.origin.conditional_request import read_conditions
from tests.origin.opening import TEXT, Seen, fetch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nearbucket.origin.client import OriginClient
    from tests.conftest import LocalS3

GMT = "Mon, 01 Jan 2001 00:00:00 GMT"
OLD, NEW = "Mon, 01 Jan 2001 00:00:00 GMT", "Fri, 01 Jan 2038 00:00:00 GMT"


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-", 0, 18),
        ("bytes=0-0", 0, 0),
        ("bytes=-1", 18, 18),
        ("bytes=-100", 0, 18),
        ("bytes=0-18", 0, 18),
        ("bytes=5-9", 5, 9),
        ("bytes=5-99999999999999999999999", 5, 18),
        ("Bytes=5-9", 5, 9),
    ],
)
async def test_one_range_is_206_with_its_place(
    downloads: OriginClient, asked: str, first: int, last: int
) -> None:
    seen = await fetch(downloads, "text.txt", Range=asked)
    assert (seen.status, seen.body) == (206, TEXT[first : last + 1])
    assert seen.headers["Content-Range"] == f"bytes {first}-{last}/19"
    assert seen.length == last - first + 1


@pytest.mark.parametrize(
    ("key", "asked"),
    [
        ("text.txt", "bytes=19-"),
        ("text.txt", "bytes=99999999999999999999999-"),
        ("text.txt", "bytes=-0"),
        ("empty.bin", "bytes=0-"),
        ("empty.bin", "bytes=-1"),
    ],
)
async def test_a_range_outside_is_416_with_the_size(
    s3: LocalS3, downloads: OriginClient, key: str, asked: str
) -> None:
    size = len(s3.objects[key])
    seen = await fetch(downloads, key, Range=asked)
    fields = {"Content-Range": f"bytes */{size}", "Vary": "Origin"}
    assert seen == Seen(416, fields, 0, b"")


@pytest.mark.parametrize(
    "asked", ["bytes=5-2", "items=0-1", "junk", "bytes=0-0,2-3", "bytes=-", "bytes=", "bytes=٣-"]
)
async def test_a_range_that_is_none_gives_the_whole_object(
    downloads: OriginClient, asked: str
) -> None:
    seen = await fetch(downloads, "text.txt", Range=asked)
    assert (seen.status, seen.body) == (200, TEXT)


@pytest.mark.parametrize(
    ("conditions", "status"),
    [
        pytest.param({"If_None_Match": "{etag}"}, 304, id="the tag"),
        pytest.param({"If_None_Match": "W/{etag}"}, 304, id="the tag, weak"),
        pytest.param({"If_None_Match": '"x", W/{etag}'}, 304, id="one of several"),
        pytest.param({"If_None_Match": "*"}, 304, id="any"),
        pytest.param({"If_None_Match": '"x"'}, 200, id="another tag"),
        pytest.param({"If_None_Match": '"x", "y"'}, 200, id="other tags"),
        pytest.param({"If_None_Match": "junk"}, 200, id="no tag"),
        pytest.param({"If_None_Match": "{damaged}"}, 200, id="the tag with a byte more"),
        pytest.param({"If_None_Match": '"x"', "If_Modified_Since": NEW}, 200, id="tag over date"),
        pytest.param({"If_Modified_Since": "{modified}"}, 304, id="its date"),
        pytest.param({"If_Modified_Since": OLD}, 200, id="an old date"),
        pytest.param({"If_Modified_Since": "yesterday"}, 200, id="no date"),
        pytest.param({"If_Match": "{etag}"}, 200, id="must be: the tag"),
        pytest.param({"If_Match": '"x", {etag}'}, 200, id="must be: one of several"),
        pytest.param({"If_Match": "*"}, 200, id="must be: any"),
        pytest.param({"If_Match": '"x"'}, 412, id="must be: another tag"),
        pytest.param({"If_Match": '"x", "y"'}, 412, id="must be: other tags"),
        pytest.param({"If_Match": "W/{etag}"}, 412, id="must be: weak never is"),
        pytest.param({"If_Match": '"x","y"', "If_None_Match": "{etag}"}, 412, id="412 over 304"),
        pytest.param({"If_Match": "{damaged}"}, 412, id="must be: the tag with a byte more"),
        pytest.param({"If_Unmodified_Since": OLD}, 412, id="must be older"),
        pytest.param({"If_Unmodified_Since": NEW}, 200, id="must be older, and is"),
        pytest.param({"If_Unmodified_Since": "long ago"}, 200, id="must be older than no date"),
        pytest.param({"If_Match": "{etag}", "If_Unmodified_Since": OLD}, 200, id="tag first"),
        pytest.param({"Range": "bytes=50-", "If_Match": '"x", "y"'}, 412, id="412 over 416"),
        pytest.param({"Range": "bytes=50-", "If_None_Match": '"x", {etag}'}, 304, id="304 over it"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_conditions_decide_as_rfc_9110_says(
    downloads: OriginClient, method: str, conditions: dict[str, str], status: int
) -> None:
    plain = await fetch(downloads, "text.txt")
    seen = await fetch(downloads, "text.txt", method, **filled(conditions, plain))
    assert seen.status == status
    if status == 200:
        assert seen.headers == plain.headers
    if status == 304:
        assert seen.headers["ETag"] == plain.headers["ETag"]
        assert "Content-Length" not in seen.headers
    if status != 200:
        assert (seen.length, seen.body) == (0, b"")


@pytest.mark.parametrize(
    ("conditions", "status"),
    [
        pytest.param({"If_Range": "{etag}"}, 206, id="the tag"),
        pytest.param({"If_Range": '"x"'}, 200, id="another tag"),
        pytest.param({"If_Range": "{damaged}"}, 200, id="the tag with a byte more"),
        pytest.param({"If_Range": "W/{etag}"}, 200, id="a weak tag"),
        pytest.param({"If_Range": "{modified}"}, 206, id="its date"),
        pytest.param({"If_Range": OLD}, 200, id="an older date"),
        pytest.param({"If_Range": NEW}, 200, id="a newer date"),
        pytest.param({"If_Range": "junk"}, 200, id="junk"),
        pytest.param({"If_Range": '"x"', "Range": "bytes=50-"}, 200, id="stale and outside"),
        pytest.param({"If_Range": "{etag}", "Range": "bytes=50-"}, 416, id="fresh and outside"),
        pytest.param({"If_Range": "{etag}", "If_None_Match": "{etag}"}, 304, id="fresh, unchanged"),
        pytest.param({"If_Range": '"x"', "If_None_Match": "{etag}"}, 304, id="stale, unchanged"),
        pytest.param({"If_Range": '"x"', "If_None_Match": '"x"'}, 200, id="stale, changed"),
        pytest.param({"If_Range": '"x"', "If_Match": "{etag}"}, 200, id="with If-Match"),
        pytest.param({"If_Range": "{etag}", "If_Match": '"x"'}, 412, id="If-Match wins"),
        pytest.param(
            {"If_Range": "{etag}", "If_Unmodified_Since": OLD}, 412, id="If-Unmodified-Since wins"
        ),
    ],
)
async def test_a_part_is_given_only_of_the_version_that_if_range_names(
    downloads: OriginClient, conditions: dict[str, str], status: int
) -> None:
    plain = await fetch(downloads, "text.txt")
    asked = {"Range": "bytes=0-4", **filled(conditions, plain)}
    seen = await fetch(downloads, "text.txt", **asked)
    assert seen.status == status
    expected = {200: TEXT, 206: TEXT[:5]}
    assert seen.body == expected.get(status, b"")


def test_s3_is_asked_for_the_whole_object_at_once_for_a_weak_if_range_which_never_holds() -> None:
    conditions = read_conditions("GET", {"Range": "bytes=0-1", "If-Range": 'W/"x"'})
    assert (conditions.headers, conditions.whole) == ({}, None)


async def test_if_range_without_a_range_is_ignored(downloads: OriginClient) -> None:
    assert (await fetch(downloads, "text.txt", If_Range='"x"')).status == 200
    assert (await fetch(downloads, "text.txt", "HEAD", If_Range='"x"')).status == 200


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The machine's own time zone is not UTC."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize(
    "date",
    [
        "Mon, 01 Jan 2001 00:00:00 GMT",
        "Monday, 01-Jan-01 00:00:00 GMT",
        "Mon Jan  1 00:00:00 2001",
    ],
)
def test_s3_is_sent_the_same_moment_whatever_the_form_of_a_date(date: str) -> None:
    for name in ("if-modified-since", "if-unmodified-since"):
        assert read_conditions("GET", {name: date}).headers == {name: GMT}
    part = read_conditions("GET", {"Range": "bytes=0-1", "If-Range": date})
    assert part.headers == {
        "range": "bytes=0-1",
        "if-unmodified-since": GMT,
        "if-modified-since": "Sun, 31 Dec 2000 23:59:59 GMT",
    }
    assert part.if_range_holds(206, GMT)
    assert not part.if_range_holds(206, "Mon, 01 Jan 2001 00:00:01 GMT")


@pytest.mark.parametrize(
    "date",
    [
        pytest.param(
            "Mon, 01 Jan 2001 00:00:00 GMT, Mon, 01 Jan 2001 00:00:00 GMT", id="two lines"
        ),
        pytest.param("Mon, 01 Jan 2001 00:00:00 GMT, x", id="a list"),
        pytest.param("Mon, 01 Jan 2001 00:00:00 GMT; length=3", id="a parameter"),
        pytest.param("01 Jan 2001 00:00:00 GMT", id="no name of the day"),
        pytest.param("mon, 01 Jan 2001 00:00:00 GMT", id="day in lower case"),
        pytest.param("Mon, 01 jan 2001 00:00:00 GMT", id="month in lower case"),
        pytest.param("Mon, 01 Jan 2001 00:00:00 gmt", id="zone in lower case"),
        pytest.param("MON, 01 JAN 2001 00:00:00 GMT", id="in capitals"),
        pytest.param("Mon, 01 Jan 2001 00:00:00", id="no zone"),
        pytest.param("Mon, 01 Jan 2001 00:00:00 UTC", id="UTC"),
        pytest.param("Mon, 01 Jan 2001 00:00:00 +0000", id="+0000"),
        pytest.param("Mon, 01 Jan 2001 00:00:00 -0000", id="-0000"),
        pytest.param("Mon, 01 Jan 2001 01:00:00 +0100", id="+0100"),
        pytest.param("Sun, 31 Dec 2000 19:00:00 EST", id="EST"),
        pytest.param("Mon, 1 Jan 2001 00:00:00 GMT", id="a day of one digit"),
        pytest.param("Mon, 01 Jan 01 00:00:00 GMT", id="a year of two digits"),
        pytest.param("Mon, 01 Jan 2001 00:00 GMT", id="no seconds"),
        pytest.param("Mon, 01 Jan 2001  00:00:00 GMT", id="two spaces"),
        pytest.param("Mon, 01-Jan-2001 00:00:00 GMT", id="a cookie's form"),
        pytest.param("Mon, 32 Jan 2001 00:00:00 GMT", id="no such day"),
        pytest.param("Mon, 01 Jan 2001 24:00:00 GMT", id="no such hour"),
        pytest.param("Mon, ٠١ Jan 2001 00:00:00 GMT", id="other digits"),  # noqa: RUF001
        pytest.param("Mon, 01 Jan 2001 00:00:00 GMT (x)", id="a comment"),
        pytest.param("978307200", id="Unix time"),
        pytest.param("2001-01-01T00:00:00Z", id="ISO 8601"),
        pytest.param("", id="nothing"),
    ],
)
def test_what_is_not_one_date_in_a_form_of_http_is_ignored(date: str) -> None:
    for name in ("if-modified-since", "if-unmodified-since"):
        assert read_conditions("GET", {name: date}).headers == {}
    part = read_conditions("GET", {"Range": "bytes=0-1", "If-Range": date})
    assert part.headers == {}


@pytest.mark.parametrize(
    ("year", "meant"), [("01", 2001), ("70", 2070), ("77", 1977), ("99", 1999)]
)
def test_a_year_of_two_digits_is_at_most_fifty_years_ahead(year: str, meant: int) -> None:
    sent = read_conditions("GET", {"If-Modified-Since": f"Monday, 01-Jan-{year} 00:00:00 GMT"})
    assert f"Jan {meant} " in sent.headers["if-modified-since"]


def filled(conditions: dict[str, str], plain: Seen) -> dict[str, str]:
    """Conditions with the object's own validators put in."""
    etag, modified = plain.headers["ETag"], plain.headers["Last-Modified"]
    damaged = etag.replace('"', '"\udcff', 1)  # as aiohttp reads a byte that is not UTF-8
    known = {"{etag}": etag, "{damaged}": damaged, "{modified}": modified}
    filled = dict(conditions)
    for place, value in known.items():
        filled = {name: given.replace(place, value) for name, given in filled.items()}
    return filled
