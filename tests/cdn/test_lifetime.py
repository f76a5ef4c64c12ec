"""CloudFront's rules of expiration, a row of the Developer Guide's tables each."""

from __future__ import annotations

import pytest

from tests.cdn.distribution import (
    CACHING_DISABLED,
    CACHING_OPTIMIZED,
    CachePolicy,
    CustomOrigin,
    Distribution,
)
from tests.cdn.lifetime import lifetime, may_be_stale

NONE = CachePolicy(0, 100, 1000)
SOME = CachePolicy(10, 100, 1000)
EXPIRES = {"Date": "Thu, 01 Jan 2026 00:00:00 GMT", "Expires": "Thu, 01 Jan 2026 00:01:00 GMT"}


def seconds(
    status: int, said: str | None, policy: CachePolicy, errors: dict[int, float] | None = None
) -> float:
    distribution = Distribution({"o": CustomOrigin("")}, (), errors or {})
    fields = {} if said is None else {"Cache-Control": said}
    return lifetime(status, fields, policy, distribution)


@pytest.mark.parametrize("status", [200, 206, 301, 302, 307, 308])
@pytest.mark.parametrize(
    ("said", "policy", "kept"),
    [
        (None, NONE, 100), (None, SOME, 100), (None, CachePolicy(200, 100, 1000), 200),
        ("max-age=50", NONE, 50), ("max-age=5", SOME, 10), ("max-age=5000", SOME, 1000),
        ("max-age=0", NONE, 0), ("max-age=0", SOME, 10),
        ("max-age=50, s-maxage=20", NONE, 20), ("s-maxage=5, max-age=50", SOME, 10),
        ("no-store", NONE, 0), ("no-cache", NONE, 0), ("private", NONE, 0),
        ("private, max-age=60", NONE, 0), ("Private, No-Store", NONE, 0),
        ("private, no-store", SOME, 10), ("private", CACHING_OPTIMIZED, 1),
        (None, CACHING_DISABLED, 0), ("max-age=60", CACHING_DISABLED, 0),
        ("public", NONE, 100),
    ],
)  # fmt: skip
def test_objects_and_redirects_are_kept_within_the_minimum_and_maximum_ttl(
    status: int, said: str | None, policy: CachePolicy, kept: float
) -> None:
    """The table of "Specifying the amount of time that CloudFront caches objects"."""
    assert seconds(status, said, policy) == kept


@pytest.mark.parametrize(
    ("fields", "kept"),
    [(EXPIRES, 60), ({**EXPIRES, "Cache-Control": "max-age=20"}, 20)],
)
def test_expires_counts_where_there_is_no_max_age(fields: dict[str, str], kept: float) -> None:
    assert lifetime(200, fields, NONE, Distribution({}, ())) == kept


@pytest.mark.parametrize(
    ("status", "said", "kept"),
    [
        (404, None, 10), (404, "no-store", 0), (404, "private, max-age=60", 0),
        (410, "no-cache", 0), (414, "private", 0), (501, "no-store", 0),
        (500, "no-store", 10), (502, "private, no-store", 10), (503, "no-store", 10),
        (504, "no-cache", 10),
        (404, "max-age=5", 10), (404, "max-age=60", 60), (503, "s-maxage=60", 60),
        (404, "max-age=5000", 1000),
        (403, None, 0), (403, "max-age=60", 60), (400, "max-age=5", 10), (405, None, 0),
        (412, None, 0),
        (415, None, 0), (416, "max-age=60", 0), (421, None, 0), (429, None, 0),
    ],
)  # fmt: skip
def test_errors_are_kept_for_the_error_caching_minimum_ttl_or_the_longer_max_age(
    status: int, said: str | None, kept: float
) -> None:
    """As in "Control how long CloudFront caches errors": four statuses alone obey ``no-store``."""
    assert seconds(status, said, NONE) == kept


@pytest.mark.parametrize(
    ("status", "said", "policy", "errors", "kept"),
    [
        (503, "no-store", CACHING_DISABLED, {}, 10),
        (503, "no-store", CACHING_DISABLED, {503: 0}, 0),
        (404, "max-age=10", CACHING_DISABLED, {404: 0}, 0),
        (404, "max-age=10", NONE, {404: 0}, 10),
        (404, None, NONE, {404: 0}, 0),
    ],
)  # fmt: skip
def test_the_error_caching_minimum_ttl_is_the_distributions_whatever_the_behaviours_cache_policy(
    status: int, said: str | None, policy: CachePolicy, errors: dict[int, float], kept: float
) -> None:
    assert seconds(status, said, policy, errors) == kept


@pytest.mark.parametrize(
    ("said", "stale"),
    [("max-age=1", True), ("must-revalidate", False), ("stale-if-error=0", False), ("", True)],
)
def test_what_is_expired_is_used_when_the_origin_fails_unless_it_forbids_that(
    said: str, *, stale: bool
) -> None:
    assert may_be_stale({"Cache-Control": said}) is stale
