"""Whether a client has the version that the buckets hold, by its conditions (RFC 9110, 13)."""

from __future__ import annotations

import pytest

from nearbucket.policy.preconditions import gets_body, held_version

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


def test_a_request_without_conditions_gets_the_object() -> None:
    assert gets_body({b"range": b"bytes=0-1", b"if-range": b'"copy-2"'}, ())
