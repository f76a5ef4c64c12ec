"""For how long a status is valid, and when the buckets are asked again."""

from __future__ import annotations

from itertools import pairwise

import pytest

from nearbucket.policy.model import ReplicaStatus
from nearbucket.replicas import object_cache, replica_status
from nearbucket.replicas.bucket_cache import CachedObject
from nearbucket.replicas.object_version import ABSENT, ObjectVersion
from tests.replicas.known_copies import (
    ASK,
    GONE,
    KEY,
    NOW,
    OBJECT,
    OTHER,
    SMALL,
    THERE,
    TTL,
    Known,
    World,
    judged,
)

pytestmark = pytest.mark.usefixtures("stopped_clock")


def test_small_is_known_for_as_long_as_good_is() -> None:
    old = Known(OBJECT, 400.0)
    found = judged("match", old, old, smallest=101)
    assert found == ReplicaStatus(SMALL, 100, NOW - 400.0 + 0.75 * TTL)


@pytest.mark.parametrize(
    ("origin", "target", "asked"),
    [(0, 0, []), (440, 440, []), (460, 0, ["downloads"]), (0, 460, ["us-west-2-downloads"]),
     (599, 500, ["downloads", "us-west-2-downloads"])],
)  # fmt: skip
def test_good_news_in_its_last_quarter_is_given_and_asked_for_again(
    origin: float, target: float, asked: list[str]
) -> None:
    world = World(None, verify="match")
    world.know("downloads", Known(OBJECT, origin))
    world.know("us-west-2-downloads", Known(OBJECT, target))
    assert world.status().against is None
    assert world.asked == asked
    assert (world.status().until < NOW) is bool(asked)


def test_bad_news_holds_no_longer_than_good_news() -> None:
    world = World(None, verify="exists", verify_ttl=5.0)
    world.know("us-west-2-downloads", Known(ABSENT, 4.0))
    assert world.status() == ReplicaStatus(GONE, None, NOW + 1.0)


@pytest.mark.parametrize(
    ("age", "holds"), [(0, 2), (19, 2), (60, 6), (3000, 300), (6000, 600), (1e8, 600)]
)
def test_good_news_holds_for_a_tenth_of_the_age_of_the_origin_s_object(
    age: float, holds: float
) -> None:
    for seen, against in ((holds, None), (holds + 0.1, ASK)):
        found = judged("match", Known(OBJECT, seen, age), Known(OBJECT, 0.0, 1e8))
        assert found.against is against
    assert judged("match", Known(OBJECT, 0.0, age), THERE).until == NOW + 0.75 * holds


def asked_at(versions: dict[str, tuple[ObjectVersion, float]]) -> list[float]:
    """When the target is asked, within 200 s of requests, each half second.

    Args:
        versions: What each bucket holds all the time, and its age at the beginning.
    """
    moments = []
    world = World(None, verify="match")
    for step in range(400):
        world.now = NOW + step / 2
        with pytest.MonkeyPatch.context() as patch:
            for module in (object_cache, replica_status):
                patch.setattr(module, "monotonic", lambda: world.now)
            if world.status().against is not ASK:
                continue
            while asked := list(world.opens()):  # the origin first, then the target
                for name in asked:
                    held, age = versions[name]
                    since = world.now if held == ABSENT else NOW - age
                    world.bucket_caches[name].put(KEY, CachedObject(held, world.now, since))
            moments.append(world.now - NOW)
    return moments


def test_a_copy_that_is_missing_is_asked_for_again_after_2_4_8_up_to_30_seconds() -> None:
    found = asked_at({"downloads": (OBJECT, 1e6), "us-west-2-downloads": (ABSENT, 0)})
    pauses = [after - before for before, after in pairwise(found)]
    assert pauses == [2.5, 3, 6, 12, 24, 30.5, 30.5, 30.5, 30.5]  # at the first request after it


def test_of_a_copy_that_differs_the_younger_of_both_uploads_counts() -> None:
    for origin, target in ((0, 1e6), (1e6, 0)):
        found = asked_at({"downloads": (OBJECT, origin), "us-west-2-downloads": (OTHER, target)})
        assert found[:4] == [0, 2.5, 5.5, 11.5]
