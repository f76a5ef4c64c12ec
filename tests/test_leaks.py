"""Tests that leave something behind, in a run of their own: each is an error that names it."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path
from textwrap import dedent

import pytest

pytest_plugins = ("pytester",)

ROOT = Path(__file__).parents[1]

LEFT = {
    "thread": (
        """
        import threading
        def test_it():
            threading.Thread(target=threading.Event().wait, name="idle", daemon=True).start()
        """,
        "thread idle (*)",
    ),
    "socket": (
        """
        import socket
        KEPT = []
        def test_it():
            KEPT.append(socket.socket())
        def test_next():
            pass
        """,
        "descriptor of socket:*",
    ),
    "event loop": (
        """
        import asyncio
        KEPT = []
        def test_it():
            KEPT.append(asyncio.new_event_loop())
        """,
        "descriptor of anon_inode:*eventpoll* at descriptor *",
    ),
    "child process": (
        """
        import subprocess
        KEPT = []
        def test_it():
            KEPT.append(subprocess.Popen(["sleep", "60"]))
        def teardown_module():
            KEPT[0].kill()  # without waiting for its end
        """,
        "child process *",
    ),
    "task": (
        """
        import asyncio
        KEPT = []
        async def test_it():
            KEPT.append(asyncio.create_task(asyncio.sleep(60), name="late"))
        """,
        "*<Task pending name='late'*",
    ),
    "of a function's fixture": (
        """
        import pytest, socket
        KEPT = []
        @pytest.fixture
        def it():
            KEPT.append(socket.socket())
        def test_it(it):
            pass
        """,
        "descriptor of socket:*",
    ),
    "of a module's fixture that has ended": (
        """
        import pytest, socket
        KEPT = []
        @pytest.fixture(scope="module")
        def it():
            KEPT.append(socket.socket())
        def test_it(it):
            pass
        """,
        "descriptor of socket:*",
    ),
    "beside the error of a teardown": (
        """
        import pytest, socket
        KEPT = []
        @pytest.fixture
        def it():
            yield
            KEPT.append(socket.socket())
            raise ValueError("the teardown's own error")
        def test_it(it):
            pass
        def test_next():
            pass
        """,
        "descriptor of socket:*",
    ),
}
"""What is left to a module by its first test, and the line that names it."""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """With the plugin and pytest-asyncio alone."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeini("[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function")
    return pytester


def inner(run: pytest.Pytester, patience: float = 0.05, /, **modules: str) -> pytest.RunResult:
    """A run of these tests, in which what is ending may take ``patience`` seconds."""
    run.makeconftest(f"from tests import leaks\nleaks.PATIENCE = {patience}\n")
    run.makepyfile(**{f"test_{name}": dedent(code) for name, code in modules.items()})
    return run.runpytest_subprocess("-p", "pytest_asyncio.plugin", "-p", "tests.leaks")


def test_what_a_test_leaves_is_an_error_that_names_it(run: pytest.Pytester) -> None:
    """One run has them all, so that each is blamed on its own test and on no other."""
    modules = {re.sub(r"\W", "_", name): LEFT[name] for name in LEFT}
    done = inner(run, **{name: source for name, (source, _) in modules.items()})
    tests = sum(source.count("def test_") for source, _ in LEFT.values())
    done.assert_outcomes(passed=tests, errors=len(LEFT))
    errors = re.split(r"^_+ ERROR at teardown of ", done.stdout.str(), flags=re.MULTILINE)[1:]
    for (name, (_, named)), error in zip(sorted(modules.items()), errors, strict=True):
        lines = error.partition("short test summary")[0].splitlines()
        assert lines[0].startswith("test_it "), name
        own = any(line.endswith("the teardown's own error") for line in lines)
        assert own == (name == "beside_the_error_of_a_teardown")
        assert any(fnmatch(line, f"{'E  *' * own}  {named}") for line in lines), name


def test_what_ends_in_time_and_what_a_wider_fixture_holds_is_no_error(run: pytest.Pytester) -> None:
    done = inner(
        run,
        30,
        it="""
        import asyncio, pytest, socket, threading
        @pytest.fixture(scope="module")
        def server():
            with socket.create_server(("", 0)) as made:
                yield made
        def test_fixture(server):
            pass
        def test_again(server):
            pass
        def test_thread():
            threading.Timer(0.01, print).start()
        KEPT = []
        async def test_task():
            KEPT.append(asyncio.create_task(asyncio.sleep(0.01)))
        """,
    )
    done.assert_outcomes(passed=4)
