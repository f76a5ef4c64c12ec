"""The optional build: the modules that ``setup.py`` names are C extensions there, and only there.

``make compiled`` runs this, and the tests of what is compiled, on such a build.
"""

from __future__ import annotations

import importlib
import os
import runpy
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

import nearbucket
from nearbucket.version import is_compiled

SETUP = runpy.run_path(str(Path(__file__).parents[1] / "setup.py"))
MODULES = sorted(module.replace("/", ".") for module in SETUP["COMPILED"])


def test_the_build_is_the_one_that_was_asked_for() -> None:
    assert is_compiled() is (os.environ.get("COMPILE_NEARBUCKET") == "1")


@pytest.mark.parametrize("module", MODULES)
def test_all_modules_are_compiled_or_none(module: str) -> None:
    file = importlib.import_module(f"{nearbucket.__name__}.{module}").__file__
    assert str(file).endswith(tuple(EXTENSION_SUFFIXES)) is is_compiled()
