"""The Makefile on a machine where something was missing at first."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("pip", [None, "#!/removed/python\n"])
def test_an_environment_without_a_pip_that_runs_is_made_again(
    tmp_path: Path, pip: str | None
) -> None:
    """Without Debian's package python3-venv there is none; after an upgrade its Python is gone."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("requirements/dev.txt", "requirements/build.txt", "pyproject.toml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    folder, python = tmp_path / ".venv/bin", tmp_path / "python"
    folder.mkdir(parents=True)
    for file in (folder / "python", python):
        write_program(file, f"#!/bin/sh\necho {file.name} of {file.parent.name}: $*\nexit 1\n")
    if pip:
        write_program(folder / "pip", pip)
    done = subprocess.run(
        ["make", "install", f"PYTHON={python}"],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if "MAKE" not in name},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == f"python of {tmp_path.name}: -m venv --clear .venv\n"


def write_program(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")
    file.chmod(0o755)
