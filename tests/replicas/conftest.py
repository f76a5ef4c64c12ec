"""Fixtures that several files here use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nearbucket.replicas import object_cache, replica_status
from tests.replicas.known_copies import NOW

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def stopped_clock() -> Iterator[None]:
    """It is ``NOW`` for what is known of objects, and for statuses."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (object_cache, replica_status):
            patch.setattr(module, "monotonic", lambda: NOW)
        yield
