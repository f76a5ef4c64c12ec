"""Which keys a policy may redirect to: where listings begin, and which keys have a URL."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearbucket.errors import RequestError
from nearbucket.policy.object_keys import encode_key, is_plain, object_key
from nearbucket.policy.selection import key_prefixes


@pytest.mark.parametrize(
    ("patterns", "prefixes"),
    [
        (["*.tar.*z*"], [""]),
        (["releases/*.gz", "releases/2026/*"], ["releases/"]),
        (["b/*", "a/?.gz", "a/x"], ["a/", "b/"]),
        (["a/[bc]*", "a/*"], ["a/"]),
        (["whole-key.gz"], ["whole-key.gz"]),
        (["a*", "*"], [""]),
        ([], []),
    ],
)
def test_a_listing_begins_where_patterns_have_their_first_wildcard(
    patterns: list[str], prefixes: list[str]
) -> None:
    assert key_prefixes(patterns) == prefixes


@given(st.lists(st.text("ab/*?[]", min_size=1, max_size=5), max_size=4), st.text("ab/", max_size=5))
def test_every_key_that_a_pattern_matches_is_below_exactly_one_prefix(
    patterns: list[str], key: str
) -> None:
    below = [each for each in key_prefixes(patterns) if key.startswith(each)]
    assert len(below) <= 1
    assert below or not any(fnmatchcase(key, pattern) for pattern in patterns)


@given(st.text("ab./~-_%é+ \n", max_size=8))
def test_a_plain_key_is_its_own_url_path(key: str) -> None:
    try:
        is_own = encode_key(key) == key == object_key(f"/{key}")
    except RequestError:
        is_own = False
    assert is_own or not is_plain(key)
