"""The optional compiled build; pyproject.toml has everything else.

With ``COMPILE_NEARBUCKET=1`` in the environment the modules below become C extensions, made by
mypyc: ``nearbucket --version`` says "compiled". That needs mypy, a C compiler and Python's headers.
Otherwise the package is pure Python. The behaviour is the same (``make compiled``).
"""

from __future__ import annotations

import ast
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from setuptools import setup

if TYPE_CHECKING:
    from collections.abc import Sequence

    from setuptools import Extension

COMPILED = (
    "policy/model", "policy/object_keys", "policy/preconditions", "policy/client_address",
    "policy/rules", "policy/engine",
    "telemetry/log_format", "telemetry/access_log",
    "frontend/limits/connection_timeouts", "frontend/request_parser", "frontend/response_heads",
    "frontend/cached_decision", "frontend/decision_cache", "frontend/decider",
    "frontend/answer_recorder", "frontend/worker_context", "frontend/client_connection",
)  # fmt: skip
"""What each request passes in the fast lane.

mypyc looks up the types of a dataclass's fields when the class is made, so they are imported, not
only for the type checker. Its classes have no parents but compiled ones. Frozen dataclasses cannot
be pickled or copied when they are compiled: what goes from one process to another is not here."""

_OPTIONS = ("--config-file=", "--ignore-missing-imports", "--follow-imports=silent")
"""mypy's: ``make types`` checks, and what it needs for that need not be installed here."""
_SOURCES = Path("proxy/nearbucket")
_COPIES = Path("build/sources/nearbucket")


def with_constructors(source: str) -> str:
    """A module's source with written constructors in its dataclasses, for mypyc to compile.

    Those that ``dataclass`` makes when the module is imported stay Python. Each is one line, in
    place of the empty line after the fields, so that line numbers in tracebacks stay right.
    """
    source = source.replace("@record(frozen=True, slots=True)", f"@{_DATACLASS}")
    lines = source.split("\n")
    for made in ast.parse(source).body:
        if isinstance(made, ast.ClassDef) and _MADE & {*map(ast.unparse, made.decorator_list)}:
            fields = [each for each in made.body if isinstance(each, ast.AnnAssign)]
            line = fields[-1].end_lineno or 0
            if lines[line : line + 1] != [""]:
                raise ValueError(f"{made.name}, line {line + 1}: leave it empty, behind the fields")
            if any(getattr(each, "name", "") == "__post_init__" for each in made.body):
                raise ValueError(f"{made.name}: compiled constructors call no __post_init__")
            lines[line] = f"    {_constructor(fields)}"
    return "\n".join(lines)


_DATACLASS = "dataclass(slots=True, unsafe_hash=True)"
_MADE = {_DATACLASS, "dataclass(slots=True)"}
"""Decorators of such dataclasses: frozen for mypy only (``policy/record.py``), or not frozen."""

_OPTIONS_OF_FIELD = {"default", "repr", "compare", "hash"}
"""Those that the constructor's parameter does not depend on, and the default itself."""


def _constructor(fields: Sequence[ast.AnnAssign]) -> str:
    parameters, names = ["self"], [ast.unparse(field.target) for field in fields]
    for name, field in zip(names, fields, strict=True):
        default = field.value
        if "ClassVar" in ast.unparse(field.annotation):
            raise ValueError(f"line {field.lineno}: put the ClassVar {name} outside the class")
        if isinstance(default, ast.Call):
            options = {each.arg: each.value for each in default.keywords}
            if ast.unparse(default.func) != "field" or options.keys() - _OPTIONS_OF_FIELD:
                raise ValueError(f"line {field.lineno}: {name} needs a default that is no call")
            default = options.get("default")
        value = "" if default is None else f" = {ast.unparse(default)}"
        parameters.append(f"{name}: {ast.unparse(field.annotation)}{value}")
    body = "; ".join(f"self.{name} = {name}" for name in names)
    return f"def __init__({', '.join(parameters)}) -> None: {body}"


def extensions() -> list[Extension]:
    """The C extensions."""
    from mypyc.build import mypycify  # noqa: PLC0415  # only a compiled build needs it

    shutil.rmtree(_COPIES, ignore_errors=True)
    shutil.copytree(_SOURCES, _COPIES, ignore=shutil.ignore_patterns("__pycache__"))
    files = [_COPIES / f"{module}.py" for module in COMPILED]
    for file in files:
        source = file.read_text("utf-8")
        file.write_text(with_constructors(source), "utf-8")
    made: list[Extension] = mypycify(
        [*_OPTIONS, *map(str, files)], opt_level="3", debug_level="0", group_name="nearbucket"
    )
    return made


if __name__ == "__main__":
    setup(ext_modules=extensions() if os.environ.get("COMPILE_NEARBUCKET") == "1" else [])
