"""What the story needs: commands of the product."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session", autouse=True)
def _commands(commands: None) -> None:
    """Have commands of the product started as forks."""
