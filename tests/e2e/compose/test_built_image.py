"""The image that docker-compose.yml has built: what is in it, and what it does by itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.build import PACKAGE, VERSION
from tests.e2e.compose.project import COMPILED

if TYPE_CHECKING:
    from tests.e2e.compose.project import Stack

pytestmark = pytest.mark.compose


def test_image_holds_what_serving_needs_and_no_packaging_tools(stack: Stack) -> None:
    names = (
        "pip",
        "ensurepip",
        "setuptools",
        "mypy",
        "wheel",
        "uv",
        "pytest",
        "duckdb",
        PACKAGE,
        "aiohttp",
    )
    probe = f"import importlib.util as u; print([n for n in {names} if u.find_spec(n)])"
    found = stack.run("run", "--rm", "--entrypoint", "python", stack.name, "-c", probe)
    assert found.strip() == f"['{PACKAGE}', 'aiohttp']"


def test_image_is_compiled_only_if_that_was_asked_for(stack: Stack) -> None:
    said = stack.run("run", "--rm", stack.name, "--version")
    assert said == f"nearbucket {VERSION}{' (compiled)' if COMPILED == '1' else ''}\n"


BYTECODE = """
import json, pathlib
paths = pathlib.Path("/opt/nearbucket").rglob("*.pyc")
print(json.dumps({path.read_bytes()[4:8].hex(): True for path in paths}))
"""
PROGRAMS = """
import json, os, stat
found = {"programs": [], "setuid": []}
for folder, folders, names in os.walk("/"):
    if folder == "/":
        folders[:] = set(folders) - {"proc", "sys", "dev"}
    for path in (os.path.join(folder, name) for name in names):
        mode = os.lstat(path).st_mode
        if stat.S_ISREG(mode) and mode & 0o6000:
            found["setuid"].append(path)
        if stat.S_ISREG(mode) and mode & 0o111 and ".so" not in path:
            with open(path, "rb") as file:
                if file.read(4) == b"\x7fELF":
                    found["programs"].append(path)
print(json.dumps(found))
"""


def test_image_has_no_program_but_python(stack: Stack) -> None:
    said = stack.run("run", "--rm", "-u", "0", "--entrypoint", "python", stack.name, "-c", PROGRAMS)
    assert json.loads(said) == {"programs": ["/usr/local/bin/python3.13"], "setuid": []}
    for name in ("sh", "bash", "perl", "apt-get"):
        said = stack.run("run", "--rm", "--entrypoint", name, stack.name, check=False)
        assert "executable file not found" in said


def test_bytecode_of_the_image_has_no_date_and_is_not_compared_with_its_source(
    stack: Stack,
) -> None:
    """So two builds of one commit have equal files (PEP 552, "unchecked hash-based")."""
    said = stack.run("run", "--rm", "--entrypoint", "python", stack.name, "-c", BYTECODE)
    assert json.loads(said) == {"01000000": True}


def test_image_is_configured_by_variables_alone_where_there_is_no_file(stack: Stack) -> None:
    sites = "NEARBUCKET_SITES=[{origin: {bucket: downloads, region: us-east-1}}]"
    check = ("run", "--rm", "--read-only", "-e", sites)
    for more in ((), ("-e", "NEARBUCKET_CONFIG=")):
        said = stack.run(*check, *more, stack.name, "check", "--offline")
        assert said.startswith("configuration: valid\n")
