"""Where a result was measured: machine, kernel, commit and versions.

Result files are published, so they contain no names of hosts or users.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

from bench.lib.case import ROOT
from bench.lib.servers import haproxy_program, nginx_program
from nearbucket import __version__

_LIBRARIES = ("aiohttp", "httptools", "uvloop")


def machine() -> dict[str, str | int]:
    """Processor, cores and kernel."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count() or 1,
        "kernel": f"{platform.system()} {platform.release()}",
    }


def versions() -> dict[str, str]:
    """Versions of everything that takes part and is installed."""
    # Whose build it is tells an optimised interpreter from another one of the same version.
    build = " ".join(platform.python_build())
    found = {"nearbucket": __version__, "python": f"{platform.python_version()} ({build})"}
    found |= {name: version(name) for name in _LIBRARIES}
    if nginx := nginx_program():
        found["nginx"] = _first_line(nginx, "-v").rpartition("/")[2]
    if haproxy := haproxy_program():
        found["haproxy"] = _first_line(haproxy, "-v").split()[2]
    if wrk := shutil.which("wrk"):
        found["wrk"] = _first_line(wrk, "-v").partition("[")[0].removeprefix("wrk ").strip()
    return found


def commit() -> str:
    """The commit that is measured, ``-dirty`` behind it where files differ; or ``unknown``."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        return "unknown"
    # Without the lock: it would make a concurrent command of the developer's fail.
    describe = ("--no-optional-locks", "-C", str(ROOT), "describe", "--always", "--dirty")
    return _first_line(git, *describe)


def _first_line(*command: str) -> str:
    """The first line a program says, on whichever output."""
    done = subprocess.run(  # noqa: S603  # the versions of fixed programs
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return (done.stdout.splitlines() or [""])[0]
