"""The optional build: the modules that ``setup.py`` names are C extensions there, and only there.

``make compiled`` runs this, and the tests of what is compiled, on such a build.
"""

from __future__ import annotations

import importlib
import os
import runpy
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import FunctionType

import pytest

import nearbucket
from nearbucket.frontend.cached_decision import ClientEntry, ObjectEntry
from nearbucket.frontend.decision_cache import KnownClient
from nearbucket.policy.client_address import ResolvedAddress
from nearbucket.policy.engine import ResolvedTarget
from nearbucket.policy.model import RedirectTo, Request, Stream
from nearbucket.policy.rules import Facts
from nearbucket.version import is_compiled

SETUP = runpy.run_path(str(Path(__file__).parents[1] / "setup.py"))
MODULES = sorted(module.replace("/", ".") for module in SETUP["COMPILED"])


def test_the_build_is_the_one_that_was_asked_for() -> None:
    assert is_compiled() is (os.environ.get("COMPILE_NEARBUCKET") == "1")


@pytest.mark.parametrize("module", MODULES)
def test_all_modules_are_compiled_or_none(module: str) -> None:
    file = importlib.import_module(f"{nearbucket.__name__}.{module}").__file__
    assert str(file).endswith(tuple(EXTENSION_SUFFIXES)) is is_compiled()


@pytest.mark.parametrize(
    "made",
    [Request, ResolvedTarget, ResolvedAddress, Facts, RedirectTo, Stream, ClientEntry, ObjectEntry,
     KnownClient],
)  # fmt: skip
def test_the_constructors_of_what_a_request_makes_are_compiled(made: type) -> None:
    assert isinstance(vars(made)["__init__"], FunctionType) is not is_compiled()


def test_a_constructor_takes_the_place_of_the_empty_line_behind_the_fields() -> None:
    source = """
@record(frozen=True, slots=True)
class Made:
    one: str
    two: int | None = field(default=None, repr=False)

    def method(self): ...
"""
    made = SETUP["with_constructors"](source).split("\n")
    assert made[5] == (
        "    def __init__(self, one: str, two: int | None = None) -> None: "
        "self.one = one; self.two = two"
    )
    assert made[6:] == source.split("\n")[6:]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("    a: int\n    def method(self): ...\n", "Made, line 4: leave it empty"),
        ("    a: int\n    # Of the method.\n", "Made, line 4: leave it empty"),
        ("    a: int", "Made, line 4: leave it empty"),
        ("    a: int\n\n    def __post_init__(self): ...\n", "call no __post_init__"),
        ("    a: ClassVar[int] = 1\n    b: int\n\n", "line 3: put the ClassVar a outside"),
        ("    a: list = field(default_factory=list)\n\n", "line 3: a needs a default"),
        ("    a: int = field(default=1, init=False)\n\n", "line 3: a needs a default"),
        ("    a: frozenset = frozenset()\n\n", "line 3: a needs a default"),
    ],
)
def test_a_class_whose_constructor_would_be_another_is_not_compiled(body: str, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        SETUP["with_constructors"](f"@dataclass(slots=True)\nclass Made:\n{body}")


def test_all_compiled_modules_get_constructors() -> None:
    for module in SETUP["COMPILED"]:
        source = Path(nearbucket.__path__[0], f"{module}.py").read_text("utf-8")
        made = SETUP["with_constructors"](source)
        assert made.count("\n") == source.count("\n"), module
