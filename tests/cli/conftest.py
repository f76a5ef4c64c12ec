"""Fixtures for tests of the commands: running a command, a list of prefixes, a configuration."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import yaml

from nearbucket.cli import main as cli
from nearbucket.config.settings import AWS_LIST
from nearbucket.regions.built_in_list import built_in_list
from tests.build import ranges_document

if TYPE_CHECKING:
    from collections.abc import Callable


ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "config" / "nearbucket.example.yaml"
TITLE = "\x1b]0;owned\x07"
"""Sets a terminal's title; click removes colours in pipes, but not this."""

SITE = {
    "origin": {"bucket": "downloads", "region": "us-east-1"},
    "targets": {"us-east-1": {"bucket": "downloads"}, "us-west-2": {"bucket": "west-downloads"}},
}
_built_in = built_in_list(AWS_LIST)
assert _built_in is not None
BUILT_IN_DATE = _built_in.date
MIRROR = {"source": "http://mirror.example/ip-ranges.json"}
"""The section ``regions`` of a configuration without a list, not even the built-in one."""
EAST_URL = "https://downloads.s3.us-east-1.amazonaws.com"
WEST_URL = "https://west-downloads.s3.us-west-2.amazonaws.com"


class Outcome(NamedTuple):
    """Exit code and output of a command."""

    code: int | str | None
    out: str
    err: str


if TYPE_CHECKING:
    Run = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def _nothing_of_this_machine(
    lists_parsed_once: None,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    for name in os.environ:
        if name.startswith(("NEARBUCKET_", "AWS_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def nearbucket(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs ``nearbucket`` with arguments and bytes on standard input."""

    def run(*arguments: str, stdin: bytes = b"") -> Outcome:
        monkeypatch.setattr(sys, "argv", ["nearbucket", *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), "utf-8"))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return Outcome(ended.value.code, *capsys.readouterr())

    return run


@pytest.fixture
def listed(tmp_path: Path) -> str:
    """Path of a list with documentation addresses."""
    path = tmp_path / "list.json"
    path.write_bytes(ranges_document())
    return str(path)


def write(path: Path, **sections: Any) -> str:
    """Write a configuration file; returns its path."""
    path.write_text(yaml.safe_dump({"sites": [SITE], **sections}), encoding="utf-8")
    return str(path)


@pytest.fixture
def config(tmp_path: Path) -> str:
    return write(tmp_path / "good.yaml")


def lines_of(outcome: Outcome) -> list[str]:
    assert (outcome.code, outcome.err) == (0, "")
    return outcome.out.splitlines()
