"""Pipes for access logs."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.telemetry.pipes import Pipe

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    with ExitStack() as stack:
        yield Pipe(stack, 0)


@pytest.fixture
def packets() -> Iterator[Pipe]:
    """A pipe that shows where one write ended and the next began."""
    with ExitStack() as stack:
        yield Pipe(stack, os.O_DIRECT)
