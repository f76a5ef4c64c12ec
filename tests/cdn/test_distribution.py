"""CloudFront's rules for path patterns ("Cache behavior settings: Path pattern")."""

from __future__ import annotations

import pytest

from tests.cdn.distribution import Behaviour, CustomOrigin, Distribution, normal_path


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("*.tar.xz", "/a/b.tar.xz", True),
        ("*.tar.xz", "/a/b.TAR.XZ", False),
        ("a/*.gz", "/a/b/c.gz", True),
        ("/a/*.gz", "/a/b/c.gz", True),
        ("a/*.gz", "/b/a/c.gz", False),
        ("/v?.gz", "/v1.gz", True),
        ("/v?.gz", "/v10.gz", False),
        ("/v?.gz", "/v.gz", False),
        ("*.[ch]", "/a.c", False),
        ("*.[ch]", "/a.[ch]", True),
    ],
)  # fmt: skip
def test_a_pattern_has_stars_and_question_marks_alone_and_case_counts(
    pattern: str, path: str, *, matches: bool
) -> None:
    assert Behaviour("o", pattern).matches(path) is matches


@pytest.mark.parametrize(
    ("target", "path"),
    [("/a/../b.gz?x=/c", "/b.gz"), ("/%61.gz", "/a.gz"), ("/a%2Fb.gz", "/a%2Fb.gz")],
)
def test_a_path_is_matched_in_normal_form_without_its_query(target: str, path: str) -> None:
    assert normal_path(target) == path


def test_the_first_behaviour_that_matches_is_used_and_else_the_last() -> None:
    first, second, last = Behaviour("o", "*.gz"), Behaviour("o", "a/*"), Behaviour("o", "none")
    distribution = Distribution({"o": CustomOrigin("")}, (first, second, last))
    chosen = [distribution.behaviour(path) for path in ("/a/b.gz", "/a/b", "/b")]
    assert chosen == [first, second, last]
