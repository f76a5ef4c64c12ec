"""Options of ``make chaos``."""

from __future__ import annotations

import random

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options; they are there when this folder is named."""
    group = parser.getgroup("chaos")
    group.addoption("--long", action="store_true", help="20 MiB, hundreds of clients: minutes")
    group.addoption("--seed", type=int, help="number from which faults are drawn")
    group.addoption("--scene", action="append", help="play the scenes with this in their names")


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The seed, drawn if none is given."""
    given = request.config.getoption("--seed", default=None)
    return random.randrange(10_000) if given is None else int(given)  # noqa: S311
