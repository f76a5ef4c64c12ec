"""Translated patterns match what the shell patterns match."""

from __future__ import annotations

import re
import time
from fnmatch import translate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearbucket.edge_function.pattern_expressions import expression
from nearbucket.errors import ConfigError
from nearbucket.policy.object_keys import encode_key

PIECES = [
    "*", "**", "?", "a", "b", ".", "/", "2", "20", " ", "%", "é", "😀", "[ab]", "[!a]", "[a-c]",
    "[]", "[]a]", "[!]]", "[b-a]", "[^a]", "[a&&b]", "[a", "!", "(", "|", "$", "\\", "-", "[%2]",
    "[0-~]",
]  # fmt: skip
TEXTS = [
    "a", "b", "c", ".", "/", "2", "0", " ", "%", "é", "ß", "😀", "]", "[", "!", "^", "&", "(", "|",
    "$", "\\", "-",
]  # fmt: skip


def matches(patterns: list[str], text: str, *, keys: bool = True) -> bool:
    """What JavaScript does with the expression; Python's syntax is the same here."""
    encoded = encode_key(text) if keys else encode_key(text.encode("latin-1").decode("utf-8"))
    return re.search(expression(patterns, "paths", keys=keys), encoded) is not None


@given(
    st.lists(st.lists(st.sampled_from(PIECES), max_size=6).map("".join), max_size=3),
    st.lists(st.sampled_from(TEXTS), max_size=6).map("".join),
)
def test_keys_are_matched_as_by_the_shell_pattern(patterns: list[str], key: str) -> None:
    expected = any(re.fullmatch(translate(pattern), key) for pattern in patterns)
    try:
        assert matches(patterns, key) == expected
    except ConfigError:
        assert re.search(r"\[.*[é😀].*\]", " ".join(patterns))


ASCII = [piece for piece in PIECES if piece.isascii()]


@given(
    st.lists(st.sampled_from(ASCII), max_size=6).map("".join),
    st.lists(st.sampled_from(TEXTS), max_size=6).map("".join),
)
def test_fields_are_matched_byte_by_byte(pattern: str, text: str) -> None:
    field = text.encode().decode("latin-1")  # as the engine reads it
    expected = re.fullmatch(translate(pattern), field) is not None
    assert matches([pattern], field, keys=False) == expected


def test_no_key_makes_a_pattern_with_many_stars_slow() -> None:
    key = "a.tar." * 170
    started = time.process_time()
    assert not matches(["*a*t*a*r*.*a*t*a*r*x"], key)
    assert time.process_time() - started < 1


@pytest.mark.parametrize("pattern", ["[é]", "*[a-é]*"])
def test_a_set_with_other_characters_than_ascii_is_refused(pattern: str) -> None:
    with pytest.raises(ConfigError, match="write a pattern for each"):
        expression([pattern], "paths", keys=True)
