"""A failover bucket may send the version that the origin had, and what the origin never had."""

from __future__ import annotations

from time import monotonic

import pytest

from nearbucket.origin.failover import known_versions
from nearbucket.origin.failover.known_versions import KnownVersions, ShownObject

ONE, OTHER = '"0123456789abcdef0123456789abcdef"', '"fedcba9876543210fedcba9876543210"'
PARTS, OTHER_PARTS = '"0123456789abcdef0123456789abcdef-2"', '"0123456789abcdef0123456789abcdef-3"'


@pytest.mark.parametrize(
    ("known", "etag", "size", "whole", "allowed"),
    [
        pytest.param((ONE, 9), ONE, 9, True, True, id="same"),
        pytest.param((ONE, 9), f"W/{ONE}", 9, False, True, id="same, weak"),
        pytest.param((ONE, 9), OTHER, 9, True, False, id="another ETag"),
        pytest.param((ONE, 9), ONE, 8, True, False, id="another size"),
        pytest.param((PARTS, 9), OTHER_PARTS, 9, True, True, id="other parts"),
        pytest.param((PARTS, 9), OTHER_PARTS, 9, False, False, id="other parts, a range"),
        pytest.param((PARTS, 9), OTHER_PARTS, 8, True, False, id="other parts, another size"),
        pytest.param((PARTS, None), OTHER_PARTS, 9, True, False, id="other parts, size unknown"),
        pytest.param((ONE, 9), ONE, None, False, True, id="304"),
        pytest.param((ONE, 9), OTHER, None, False, False, id="304 of another version"),
        pytest.param((ONE, 9), "", 9, False, True, id="416"),
        pytest.param((ONE, 9), "", 8, False, False, id="416 of another size"),
        pytest.param((ONE, 9), "", None, False, False, id="416 without a size"),
    ],
)
def test_a_known_object_may_be_sent_in_the_same_version_only(
    known: tuple[str, int | None], etag: str, size: int | None, *, whole: bool, allowed: bool
) -> None:
    versions = KnownVersions()
    versions.learn("k", *known)
    assert versions.allows("k", etag, size, whole=whole) is allowed
    assert versions.allows("unknown", etag, size, whole=whole)


def test_what_the_origin_has_no_longer_may_not_be_sent_until_it_has_it_again() -> None:
    versions = KnownVersions()
    versions.learn_missing("never there")
    assert versions.allows("never there", ONE, 9, whole=True)
    versions.learn("k", ONE, 9)
    versions.learn_missing("k")
    assert not versions.allows("k", ONE, 9, whole=True)
    versions.learn("k", ONE, 9)
    assert versions.allows("k", ONE, 9, whole=True)


def test_what_any_worker_has_seen_last_counts() -> None:
    shown: dict[str, ShownObject] = {}
    versions = KnownVersions(shown.get)
    for etag, seen in ((OTHER, -9), (ONE, 9)):
        versions.learn("k", ONE if etag is OTHER else OTHER, 9)
        shown["k"] = ShownObject(etag.strip('"'), 9, monotonic() + seen)
        assert versions.allows("k", ONE, 9, whole=True)
        assert not versions.allows("k", OTHER, 9, whole=True)


def test_a_304_shows_no_size_and_leaves_the_known_one() -> None:
    versions = KnownVersions()
    versions.learn("k", PARTS, 9)
    versions.learn("k", PARTS, None)
    assert versions.allows("k", OTHER_PARTS, 9, whole=True)
    assert not versions.allows("k", OTHER_PARTS, 8, whole=True)


def test_a_version_counts_for_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    versions, now = KnownVersions(), monotonic()
    versions.learn("k", ONE, 9)
    for seconds, allowed in ((3500, False), (3700, True)):
        monkeypatch.setattr(known_versions, "monotonic", lambda after=seconds: now + after)
        assert versions.allows("k", OTHER, 9, whole=True) is allowed


def test_the_versions_seen_last_are_kept_in_bounded_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(known_versions, "MOST", 10)
    versions = KnownVersions()
    for number in range(100):
        versions.learn(str(number), ONE, 9)
    kept = [each for each in range(100) if not versions.allows(str(each), OTHER, 9, whole=True)]
    assert set(range(90, 100)) <= set(kept)
    assert len(kept) <= 20
