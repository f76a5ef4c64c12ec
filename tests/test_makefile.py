"""The Makefile on a machine where something was missing at first."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_an_environment_that_venv_could_not_complete_is_made_again(tmp_path: Path) -> None:
    """Without Debian's package python3-venv it leaves one that has Python and no pip."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("requirements/dev.txt", "requirements/build.txt", "pyproject.toml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    incomplete, python = tmp_path / ".venv/bin/python", tmp_path / "python"
    incomplete.parent.mkdir(parents=True)
    for file in (incomplete, python):
        file.write_text(f"#!/bin/sh\necho {file.name} of {file.parent.name}: $*\nexit 1\n", "utf-8")
        file.chmod(0o755)
    done = subprocess.run(
        ["make", "install", f"PYTHON={python}"],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if "MAKE" not in name},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == f"python of {tmp_path.name}: -m venv .venv\n"
