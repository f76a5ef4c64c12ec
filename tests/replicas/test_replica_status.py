"""The status of a copy, by what is known of the buckets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from nearbucket.replicas.object_version import ABSENT, ObjectVersion
from nearbucket.replicas.replica_status import UNVERIFIED
from tests.replicas.known_copies import (
    ASK,
    COPY,
    DIFFERS,
    GONE,
    HERE,
    KEY,
    NOW,
    NOWHERE,
    OBJECT,
    OTHER,
    PARTS,
    SMALL,
    THERE,
    TTL,
    Known,
    World,
    judged,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nearbucket.policy.model import Reason

pytestmark = pytest.mark.usefixtures("stopped_clock")

LISTED = ObjectVersion(100, "e-2", None)


@pytest.mark.parametrize(
    ("verify", "origin", "target", "smallest", "against"),
    [
        ("match", HERE, THERE, 0, None),
        ("match", None, THERE, 0, ASK),
        ("match", HERE, None, 0, ASK),
        ("match", None, None, 0, ASK),
        ("match", HERE, Known(ABSENT), 0, GONE),
        ("match", Known(ABSENT), THERE, 0, NOWHERE),
        ("match", Known(ABSENT), Known(ABSENT), 0, NOWHERE),
        ("match", Known(ABSENT), None, 0, NOWHERE),
        ("match", Known(ABSENT, 31), THERE, 0, ASK),
        ("match", HERE, Known(OTHER), 0, DIFFERS),
        ("match", HERE, Known(ObjectVersion(101, "e")), 0, DIFFERS),
        ("match", Known(ObjectVersion(100, "")), Known(ObjectVersion(100, "")), 0, DIFFERS),
        ("match", Known(PARTS), Known(COPY), 0, None),
        ("match", Known(PARTS), Known(ObjectVersion(100, "e-3")), 0, DIFFERS),
        ("match", Known(LISTED), Known(COPY), 0, ASK),
        ("match", Known(LISTED), Known(LISTED), 0, None),
        ("match", HERE, THERE, 100, None),
        ("match", HERE, THERE, 101, SMALL),
        ("match", HERE, Known(OTHER), 101, SMALL),
        ("match", HERE, Known(ABSENT), 101, SMALL),
        ("match", HERE, Known(ABSENT), 100, GONE),
        ("match", Known(ObjectVersion(0, "e")), Known(ObjectVersion(0, "e")), 0, None),
        ("exists", None, THERE, 0, None),
        ("exists", None, Known(ObjectVersion(100, "")), 0, None),
        ("exists", Known(OTHER), THERE, 0, None),
        ("exists", HERE, Known(ABSENT), 0, GONE),
        ("exists", HERE, None, 0, ASK),
        ("exists", None, THERE, 101, ASK),
        ("exists", HERE, THERE, 101, SMALL),
        ("exists", HERE, Known(ABSENT), 101, SMALL),
        ("exists", HERE, Known(ABSENT), 100, GONE),
        ("exists", Known(ABSENT), Known(ABSENT), 101, GONE),
        ("exists", Known(ABSENT), THERE, 100, None),
        ("exists", Known(ABSENT), THERE, 101, SMALL),
        ("exists", Known(OTHER), THERE, 100, None),
        ("none", None, None, 0, None),
        ("none", Known(ABSENT), Known(ABSENT), 0, None),
        ("none", None, None, 1, ASK),
        ("none", HERE, Known(ABSENT), 100, None),
        ("none", HERE, None, 101, SMALL),
        ("none", Known(ABSENT), None, 1, NOWHERE),
    ],
)
def test_a_copy_is_judged_by_what_is_known(
    verify: str, origin: Known | None, target: Known | None, smallest: int, against: Reason | None
) -> None:
    found = judged(verify, origin, target, smallest=smallest)
    assert found.against is against
    asked = {"match": True, "exists": True, "none": smallest > 0}[verify]
    if against is None:
        used = origin if verify != "exists" else target
        assert found.size == (used.held.size if asked and used else None)
        assert (found.until == NOW + 0.75 * TTL) is asked


def test_a_copy_that_may_be_used_has_its_own_etag_and_the_origins_where_that_differs() -> None:
    assert judged("match", HERE, THERE).etags == ("e",)
    assert judged("match", Known(PARTS), Known(COPY)).etags == ("e-3", "e-2")
    assert judged("match", HERE, Known(OTHER)).etags == ()


@pytest.mark.parametrize("verify", ["match", "exists"])
def test_a_target_that_is_the_origin_is_one_bucket(verify: str) -> None:
    def own(known: Known | None, smallest: int = 0) -> Reason | None:
        return judged(verify, known, None, region="us-east-1", smallest=smallest).against

    assert own(HERE) is None
    assert own(Known(ObjectVersion(100, ""))) is None
    assert own(Known(ABSENT)) is NOWHERE
    assert own(None) is ASK
    assert own(HERE, 101) is SMALL


@pytest.mark.parametrize(
    ("redirect", "detail"),
    [
        ({"verify": "none"}, "no bucket is checked (redirect.verify, redirect.min_size)"),
        ({"verify": "none", "min_size": 1}, "object: 100 bytes, ETag e, checked 0 s ago"),
        ({"verify": "exists"}, "object: not known"),
    ],
)
def test_a_report_names_the_buckets_that_are_checked(redirect: dict[str, Any], detail: str) -> None:
    world = World(None, **redirect)
    world.know("downloads", HERE)
    assert world.one.report("*", "us-west-2", KEY, world.status())[1] == detail


SEEN = st.sampled_from([0.0, 1.9, 2.1, 29.0, 31.0, 449.0, 451.0, 599.0, 601.0])
AGES = st.sampled_from([0.0, 3.0, 29.5, 100.0, 4500.0, 1e6])
HELD = st.sampled_from([OBJECT, OTHER, ABSENT, PARTS, COPY, ObjectVersion(3, "e")])
KNOWN = st.none() | st.builds(Known, HELD, SEEN, AGES)


def expected(
    verify: str, origin: Known | None, target: Known | None, smallest: int
) -> Reason | None:
    """The rules of "How copies are checked" in docs/request-handling.md, in order."""
    needed: Sequence[Known | None] = {
        "match": (origin, target),
        "exists": (origin, target) if smallest else (target,),
        "none": (origin,) if smallest else (),
    }[verify]
    if verify != "exists" and needed and origin is not None and origin.held == ABSENT:
        return NOWHERE if origin.seen <= min(max(origin.age, 2), 30) else ASK
    if None in needed:
        return ASK
    known = [each for each in needed if each is not None]
    seen = max((each.seen for each in known), default=0.0)
    there = [each for each in known if each.held != ABSENT]
    small = bool(there) and there[0].held.size < smallest
    bad = known and (
        known[-1].held == ABSENT or (verify == "match" and not known[0].held.equals(known[1].held))
    )
    if bad and not small:
        return GONE if seen <= min(max(min(each.age for each in known), 2), 30) else ASK
    if known and seen > min(max(there[-1 if verify == "exists" else 0].age / 10, 2), TTL):
        return ASK
    return SMALL if small else None


WORLDS = st.tuples(
    st.sampled_from(["match", "exists", "none"]), KNOWN, KNOWN, st.sampled_from([0, 50])
)


@hypothesis_settings(max_examples=5 * hypothesis_settings().max_examples)
@given(WORLDS)
def test_it_follows_from_the_rules_on_the_page(
    case: tuple[str, Known | None, Known | None, int],
) -> None:
    verify, origin, target, smallest = case
    found = judged(verify, origin, target, smallest=smallest)
    assert found.against is expected(verify, origin, target, smallest)


@hypothesis_settings(max_examples=3 * hypothesis_settings().max_examples)
@given(WORLDS, HELD, HELD)
def test_waiting_asks_what_is_open_and_nothing_else(
    case: tuple[str, Known | None, Known | None, int], here: ObjectVersion, there: ObjectVersion
) -> None:
    verify, origin, target, smallest = case
    world = World(None, verify=verify, min_size=smallest)
    truth = {"downloads": here, "us-west-2-downloads": there}
    for name, known in zip(truth, (origin, target), strict=True):
        world.know(name, known)
    for _ in range(3):  # what one bucket says may make what is known of the other too old
        if world.status().against is not ASK:
            break
        asked = list(world.opens())
        assert asked
        for name in asked:
            world.know(name, Known(truth[name]))
    assert world.status().against is not ASK
    assert world.opens() == []


@pytest.mark.parametrize("origin", [None, Known(ABSENT, 31)])
def test_the_origin_is_asked_before_any_target_for_what_it_may_lack(origin: Known | None) -> None:
    world = World(None, verify="match")
    world.know("downloads", origin)
    assert world.opens() == ["downloads"]
    world.know("downloads", Known(ABSENT))
    assert world.opens() == []
    assert world.status().against is NOWHERE


def test_what_the_origin_had_is_asked_for_in_all_buckets_at_once() -> None:
    world = World(None, verify="match")
    world.know("downloads", Known(OBJECT, 601))
    assert world.opens() == ["downloads", "us-west-2-downloads"]


def test_a_site_or_region_that_there_is_not_is_open_and_asks_nothing() -> None:
    world = World(None, verify="match")
    assert world.status("eu-west-1") is UNVERIFIED
    assert world.opens("eu-west-1") == []


def test_the_size_of_an_object_is_the_one_that_the_origin_has() -> None:
    copy = ObjectVersion(OBJECT.size + 1, "e")
    assert judged("none", Known(OBJECT), Known(copy)).size in {None, OBJECT.size}
    assert judged("match", Known(OBJECT), Known(copy)).size == OBJECT.size
