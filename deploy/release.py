"""Builds what is released from the last commit, twice, and writes it if both are equal.

``make release`` writes into ``dist/``: wheel, sdist, the bill of materials (CycloneDX) of what
``requirements/serve.txt`` installs, and the checksums of all. File dates are that of the commit
(reproducible-builds.org, "SOURCE_DATE_EPOCH").
"""  # noqa: INP001  # a script, not a package

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).parent.parent
DIST = ROOT / "dist"
SUMS = "SHA256SUMS"
_BUILD = (
    "from setuptools import build_meta; import sys; getattr(build_meta, sys.argv[1])(sys.argv[2])"
)


def main() -> int:
    """Build, compare, write; the exit code."""
    if changed := _git("status", "--porcelain").decode().strip():
        sys.stderr.write(f"not committed, so not part of a release; commit first:\n{changed}\n")
        return 2
    with TemporaryDirectory() as one, TemporaryDirectory() as two:
        first = built(Path(one))
        if differ := sorted(first.items() ^ built(Path(two)).items()):
            sys.stderr.write(f"two builds differ in {', '.join({name for name, _ in differ})}\n")
            return 1
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    for name, data in first.items():
        (DIST / name).write_bytes(data)
    write_materials(DIST / "nearbucket.cdx.json")
    write_sums()
    for path in sorted(DIST.iterdir()):
        sys.stdout.write(f"{path.relative_to(ROOT)}  {path.stat().st_size} bytes\n")
    return 0


def built(folder: Path) -> dict[str, bytes]:
    """Wheel and sdist of the last commit, by their names.

    Args:
        folder: An empty folder.
    """
    date = _git("log", "-1", "--format=%ct").decode().strip()
    sources, dist = folder / "sources", folder / "dist"
    with tarfile.open(fileobj=io.BytesIO(_git("archive", "--format=tar", "HEAD"))) as archive:
        archive.extractall(sources, filter="data")
    for hook in ("build_wheel", "build_sdist"):  # PEP 517; a process each, as pip has
        _run(
            [sys.executable, "-c", _BUILD, hook, str(dist)],
            cwd=sources,
            env={**os.environ, "SOURCE_DATE_EPOCH": date},
        )
    return {
        path.name: plain_sdist(path, int(date)) if path.suffix == ".gz" else path.read_bytes()
        for path in dist.iterdir()
    }


def plain_sdist(path: Path, date: int) -> bytes:
    """An sdist whose files have one date, owner and mode: setuptools takes those of the disk."""
    plain = io.BytesIO()
    with tarfile.open(path) as old, tarfile.open(fileobj=plain, mode="w") as new:
        for member in sorted(old.getmembers(), key=lambda each: each.name):
            member.mtime, member.uid, member.gid, member.uname, member.gname = date, 0, 0, "", ""
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            member.pax_headers = {}
            new.addfile(member, old.extractfile(member) if member.isfile() else None)
    return gzip.compress(plain.getvalue(), mtime=date)


def write_materials(path: Path) -> None:
    """Write the bill of materials: every package that an installation has, with its hashes."""
    tool = Path(sys.prefix) / "release" / "bin" / "cyclonedx-py"
    _run(
        [str(tool), "requirements", "requirements/serve.txt", "--pyproject", "pyproject.toml",
         "--output-reproducible", "--output-format", "JSON", "--output-file", str(path)],
        cwd=ROOT,
        env=os.environ,
    )  # fmt: skip


def write_sums() -> None:
    """Write the checksums, as ``sha256sum --check`` reads them."""
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(DIST.iterdir())
    ]
    (DIST / SUMS).write_text("".join(lines), "ascii")


def _run(command: Sequence[str], cwd: Path, env: Mapping[str, str]) -> None:
    """Run a tool, whose output is of interest only if it fails."""
    done = subprocess.run(  # noqa: S603
        command,
        cwd=cwd,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        umask=0o022,  # a wheel has the modes of its files
    )
    if done.returncode:
        raise SystemExit(f"{done.stdout.decode()}\n{' '.join(command)}: failed")


def _git(*words: str) -> bytes:
    command = ["git", *words]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout  # noqa: S603


if __name__ == "__main__":
    sys.exit(main())
