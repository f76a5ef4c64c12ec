"""Which changes are made to a file, and which are not."""

from __future__ import annotations

from functools import cache

import pytest

from tests.mutants.__main__ import ROOT, draw
from tests.mutants.syntax import mutants


def changes(source: str) -> list[tuple[str, str]]:
    return [(each.before, each.after) for each in mutants("x.py", source.encode())]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a < b", [("a < b", "pass"), ("a < b", "(a <= b)"), ("a < b", "(a >= b)")]),
        ("x = a and b", [("a and b", "(a or b)"), ("a and b", "(b)"), ("a and b", "(a)")]),
        ("x = not a", [("not a", "(a)")]),
        ("x = a + b", [("a + b", "(a - b)")]),
        ("x = [True, 3, 'd', b'e']",
         [("True", "False"), ("3", "4"), ("3", "2"), ("'d'", "''"), ("b'e'", "b''")]),
        ("x = a or ''", [("a or ''", "(a and '')")]),
        ("x = f'{a}'", [("f'{a}'", "''")]),
        ("x = a[1:b]", [("a[1:b]", "(a[:b])"), ("a[1:b]", "(a[1:])"), ("1", "2"), ("1", "0")]),
        ("x = min(a)", [("min(a)", "(max(a))")]),
        ("x = a if b else c", [("b", "True"), ("b", "False")]),
        ("x = [a for a in b if c]", [("c", "True")]),
        ("while a:\n  break", [("a", "False"), ("break", "pass")]),
        ("a.b = c", [("a.b = c", "pass")]),
        ("a += b", [("a += b", "pass"), ("a += b", "a -= b")]),
        ("def f():\n  return a", [("a", "None")]),
        ("try:\n  pass\nexcept E:\n  x = y\n  z = y", [("x = y\n  z = y", "raise")]),
        ("try:\n  pass\nfinally:\n  f()", [("f()", "pass"), ("f()", "pass")]),
        ("def f(a=True): pass", [("True", "False")]),
    ],
)  # fmt: skip
def test_each_construct_has_its_mutants(source: str, expected: list[tuple[str, str]]) -> None:
    assert changes(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        '"""A docstring."""',
        "a: dict['b', 1] = c",
        "def f(a: 'b') -> 'c': pass",
        "@f(1)\nclass A: pass",
        "if TYPE_CHECKING:\n  a = 1",
        "__slots__ = ('a', 'b')",
        "Alias = int | Other | None",
        "def __repr__(self):\n  return 'a'",
        "def f():\n  return None",
        "assert_never(a)",
        "x = cast('A', b)",
        "x = 'A sentence.'",
        "x = ''",
        "x = 0.5",
        "x = 1 << 20",
        "a.b = None",
    ],
)
def test_what_does_not_change_behaviour_is_left_alone(source: str) -> None:
    assert changes(source) == []


def test_a_log_line_or_an_error_can_go_but_its_text_stays() -> None:
    assert changes("_log.info('a %d', 3)") == [("_log.info('a %d', 3)", "pass")]
    assert changes("self.complain(f'{a}')") == [("self.complain(f'{a}')", "pass")]
    raised = "raise AnError(True, 'a') from b"
    assert changes(raised) == [(raised, "pass"), ("True", "False")]


def test_a_mutant_knows_the_functions_that_a_test_of_it_executes() -> None:
    source = b"a = 1\nc = 4\n@f\ndef g():\n  b(2, a)\n  def h():\n    return a\n"
    assert {(each.line, each.functions) for each in mutants("x.py", source)} == {
        (1, frozenset({3, 6})),
        (2, frozenset()),
        (5, frozenset({3})),
        (7, frozenset({6})),
    }


def test_a_sample_is_that_of_its_seed_one_a_line_and_spread_over_the_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # each file is parsed once
    monkeypatch.setattr("tests.mutants.__main__.mutants", cache(mutants))
    paths = [ROOT / f"proxy/nearbucket/policy/{name}.py" for name in ("preconditions", "selection")]
    drawn = draw(paths, 40, 1)
    assert drawn == draw(paths, 40, 1)
    assert drawn != draw(paths, 40, 2)
    assert len({(each.path, each.line) for each in drawn}) == len(drawn)
    assert 10 < sum(each.path.endswith("selection.py") for each in drawn) < 30
    for each in drawn:
        source = (ROOT / each.path).read_bytes()
        assert source.splitlines()[each.line - 1] != each.apply(source).splitlines()[each.line - 1]
