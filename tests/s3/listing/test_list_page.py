"""One page of a listing, read from its XML."""

from __future__ import annotations

import gc
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from urllib.parse import quote_plus
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearbucket.s3.listing.list_page import ListedObject, ListPage, parse_page

WRITTEN = datetime(2026, 7, 1, 12, 30, tzinfo=UTC)
_OPEN = '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'


def item(key: str = "a", **fields: str) -> str:
    """An object of a page; fields that are empty are left out."""
    texts = {
        "Key": key,
        "LastModified": "2026-07-01T12:30:00.000Z",
        "ETag": "&quot;e&quot;",
        "Size": "7",
        "StorageClass": "STANDARD",
        **fields,
    }
    inner = "".join(f"<{name}>{text}</{name}>" for name, text in texts.items() if text)
    return f"<Contents>{inner}</Contents>"


def document(
    *items: str, encoded: bool = True, more: str = "<IsTruncated>false</IsTruncated>"
) -> bytes:
    """A page with these objects, on one line, as AWS sends it."""
    encoding = "<EncodingType>url</EncodingType>" if encoded else ""
    head = f"<Name>b</Name><Prefix></Prefix><MaxKeys>1000</MaxKeys>{encoding}{more}"
    return f"{_OPEN}{head}{''.join(items)}</ListBucketResult>".encode()


def keys(data: bytes) -> list[str]:
    return [each.key for each in parse_page(data).objects]


def test_an_object_has_key_size_etag_time_and_class() -> None:
    assert parse_page(document(item("dl/a.gz", ETag="&quot;e-3&quot;"), item("b", Size="0"))) == (
        ListPage(
            [
                ListedObject("dl/a.gz", 7, "e-3", WRITTEN, "STANDARD"),
                ListedObject("b", 0, "e", WRITTEN, "STANDARD"),
            ],
            [],
            "",
        )
    )


def test_an_empty_page_has_no_objects() -> None:
    assert parse_page(document()) == ListPage([], [], "")


def test_elements_on_lines_of_their_own_are_read_the_same() -> None:
    data = document(item("a"), item("b", StorageClass="", ETag=""))
    spaced = data.replace(b"><", b">\n  <")
    assert parse_page(spaced) == parse_page(data)
    assert parse_page(spaced).objects[1] == ListedObject("b", 7, "", WRITTEN, "")


def test_what_one_object_lacks_is_not_taken_from_the_one_before() -> None:
    data = document(item("a", ETag="x"), item("b", ETag="", StorageClass=""))
    assert parse_page(data).objects[1] == ListedObject("b", 7, "", WRITTEN, "")


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("a+b", "a b"),
        ("a%2Bb", "a+b"),
        ("a%20b", "a b"),
        ("%2525", "%25"),
        ("tab%09null%00bell%07", "tab\tnull\0bell\a"),
        ("%C3%A9%F0%9F%98%80", "é😀"),
        ("line%0D%0Afeed", "line\r\nfeed"),
        ("%3Cb%3E%26amp%3B", "<b>&amp;"),
        ("a/./b//c", "a/./b//c"),
    ],
)
def test_an_encoded_key_is_decoded_once(written: str, key: str) -> None:
    assert keys(document(item(written))) == [key]


@pytest.mark.parametrize(
    ("written", "key"),
    [("a+b", "a+b"), ("a%2Bb", "a%2Bb"), ("&lt;&amp;&#x41;&quot;", '<&A"'), (" a ", " a ")],
)
def test_a_key_that_the_server_did_not_encode_is_taken_as_it_is(written: str, key: str) -> None:
    assert keys(document(item(written), encoded=False)) == [key]


def test_that_keys_are_encoded_may_be_said_behind_them() -> None:
    data = document(item("a%2Bb"), encoded=False)
    assert keys(data.replace(b"</ListB", b"<EncodingType>url</EncodingType></ListB")) == ["a+b"]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)))
def test_any_key_comes_back_as_it_was(names: list[str]) -> None:
    assert keys(document(*(item(escape(quote_plus(name, safe="/"))) for name in names))) == names


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("2026-07-01T12:30:00Z", 0),
        ("2026-07-01T12:30:00.5Z", 500_000),
        ("2026-07-01T12:30:00.123456789Z", 123_456),
        ("2026-07-01T14:30:00+02:00", 0),
        ("2026-07-01T12:30:00", 0),
    ],
)
def test_times_of_all_servers_are_read(text: str, after: int) -> None:
    (found,) = parse_page(document(item(LastModified=text))).objects
    assert found.modified == WRITTEN + timedelta(microseconds=after)


def test_the_owner_of_an_object_and_what_is_new_are_passed_over() -> None:
    owner = (
        "<Owner><ID>1</ID><DisplayName>me</DisplayName></Owner><ChecksumType>FULL</ChecksumType>"
    )
    data = document(item().replace("<Key>", f"{owner}<Key>"))
    assert parse_page(data) == parse_page(document(item()))


def test_folders_are_listed_without_the_prefix_of_the_request() -> None:
    folders = "".join(
        f"<CommonPrefixes><Prefix>{name}</Prefix></CommonPrefixes>" for name in ("a%2Bb/", "c/")
    )
    assert parse_page(document(folders)).prefixes == ["a+b/", "c/"]


def test_a_page_names_the_next_one() -> None:
    token = "<NextContinuationToken>1/a+b==</NextContinuationToken>"
    assert (
        parse_page(document(more=f"<IsTruncated>true</IsTruncated>{token}")).next_token == "1/a+b=="
    )
    assert parse_page(document(more=f"<IsTruncated>false</IsTruncated>{token}")).next_token == ""


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "is not XML"),
        (document(item())[:-20], "is not XML"),
        (document(item("\a"), encoded=False), "is not XML"),
        (b"<Error><Code>SlowDown</Code></Error>", "is not a listing"),
        (document(item(Size="")), "has no '.*Size'"),
        (document(item(LastModified="")), "has no '.*LastModified'"),
        (document(item(LastModified="yesterday")), "yesterday"),
        (document(item(Size="many")), "many"),
        (document(more="<IsTruncated>true</IsTruncated>"), "no token for the next one"),
    ],
)
def test_what_is_no_page_is_an_error(data: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_page(data)


@pytest.mark.parametrize("data", [document(item()), b"no page"], ids=["a page", "no page"])
@pytest.mark.parametrize("collects", [True, False])
def test_garbage_is_collected_afterwards_if_it_was_before(data: bytes, *, collects: bool) -> None:
    if not collects:
        gc.disable()
    try:
        with suppress(ValueError):
            parse_page(data)
        assert gc.isenabled() is collects
    finally:
        gc.enable()
