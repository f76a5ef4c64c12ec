"""What the supervisor notes of the figures over time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from nearbucket.supervisor.observations import Observations
from tests.build import settings

if TYPE_CHECKING:
    import pytest


def test_a_clock_that_is_set_back_shortens_neither_the_uptime_nor_the_time_of_a_months_figures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen, set_at = settings(), time.time()
    observations = Observations(set_at)
    observations.apply(chosen)
    monkeypatch.setattr(time, "time", lambda: set_at - 86400)
    observations.noted({}, {})
    past = observations.past(chosen, (), ())
    assert past.uptime >= 0
    assert past.month.seconds >= 0
