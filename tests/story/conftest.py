"""What the story needs: commands of the product, and to be played first, as it takes longest."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session", autouse=True)
def _commands(commands: None) -> None:
    """Have commands of the product started as forks."""


@pytest.hookimpl(tryfirst=True)  # before a plugin shuffles the tests
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have no process play the story alone when all others have ended."""
    items.sort(key=lambda item: item.path.name != "test_story.py")
