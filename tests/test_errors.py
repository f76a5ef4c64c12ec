"""What errors propose to install works in the environment that they appear in."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from nearbucket.errors import install_command

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("file", "packages", "installer"),
    [
        ("pyvenv.cfg", ["pip"], f"{sys.executable} -m pip install"),
        ("pyvenv.cfg", [], f"uv pip install --python {sys.executable}"),
        ("uv-receipt.toml", [], f"uv pip install --python {sys.executable}"),
        ("pipx_metadata.json", [], "pipx runpip nearbucket@2 install"),
        ("pipx_metadata.json", ["pip"], "pipx runpip nearbucket@2 install"),
    ],
    ids=["venv", "uv venv", "uv tool", "pipx with uv", "pipx with pip"],
)
def test_an_extra_is_installed_with_what_the_environment_has(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    file: str,
    packages: list[str],
    installer: str,
) -> None:
    environment = tmp_path / "nearbucket@2"  # made by `pipx install --suffix=@2`
    environment.mkdir()
    (environment / file).touch()
    monkeypatch.setattr(sys, "prefix", str(environment))
    for name in packages:
        (environment / name).mkdir()
        (environment / name / "__init__.py").touch()
    monkeypatch.setattr(sys, "path", [str(environment)])
    assert install_command("report") == f"{installer} 'nearbucket[report]'"


def test_the_command_is_found_without_a_word_of_setuptools() -> None:
    code = """
import contextlib, warnings
with contextlib.suppress(ImportError):  # Python 3.12 has none
    import distutils.version
warnings.simplefilter("error")
from nearbucket.errors import install_command
print(install_command("report"))
"""
    command = [sys.executable, "-W", "ignore", "-c", code]
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert said.stdout == f"{install_command('report')}\n"
