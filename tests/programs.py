"""Programs that tests run, and the command that installs what is missing of them.

Tests install nothing: where ``program`` does not find what a test asks for, it skips that test
for a reason that ``tests/skips.py`` lists. ``python -m tests.programs``, a part of
``make test-clients`` and ``make check``, installs: as root on Debian with apt-get, and a newer
pip and promtool into the virtual environment. It ends with 1 when something is missing then.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.skips import NO_PROGRAM

PACKAGES = {
    "apt-get": "apt",
    "aria2c": "aria2",
    "chromium": "chromium",
    "curl": "curl",
    "git": "git",
    "node": "nodejs",
    "openssl": "openssl",
    "wget": "wget",
}
"""Each program and the Debian package that has it."""

RESUMING_PIP = Path(sys.prefix) / "resuming-pip"
"""A folder of the virtual environment: pip 25.1 was the first that resumes, and the
environment's own may be older."""


PROMTOOL = Path(sys.prefix) / "promtool"
"""A folder of the virtual environment: Debian's package would start a server beside it."""


def promtool() -> str:
    """Path of promtool; where it is not installed, the asking test is skipped."""
    found = shutil.which("promtool", path=f"{PROMTOOL}/usr/bin:{os.environ['PATH']}")
    if found is None:
        pytest.skip(f"promtool is {NO_PROGRAM}")
    return found


def program(name: str) -> str:
    """Path of a program of ``PACKAGES``; where it is not installed, the asking test is skipped."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is {NO_PROGRAM}")
    return found


def resuming_pip() -> list[str]:
    """Command of that pip; where it is not installed, the asking test is skipped."""
    if not (RESUMING_PIP / "pip").exists():
        pytest.skip(f"resuming-pip is {NO_PROGRAM}")
    return [sys.executable, str(RESUMING_PIP / "pip")]


def install() -> list[str]:
    """Install what is missing, where that is possible; returns the names of what still is."""
    absent = [PACKAGES[name] for name in PACKAGES if shutil.which(name) is None]
    if absent and os.geteuid() == 0 and shutil.which("apt-get"):
        apt = ["apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=120"]
        _run(*apt, "update")
        for package in absent:  # one that cannot be had must not keep the others away
            _run(*apt, "install", "--no-install-recommends", package)
    if not (RESUMING_PIP / "pip").exists():
        pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "-q")
        _run(*pip, "install", "--no-deps", "--target", str(RESUMING_PIP), "pip>=25.1")
    if not (PROMTOOL / "usr/bin/promtool").exists() and shutil.which("dpkg-deb"):
        PROMTOOL.mkdir(exist_ok=True)
        _run("apt-get", "-q", "download", "prometheus", folder=PROMTOOL)
        for file in PROMTOOL.glob("*.deb"):
            _run("dpkg-deb", "--extract", str(file), str(PROMTOOL))
            file.unlink()
    missing = [name for name in PACKAGES if shutil.which(name) is None]
    folders = {"resuming-pip": RESUMING_PIP / "pip", "promtool": PROMTOOL / "usr/bin/promtool"}
    return missing + [name for name, path in folders.items() if not path.exists()]


def _run(*command: str, folder: Path | None = None) -> None:
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(command, env=env, stdin=subprocess.DEVNULL, check=False, cwd=folder)


def main() -> None:
    """Install; the exit code is 1 if something is missing then."""
    missing = install()
    packages = " ".join(PACKAGES[name] for name in missing if name in PACKAGES)
    advice = f"; as root on Debian: apt-get install {packages}" if packages else ""
    sys.exit(f"not installed: {' '.join(missing)}{advice}" if missing else 0)


if __name__ == "__main__":
    main()
