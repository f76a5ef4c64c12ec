"""Package managers: apt and pip, whole and after a break.

A Debian package and a wheel are published through the proxy. apt is configured to trust the
repository without a signature, because the test is about how the bytes come.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import random
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from tests.e2e.clients import HEAD, MIDDLE, Way, run, store
from tests.programs import program, resuming_pip

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

pytestmark = pytest.mark.clients

DATA = random.Random(11).randbytes(6 * 2**20 + 5)  # noqa: S311 - content, not a secret
DEB = "nearsample_1.0_all.deb"
WHEEL = "nearsample-1.0-py3-none-any.whl"
DIST = "nearsample-1.0.dist-info"


@pytest.fixture(scope="module")
def deb(the_way: Way, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A flat repository of one package: the package."""
    program("apt-get")
    folder = tmp_path_factory.mktemp("deb")
    tree = folder / "tree"
    for name, content in (
        (
            "DEBIAN/control",
            (
                b"Package: nearsample\nVersion: 1.0\nArchitecture: all\n"
                b"Maintainer: nobody <nobody@example.com>\nDescription: a sample\n"
            ),
        ),
        ("usr/share/nearsample/data", DATA),
    ):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(content)
    done = run(["dpkg-deb", "--root-owner-group", "-Znone", "-b", str(tree), DEB], folder)
    assert done.returncode == 0, done.stderr
    package = (folder / DEB).read_bytes()
    control = (tree / "DEBIAN" / "control").read_text(encoding="ascii")
    listed = f"{control}Filename: {DEB}\nSize: {len(package)}\nSHA256: {_sha256(package)}\n"
    packages = listed.encode()
    release = (
        f"Suite: stable\nDate: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n"
        f" {_sha256(packages)} {len(packages)} Packages\n"
    )
    store(
        the_way.objects,
        {
            f"clients/apt/{DEB}": package,
            "clients/apt/Packages": packages,
            "clients/apt/Release": release.encode(),
        },
    )
    return package


class Apt:
    """apt with everything of its own below ``folder``."""

    def __init__(self, way: Way, folder: Path) -> None:
        self._folder = folder
        self.archives = folder / "cache" / "archives"
        for part in ("state/lists/partial", "cache/archives/partial", "etc"):
            (folder / part).mkdir(parents=True)
        (folder / "status").touch()
        (folder / "etc" / "sources.list").write_text(
            f"deb [trusted=yes] {way.url('clients/apt/')} /\n", encoding="ascii"
        )
        (folder / "apt.conf").write_text(
            f'Dir::State "{folder}/state"; Dir::State::status "{folder}/status";\n'
            f'Dir::Cache "{folder}/cache"; Dir::Etc "{folder}/etc";\n'
            f'Dir::Etc::parts "{os.devnull}"; Dir::Log "{folder}";\n'
            'APT::Sandbox::User "root"; Acquire::Retries "0"; Acquire::Languages "none";\n'
            'Acquire::http::Proxy "DIRECT"; Debug::NoLocking "true";\n',
            encoding="utf-8",
        )

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run apt-get."""
        env = {"APT_CONFIG": str(self._folder / "apt.conf")}
        return run(["apt-get", "-y", *arguments], self._folder, env)


@pytest.fixture
def apt(way: Way, deb: bytes, tmp_path: Path) -> Apt:
    assert deb
    apt = Apt(way, tmp_path)
    done = apt("update")
    assert done.returncode == 0, done.stderr
    return apt


def test_apt_gets_identical_bytes(way: Way, apt: Apt, deb: bytes) -> None:
    done = apt("install", "--download-only", "nearsample")
    assert done.returncode == 0, done.stderr
    assert (apt.archives / DEB).read_bytes() == deb
    assert way.taken(f"clients/apt/{DEB}")


def test_apt_reports_a_broken_download_and_resumes_it(way: Way, apt: Apt, deb: bytes) -> None:
    way.cut()
    done = apt("install", "--download-only", "nearsample")
    assert done.returncode == 100, done.stdout
    assert way.last.cuts == 1
    assert not (apt.archives / DEB).exists()
    part = (apt.archives / "partial" / DEB).read_bytes()
    assert MIDDLE // 2 < len(part) < MIDDLE
    assert deb.startswith(part)

    way.forget()
    done = apt("install", "--download-only", "nearsample")
    assert done.returncode == 0, done.stderr
    assert (apt.archives / DEB).read_bytes() == deb
    assert way.last.ranges == [f"{len(part)}-"]
    assert way.last.passed < len(deb) - len(part) + HEAD
    assert way.taken(f"clients/apt/{DEB}")


@pytest.fixture(scope="module")
def wheel(the_way: Way) -> bytes:
    """A simple index of one project: its wheel."""
    files = {
        "nearsample/__init__.py": b"",
        "nearsample/data": DATA,
        f"{DIST}/METADATA": b"Metadata-Version: 2.1\nName: nearsample\nVersion: 1.0\n",
        f"{DIST}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = []
    for name, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
        rows.append(f"{name},sha256={digest.decode()},{len(content)}\n")
    files[f"{DIST}/RECORD"] = "".join([*rows, f"{DIST}/RECORD,,\n"]).encode()
    with io.BytesIO() as buffer:
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, content in files.items():
                archive.writestr(zipfile.ZipInfo(name), content)
        packed = buffer.getvalue()
    page = (
        f'<!DOCTYPE html><html><head><meta name="pypi:repository-version" content="1.0">'
        f'</head><body><a href="../../files/{WHEEL}#sha256={_sha256(packed)}">{WHEEL}</a>'
        "</body></html>\n"
    )
    store(
        the_way.objects,
        {f"clients/files/{WHEEL}": packed, "clients/simple/nearsample/index.html": page.encode()},
    )
    return packed


@pytest.fixture(params=["this pip", "resuming pip"])
def pip(request: pytest.FixtureRequest) -> list[str]:
    if request.param == "this pip":
        return [sys.executable, "-m", "pip"]
    return resuming_pip()


def _download(way: Way, pip: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return run(
        [
            *pip,
            "download",
            "--no-deps",
            "--no-cache-dir",
            "--retries",
            "0",
            "-d",
            "got",
            "--index-url",
            way.url("clients/simple"),
            "nearsample",
        ],
        folder,
    )


def test_pip_gets_identical_bytes(way: Way, pip: list[str], wheel: bytes, tmp_path: Path) -> None:
    done = _download(way, pip, tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "got" / WHEEL).read_bytes() == wheel
    assert way.taken(f"clients/files/{WHEEL}")


def test_pip_resumes_a_broken_download_or_reports_it(
    way: Way, pip: list[str], wheel: bytes, tmp_path: Path
) -> None:
    way.cut()
    done = _download(way, pip, tmp_path)
    assert way.last.cuts == 1
    got = tmp_path / "got" / WHEEL
    if "--resume-retries" in run([*pip, "download", "--help"], tmp_path).stdout:
        assert way.last.ranges
    else:
        assert done.returncode != 0, "pip without resumption takes no short file as whole"
        assert not got.exists()
        done = _download(way, pip, tmp_path)
    assert done.returncode == 0, done.stderr
    assert got.read_bytes() == wheel
    assert way.taken(f"clients/files/{WHEEL}")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
