"""What errors propose to install works in the environment that they appear in."""

from __future__ import annotations

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
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: "found" if name in packages else None
    )
    assert install_command("report") == f"{installer} 'nearbucket[report]'"
