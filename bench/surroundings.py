"""Where a result was measured: machine, kernel and versions.

In: nothing. Out: plain values for a result file. Refuses names of hosts and users: result
files are published.
"""  # noqa: INP001  # scripts that run from their own folder, not a package

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

from servers import nginx_program

from proxy import __version__

_LIBRARIES = ("aiohttp", "httptools", "uvloop")


def machine() -> dict[str, str | int]:
    """Processor, cores and kernel."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": f"{platform.system()} {platform.release()}",
    }


def versions(generator: str) -> dict[str, str]:
    """Versions of everything that takes part."""
    found = {"nearbucket": __version__, "python": platform.python_version()}
    found |= {name: version(name) for name in _LIBRARIES}
    nginx = nginx_program()
    if nginx:
        found["nginx"] = _first_line(nginx, "-v").rpartition("/")[2]
    if generator == "wrk":
        found["wrk"] = _first_line(generator, "-v").partition("[")[0].removeprefix("wrk ").strip()
    return found


def _first_line(*command: str) -> str:
    """The first line a program says, on whichever output."""
    done = subprocess.run(  # noqa: S603  # nginx -v and wrk -v
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return (done.stdout.splitlines() or [""])[0]
