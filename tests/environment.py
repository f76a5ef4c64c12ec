"""Gives all tests, and the programs they start, the same environment on every machine.

A pytest plugin, loaded by ``tests/conftest.py``. Variables that change what the product, the AWS
SDK, curl, git or a terminal library do are removed; the home folder is an empty one, so that no
``.aws``, ``.curlrc``, ``.netrc`` or ``.gitconfig`` of the user takes part. No property test fails
because a machine is slow; each tries 30 examples where it asks for no other number, and with
``--hypothesis-profile=long``, as ``make test-long`` has it, Hypothesis's usual 100.
"""

from __future__ import annotations

import atexit
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Never

import pytest
from hypothesis import HealthCheck, settings

_REMOVED = re.compile(
    r"NEARBUCKET_.*|AWS_.*|GIT_.*|XDG_(CONFIG|CACHE|DATA|STATE)_.*"
    r"|.*_PROXY"  # http_proxy and its kin: clients would ask it for 127.0.0.1
    r"|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|CURL_(CA_BUNDLE|HOME)"
    r"|GITHUB_ACTIONS|(FORCE|NO)_COLOR|CLICOLOR.*|PY_COLORS|TTY_.*"  # rich and typer obey them
    r"|LANG|LANGUAGE|LC_.*"
    r"|COLUMNS|LINES"
    r"|PYTHONDONTWRITEBYTECODE",  # each of hundreds of processes would compile the package anew
    re.IGNORECASE,
)


def pytest_configure() -> None:
    """Change this process's environment, which child processes inherit."""
    for name in tuple(os.environ):
        if _REMOVED.fullmatch(name):
            del os.environ[name]
    os.environ["LC_ALL"] = "C.UTF-8"
    sys.dont_write_bytecode = False
    # docker finds its compose plugin in the user's own folder
    os.environ.setdefault("DOCKER_CONFIG", str(Path.home() / ".docker"))
    home = tempfile.TemporaryDirectory(prefix="nearbucket-home-")
    atexit.register(home.cleanup)  # worker processes of pytest-xdist run no cleanup of pytest's
    os.environ["HOME"] = home.name
    for name, examples in (("short", 30), ("long", 100)):
        settings.register_profile(
            name,
            deadline=None,
            max_examples=examples,
            suppress_health_check=[HealthCheck.too_slow],
        )
    settings.load_profile("short")


@pytest.fixture
def no_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without a home folder: no HOME, and a uid that the system does not know."""

    def unknown(_: int) -> Never:
        raise KeyError

    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", unknown)
