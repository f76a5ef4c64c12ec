"""When an origin that does not answer is no reason against a redirect."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from nearbucket.replicas.bucket_cache import CachedObject
from nearbucket.replicas.object_version import ObjectVersion
from nearbucket.replicas.replica_rule import OUTAGE, ReplicaRule

NOW, VERIFY_TTL = 1_000_000.0, 600.0
FAILING, ANSWERING = (SimpleNamespace(failure=failure) for failure in ("no response", ""))


@pytest.mark.parametrize(
    ("buckets", "origin_seen", "copy_seen", "is_excused"),
    [
        pytest.param([FAILING, ANSWERING], VERIFY_TTL + 1, VERIFY_TTL, True, id="its answer alone"),
        pytest.param([FAILING, ANSWERING], OUTAGE - 1, 0, True, id="for a day"),
        pytest.param([FAILING, ANSWERING], OUTAGE, 0, False, id="no longer"),
        pytest.param([FAILING, ANSWERING], 601, VERIFY_TTL + 0.25, False, id="the copy's as well"),
        pytest.param([ANSWERING, FAILING], 601, 0, False, id="it answers"),
        pytest.param([FAILING], 601, 0, False, id="it is the target"),
    ],
)
def test_only_the_answer_of_an_origin_that_fails_is_valid_for_longer(
    buckets: list[Any], origin_seen: float, copy_seen: float, *, is_excused: bool
) -> None:
    rule = ReplicaRule(
        watched_url=None, clients=None, buckets=tuple(buckets), has_origin=True,
        longest=VERIFY_TTL, smallest=0, compares=True, barriers=frozenset(),
    )  # fmt: skip
    version = ObjectVersion(7, "e", "", unreadable="")
    entries = [CachedObject(version, NOW - age, 0.0) for age in (origin_seen, copy_seen)]
    assert rule.is_excused(entries, NOW) is is_excused
