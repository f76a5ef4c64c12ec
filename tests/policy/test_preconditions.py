"""Whether a client has the version that the buckets hold, by its conditions (RFC 9110, 13)."""

from __future__ import annotations

import pytest

from nearbucket.policy.preconditions import gets_body, held_version, names_origin

ETAGS = ("copy-2", "origin-3")


@pytest.mark.parametrize(
    ("value", "held"),
    [
        ('"copy-2"', "copy-2"),
        ('"origin-3"', "origin-3"),
        ('"x", "origin-3"', "origin-3"),
        ('W/"copy-2"', "copy-2"),
        (" copy-2 ", "copy-2"),  # as S3 reads it
        ("*", "copy-2"),
        ('"x"', None),
        ('"*"', None),
        ("", None),
        ("copy-2, x", None),
        ('"copy-2', None),
    ],
)
def test_if_none_match_names_the_version_that_the_client_has(value: str, held: str | None) -> None:
    headers = {b"if-none-match": value.encode()}
    assert held_version(headers, ETAGS) == held
    assert held_version(headers, ()) is None
    assert gets_body(headers, ETAGS) is (held is None)
    assert not gets_body(headers, ())


@pytest.mark.parametrize("name", [b"if-match", b"if-unmodified-since"])
def test_conditions_that_come_first_are_left_to_s3(name: bytes) -> None:
    headers = {b"if-none-match": b"*", name: b"x"}
    assert held_version(headers, ETAGS) is None
    assert not gets_body(headers, ETAGS)
    assert not gets_body({name: b"x"}, ETAGS)


def test_a_date_is_left_to_s3_unless_a_tag_decides() -> None:
    date = {b"if-modified-since": b"Mon, 01 Jan 2035 00:00:00 GMT"}
    assert held_version(date, ETAGS) is None
    assert not gets_body(date, ETAGS)
    assert gets_body({**date, b"if-none-match": b'"x"'}, ETAGS)


@pytest.mark.parametrize("name", [b"if-match", b"if-range"])
@pytest.mark.parametrize(
    ("value", "origin"),
    [
        (b'"origin-3"', True),
        (b"origin-3", True),
        (b'"x", "origin-3"', True),
        (b'"copy-2"', False),
        (b'"copy-2", "origin-3"', False),
        (b'W/"origin-3"', False),  # never holds
        (b'"x"', False),
        (b"*", False),
        (b"Thu, 01 Jan 2026 00:00:00 GMT", False),
    ],
)
def test_the_etag_that_only_the_origins_object_has(
    name: bytes, value: bytes, *, origin: bool
) -> None:
    assert names_origin({name: value}, ETAGS) is origin
    assert not names_origin({name: value}, ("origin-3",))
    assert not names_origin({name: value}, ())
    assert not names_origin({b"if-none-match": value}, ETAGS)


def test_a_request_without_conditions_gets_the_object() -> None:
    assert gets_body({b"range": b"bytes=0-1", b"if-range": b'"copy-2"'}, ())
