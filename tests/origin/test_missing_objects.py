"""Missing objects are remembered for a second, once more for the others, and never too many."""

from __future__ import annotations

from nearbucket.origin.missing_objects import LIFETIME, MOST, RENEWAL, MissingName, MissingObjects

NAME = MissingName("site", "key")
FIELDS = [("Vary", "Origin")]


def test_the_first_request_after_the_time_asks_again_and_the_others_do_not() -> None:
    missing = MissingObjects()
    missing.put(NAME, FIELDS, 10.0)
    assert missing.get(NAME, 10.0 + LIFETIME - 0.01) == FIELDS
    assert missing.get(NAME, 10.0 + LIFETIME) is None
    assert missing.get(NAME, 10.0 + LIFETIME + RENEWAL - 0.01) == FIELDS
    assert missing.get(NAME, 10.0 + LIFETIME + RENEWAL) is None
    assert missing.get(NAME, 10.0 + LIFETIME + RENEWAL) is None


def test_what_was_not_requested_for_long_is_not_renewed() -> None:
    missing = MissingObjects()
    missing.put(NAME, FIELDS, 10.0)
    for _ in range(2):
        assert missing.get(NAME, 10.0 + LIFETIME + RENEWAL) is None


def test_an_object_that_is_there_is_forgotten() -> None:
    missing = MissingObjects()
    missing.put(NAME, FIELDS, 10.0)
    missing.forget(NAME)
    assert missing.get(NAME, 10.0) is None


def test_a_404_is_that_of_one_site_key_query_and_origin() -> None:
    missing = MissingObjects()
    missing.put(NAME, FIELDS, 10.0)
    for other in (
        NAME._replace(site="other"),
        NAME._replace(key="other"),
        NAME._replace(query=(("versionId", "1"),)),
        NAME._replace(cors_origin="https://a.example"),
    ):
        assert missing.get(other, 10.0) is None


def test_the_oldest_are_dropped_beyond_the_bound() -> None:
    missing = MissingObjects()
    for number in range(MOST + 10):
        missing.put(NAME._replace(key=str(number)), FIELDS, 10.0)
    assert len(missing) == MOST
    assert missing.get(NAME._replace(key="9"), 10.0) is None
    assert missing.get(NAME._replace(key="10"), 10.0) == FIELDS
