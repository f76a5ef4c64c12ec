"""Tests of behaviour, of equivalence, from end to end, the story and chaos: from outside only.

They are what a change of the internals is held to, so no such change may touch them. What they need
of the product comes through the modules beside this one: ``build.py``, ``serving.py``,
``s3server.py`` and others.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.test_names import DOTTED, PACKAGE, resolves

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS = Path(__file__).parent
FOLDERS = ("behaviour", "cdn", "chaos", "equivalence", "e2e", "story")
FILES = [file for folder in FOLDERS for file in sorted((TESTS / folder).rglob("*.py"))]

OURS = {"self", "cls"}
"""Names whose private attributes a class of a test may use: its own."""

INSIDES = {"worker"}
"""Public attributes that lead inside: ``Served.worker`` is for unit tests."""


def reaches_in(source: str) -> Iterator[str]:
    """Each place of a test that depends on more than the product's public face."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for what in _imported(node):
                if not _is_outside(what):
                    yield f"{node.lineno}: imports {what}"
        elif isinstance(node, ast.Attribute) and _is_private(node):
            yield f"{node.lineno}: .{node.attr}"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            for match in DOTTED.finditer(node.value):
                if resolves(match["found"]):
                    yield f"{node.lineno}: names {match['found']}"


def _imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [each.name for each in node.names]
    return [f"{node.module}.{each.name}" for each in node.names]


def _is_outside(imported: str) -> bool:
    """Not of the package; of the tests only what is here for all, or is such a test itself."""
    top, _, rest = imported.partition(".")
    if top == "tests":
        first = rest.partition(".")[0]
        shared = (TESTS / f"{first}.py").is_file() and not first.startswith("test_")
        return (shared or first in FOLDERS) and "._" not in imported
    return top != PACKAGE


def _is_private(node: ast.Attribute) -> bool:
    hidden = node.attr.startswith("_") and not node.attr.startswith("__")
    own = isinstance(node.value, ast.Name) and node.value.id in OURS
    return (hidden and not own) or node.attr in INSIDES


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_it_does_not_reach_into_the_product(file: Path) -> None:
    assert list(reaches_in(file.read_text("utf-8"))) == []


@pytest.mark.parametrize(
    "line",
    [
        f"import {PACKAGE}",
        f"import {PACKAGE}.errors as e",
        f"from {PACKAGE} import __version__",
        f"if TYPE_CHECKING:\n    from {PACKAGE}.errors import Any",
        "from tests.origin.opening import x",
        "from tests.test_names import PACKAGE",
        "from tests.serving import _private",
        "served._clients",
        "served.worker.state",
        "self.served._clients",
        f"patch.setattr('{PACKAGE}.__version__', 0)",
        f"f'{{x}} {PACKAGE}.__version__.{{y}}'",
    ],
)
def test_what_reaches_in_is_found(line: str) -> None:
    assert len(list(reaches_in(line))) == 1


def test_what_stays_outside_is_let_be() -> None:
    lines = [
        "import aiohttp",
        "from tests.serving import serving",
        "from tests.behaviour.vectors import TARGETS",
        "self._clients = cls._known = x.__name__",
        "found = 'in front of the proxy. proxy.py'",
    ]
    assert list(reaches_in("\n".join(lines))) == []
