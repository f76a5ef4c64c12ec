"""Distributions are read from a file, as docker-compose.yml has one."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.cdn.distribution import distributions

ROOT = Path(__file__).resolve().parents[2]


def test_the_demonstrations_distribution_keeps_nothing_that_is_private() -> None:
    (made,) = distributions(ROOT / "deploy/compose/cdn.yaml").values()
    (behaviour,) = made.behaviours
    assert behaviour.cache.minimum == 0
    assert set(made.errors.values()) == {0}


def test_an_unknown_setting_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "cdn.yaml"
    file.write_text("1: {origins: {}, behaviours: [{origin: a, ttl: 1}]}")
    with pytest.raises(ValidationError, match="ttl"):
        distributions(file)
