"""Shell patterns: tests of strings say what the regular expression says."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearbucket.policy.rules import ShellPatterns, any_pattern

_TEXT = st.text(alphabet="ab/.\n", max_size=5)
_PATTERN = st.text(alphabet="ab/.*?[]!", min_size=1, max_size=5)


@given(st.lists(_PATTERN, max_size=4), _TEXT)
def test_a_text_matches_what_the_shell_says(patterns: list[str], text: str) -> None:
    shell = any(fnmatchcase(text, pattern) for pattern in patterns)
    assert ShellPatterns.of(patterns).match(text) is shell
    assert (any_pattern(patterns).fullmatch(text) is not None) is shell


@pytest.mark.parametrize(
    ("pattern", "beginnings", "ends"),
    [
        pytest.param("*.sha256", (), (".sha256",), id="an end"),
        pytest.param("pool/*", ("pool/",), (), id="a beginning"),
        pytest.param("*", ("",), (), id="everything"),
    ],
)
def test_a_beginning_or_an_end_needs_no_regular_expression(
    pattern: str, beginnings: tuple[str, ...], ends: tuple[str, ...]
) -> None:
    assert ShellPatterns.of([pattern]) == ShellPatterns(beginnings, ends, None)
    assert ShellPatterns.of(["*.tar.*z*"]) == ShellPatterns((), (), None, ((".tar.", "z"),))
    assert ShellPatterns.of(["*.tar.?z*"]).others is not None
