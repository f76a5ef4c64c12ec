"""Strings that name modules, and paths in prose, name something that exists.

A type checker sees neither ``-m`` arguments, logger names, monkeypatch paths and entry points, nor
files that a comment or a page names. When a module moves, each string left behind fails here.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PACKAGE = "nearbucket"
"""The importable package: the only line here that a new name changes."""

ROOT = Path(__file__).parent.parent
SOURCE = Path(import_module(PACKAGE).__path__[0])
FOLDER = SOURCE.relative_to(ROOT).parts[0]
"""The folder of the sources: as the first part of a module's name it is right only as PACKAGE."""

LOGS = ROOT / "tests" / "data" / "logs"
"""Samples of access logs, which name nothing of ours."""

PLACES = (
    FOLDER, "tests", "bench", "docs", "deploy", "config", ".ci", "README.md", "Dockerfile",
    "docker-compose.yml", "Makefile", "pyproject.toml",
)  # fmt: skip
"""Not CHANGELOG.md and bench/results: what was true at the time stays as it was written."""

_NAME = rf"(?:{'|'.join(sorted({PACKAGE, FOLDER}))})"
_ALONE = r"(?<![\w./@-])"  # not the rest of a longer path, host or name
_NAME_ALONE = "|".join(rf"{name}(?<![\w./@-]{name})" for name in sorted({PACKAGE, FOLDER}))
"""As ``_ALONE`` and ``_NAME``; looking behind only where the name is takes a third of the time."""

DOTTED = re.compile(rf"(?P<found>(?:{_NAME_ALONE})(?:\.[A-Za-z_]\w*)+(?::[A-Za-z_]\w*)?)")
"""A module or an attribute; with a colon, an entry point."""

RUN = re.compile(rf"-m[\"',\s]{{1,4}}(?P<found>{_NAME})(?![\w.])")
QUOTED = re.compile(rf"(?P<quote>[\"'])(?P<found>{_NAME})(?P=quote)")
PROCESS = re.compile(
    rf"(?P<found>{_NAME_ALONE}) (?:serve|demo|sync|check|ranges|config|explain|lookup)\b"
)
"""The name in a list of processes, which is how it was started."""

PATH = re.compile(
    rf"{_ALONE}(?:\./)?(?P<found>(?:{FOLDER}|tests)/[\w./*-]*[\w*/]|(?:[\w-]+/)+[\w*-]+\.py\b)"
)
"""Of the sources or the tests, or of any Python file, by its path from the root, the package, or
the folder of the text that names it."""

FILE = re.compile(r"`(?P<found>[a-z_*]+\.py)`")
"""A Python file beside the text that names it, or in the folder of the package or the project."""

NO_MODULES = {"html", "json", "md", "py", "service", "socket", "toml", "yaml", "yml"}
"""Endings of files: ``nearbucket.yaml`` is no module, nor is PyPI's proxy.py."""

OTHER_MEANINGS = {
    "pyproject.toml": "the folder of the sources",
    "tests/mutants/running.py": "the folder of the sources",
    "tests/e2e/compose/project.py": "a service of docker-compose.yml",
    "tests/e2e/compose/test_services.py": "a service of docker-compose.yml",
    "bench/lib/origin.py": "the prefix of nginx's proxy_temp_path",
    "bench/lib/policies.py": "the prefix of nginx's proxy_temp_path",
    "bench/streaming/configs.py": "the prefix of nginx's proxy_temp_path",
}
"""Files in which the name alone, in quotes, is not the package, and what it is there."""

OTHER_FILES = {
    "nearsample/__init__.py": "in a package that a test makes",
}
"""Paths of no file of the project."""


def resolves(name: str) -> bool:
    """Whether a dotted name, of the package and perhaps with an entry point's colon, exists."""
    return name.partition(".")[0].partition(":")[0] == PACKAGE and _exists(name)


@cache
def _exists(name: str) -> bool:
    module, _, attribute = name.partition(":")
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        try:
            known = find_spec(".".join(parts[:length])) is not None
        except ModuleNotFoundError:
            known = False
        if known:
            rest = parts[length:] + attribute.split(":") * bool(attribute)
            return not rest or _has(".".join(parts[:length]), rest)
    return False


def _has(module: str, attributes: list[str]) -> bool:
    found: object = import_module(module)
    for name in attributes:
        if not hasattr(found, name):
            return False
        found = getattr(found, name)
    return True


def _is_module(name: str, _file: Path) -> bool:
    return name.rpartition(".")[2] in NO_MODULES or resolves(name)


def _is_package(name: str, _file: Path) -> bool:
    return name == PACKAGE


def _is_package_in_quotes(name: str, file: Path) -> bool:
    return name == PACKAGE or str(file.relative_to(ROOT)) in OTHER_MEANINGS


def _is_path(path: str, file: Path) -> bool:
    bases = (ROOT, SOURCE, file.parent)
    return path in OTHER_FILES or any(any(base.glob(path.rstrip("/"))) for base in bases)


def _is_file(name: str, file: Path) -> bool:
    return any(any(base.glob(name)) for base in (ROOT, SOURCE, file.parent))


RULES: dict[re.Pattern[str], Callable[[str, Path], bool]] = {
    DOTTED: _is_module,
    RUN: _is_package,
    PROCESS: _is_package,
    QUOTED: _is_package_in_quotes,
    PATH: _is_path,
    FILE: _is_file,
}
"""What is looked for, and whether what was found in a file's text is there."""


def left_behind(text: str, file: Path) -> Iterator[str]:
    """Each string of a file's text that names nothing.

    Args:
        text: Contents of the file.
        file: Path of the file; names and paths may be relative to its folder.
    """
    for pattern, is_there in RULES.items():
        for match in pattern.finditer(text):
            if not is_there(match["found"], file):
                line = text.count("\n", 0, match.start()) + 1
                yield f"{file.relative_to(ROOT)}:{line}: {match[0]}"


def _files(place: str) -> list[Path]:
    path = ROOT / place
    if path.is_file():
        return [path]
    left_out = {"__pycache__", "results", "nearbucket.egg-info"}
    return [
        each
        for each in sorted(path.rglob("*"))
        if each.is_file() and not left_out & set(each.relative_to(ROOT).parts)
        if each.parent != LOGS and each.suffix not in {".png", ".gz"}
    ]


@pytest.mark.parametrize("place", PLACES)
def test_whatever_is_named_exists(place: str) -> None:
    files = _files(place)
    assert files
    found = [
        each
        for file in files
        if file != Path(__file__)
        for each in left_behind(file.read_text("utf-8"), file)
    ]
    assert not found, "\n".join(["named, and not there:", *found])


GONE = {
    "module": 'patch.setattr("{0}.gone.NAME", 0)',
    "attribute": 'patch.setattr("{0}.GONE", 0)',
    "part of an f-string": 'f"{0}.gone.{{name}}"',
    "logger": 'caplog.set_level(logging.INFO, "{0}.gone")',
    "entry point's module": 'nearbucket = "{0}.gone:main"',
    "entry point's function": 'nearbucket = "{0}.cli:gone"',
    "-m of a module": '[sys.executable, "-m", "{0}.gone", "1"]',
    "imports in a RUN": 'RUN ["python", "-c", "import {0}.cli, {0}.gone"]',
    "path": "see `{1}/edge/gone.py`",
    "path in a comment": "# {1}/edge/gone.py, which",
    "folder": "| `{1}/gone/` | the side of the clients |",
    "pattern of paths": "`tests/e2e/test_gone*.py`",
    "path within the package": "**Fast lane** (`edge/gone.py`): a protocol",
    "file beside": "How S3 is asked is ``gone.py``.",
}
"""What a move leaves behind, with the package's name and the folder of the sources."""


@pytest.mark.parametrize("text", GONE.values(), ids=GONE)
def test_what_a_move_leaves_behind_is_found(text: str) -> None:
    said = "\n" + text.format(PACKAGE, FOLDER)
    (found,) = left_behind(said, ROOT / "README.md")
    assert found.startswith("README.md:2: ")


OLD_NAME = {
    "-m": '[sys.executable, "-m", "{0}", "serve"]',
    "command line": "$ python -m {0} sync",
    "logger": "logging.getLogger('{0}')",
    "process": "assert lines.count('{0} serve') == 3",
    "module": 'files("{0}.data")',
}


@pytest.mark.parametrize("text", OLD_NAME.values(), ids=OLD_NAME)
def test_a_package_that_is_called_otherwise_is_not_called_by_its_old_name(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not list(left_behind(text.replace(".data", "").format(PACKAGE), ROOT / "README.md"))
    monkeypatch.setattr(f"{__name__}.PACKAGE", "another")
    assert list(left_behind(text.format(FOLDER), ROOT / "README.md"))


@pytest.mark.parametrize(
    "text",
    ["of the {0}. It", "PyPI's {0}.py", "{0}.yaml", "{0}-connection", "the {0} serves",
     "{0}.__version__", "http://h/{0}/gone.txt"],
)  # fmt: skip
def test_what_names_nothing_of_the_package_is_let_be(text: str) -> None:
    assert not list(left_behind(text.format(PACKAGE), ROOT / "README.md"))


def test_every_package_and_its_data_are_installed() -> None:
    """A folder that is left out is missing only where the project is installed from a wheel."""
    chosen = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    assert chosen["packages"] == {"find": {"where": [FOLDER]}}
    folders = {each.parent for each in SOURCE.rglob("*.py")}
    assert [each for each in folders if not (each / "__init__.py").is_file()] == []
    assert chosen["package-data"]
    for package, names in chosen["package-data"].items():
        folder = SOURCE.parent.joinpath(*package.split("."))
        assert [name for name in names if not any(folder.glob(name))] == []
