"""The status of a copy, by what is known of the buckets and since when."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from nearbucket.policy.model import Reason, ReplicaStatus
from nearbucket.replicas import object_cache, replica_status
from nearbucket.replicas.bucket_cache import CachedObject
from nearbucket.replicas.object_version import ABSENT, LOCKED, ObjectVersion
from nearbucket.replicas.replica_status import UNVERIFIED, ReplicaStatuses
from nearbucket.s3.credentials import SdkCredentials
from nearbucket.telemetry.metrics import Counters
from tests import build

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nearbucket.replicas.bucket_cache import BucketCache

KEY, TTL, NOW = "a.tar.gz", 600.0, 10_000.0
OBJECT, OTHER = ObjectVersion(100, "e"), ObjectVersion(100, "f")
PARTS, COPY = ObjectVersion(100, "e-2", "crc32=x"), ObjectVersion(100, "e-3", "crc32=x sha1=y")
LISTED = ObjectVersion(100, "e-2", None)
BUCKETS = {"bucket": "downloads", "region": "us-east-1", "credentials": "anonymous"}


class Known(NamedTuple):
    """The version in one bucket, how many seconds ago it was seen, and its age then."""

    held: ObjectVersion
    seen: float = 0.0
    age: float = 1e6


class World:
    """Statuses of two targets: the origin's own bucket, and another."""

    def __init__(self, session: Any, **redirect: Any) -> None:
        self.now = NOW
        self.asked: list[str] = []
        self.one = ReplicaStatuses(session, SdkCredentials(), Counters(), lambda: None)
        self.one.object_cache.check = self.ask  # type: ignore[method-assign,assignment]
        chosen = {"verify_ttl": TTL, **redirect}
        origin = BUCKETS | ({"credentials": "ambient"} if "presign" in redirect else {})
        self.one.prepare(build.settings(site={"origin": origin, "redirect": chosen}))()
        self.bucket_caches = {
            url.partition("//")[2].partition(".")[0]: bucket_cache
            for url, bucket_cache in self.one.object_cache.buckets.items()
        }

    def ask(
        self,
        bucket_cache: BucketCache,
        _key: str,
        _network: bytes = b"",
        *,
        renews: bool = False,  # noqa: ARG002
    ) -> None:
        self.asked.append(
            next(name for name, one in self.bucket_caches.items() if one is bucket_cache)
        )

    def know(self, bucket: str, known: Known | None) -> None:
        if known is not None:
            seen = self.now - known.seen
            self.bucket_caches[bucket].put(KEY, CachedObject(known.held, seen, seen - known.age))

    def status(self, region: str = "us-west-2") -> ReplicaStatus:
        return self.one.status("*", region, KEY)

    def opens(self, region: str = "us-west-2") -> list[str]:
        """The buckets that are asked while a request waits."""
        del self.asked[:]
        asyncio.run(self.one.settle("*", region, KEY))
        return self.asked


@pytest.fixture(autouse=True)
def world_clock() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        for module in (object_cache, replica_status):
            patch.setattr(module, "monotonic", lambda: NOW)
        yield patch


def judged(
    verify: str,
    origin: Known | None,
    target: Known | None,
    *,
    smallest: int = 0,
    region: str = "us-west-2",
) -> ReplicaStatus:
    world = World(None, verify=verify, min_size=smallest)
    world.know("downloads", origin)
    world.know("us-west-2-downloads", target)
    return world.status(region)


GONE, DIFFERS, SMALL = Reason.NOT_REPLICATED, Reason.NOT_REPLICATED, Reason.SMALL
NOWHERE = Reason.ABSENT
ASK = Reason.UNVERIFIED
HERE, THERE = Known(OBJECT), Known(OBJECT)


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


CLASS, RESTORE = "x-amz-storage-class", "x-amz-restore"
SSE, OWN_KEY = (
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-customer-algorithm",
)
RUNNING = 'ongoing-request="true"'
RESTORED = 'ongoing-request="false", expiry-date="Fri, 21 Dec 2035 00:00:00 GMT"'


@pytest.mark.parametrize("verify", ["match", "exists"])
@pytest.mark.parametrize(
    ("fields", "plain", "signed"),
    [
        ({CLASS: "GLACIER"}, False, False),
        ({CLASS: "DEEP_ARCHIVE"}, False, False),
        ({CLASS: "GLACIER", RESTORE: RUNNING}, False, False),
        ({CLASS: "GLACIER", RESTORE: RESTORED}, True, True),
        ({CLASS: "DEEP_ARCHIVE", RESTORE: RESTORED}, True, True),
        ({CLASS: "GLACIER_IR"}, True, True),
        ({CLASS: "INTELLIGENT_TIERING"}, True, True),
        ({CLASS: "INTELLIGENT_TIERING", "x-amz-archive-status": "ARCHIVE_ACCESS"}, False, False),
        ({CLASS: "INTELLIGENT_TIERING", "x-amz-archive-status": "DEEP_ARCHIVE_ACCESS",
          RESTORE: RUNNING}, False, False),
        ({CLASS: "STANDARD_IA"}, True, True),
        ({SSE: "AES256"}, True, True),
        ({SSE: "aws:kms"}, False, True),
        ({SSE: "aws:kms:dsse"}, False, True),
        ({SSE: "aws:kms", CLASS: "GLACIER"}, False, False),
        ({SSE: "aws:kms", CLASS: "GLACIER", RESTORE: RESTORED}, False, True),
        ({OWN_KEY: "AES256"}, False, False),
    ],
)  # fmt: skip
def test_a_copy_that_clients_cannot_read_is_unreadable(
    verify: str,
    fields: dict[str, str],
    plain: bool,  # noqa: FBT001  # a cell
    signed: bool,  # noqa: FBT001  # a cell
) -> None:
    copy = ObjectVersion.of(CIMultiDict({"Content-Length": "100", "ETag": '"e"', **fields}))
    for redirect, readable in (({}, plain), ({"presign": "15m"}, signed)):
        world = World(None, verify=verify, **redirect)
        world.know("downloads", HERE)
        world.know("us-west-2-downloads", Known(copy))
        assert world.status().against is (None if readable else Reason.UNREADABLE)


def test_a_report_names_what_keeps_clients_from_reading_the_copy() -> None:
    world = World(None, verify="match")
    world.know("downloads", HERE)
    world.know("us-west-2-downloads", Known(OBJECT._replace(unreadable="archived")))
    word, detail = world.one.report("*", "us-west-2", KEY, world.status())
    assert word == "unreadable"
    assert "target: 100 bytes, ETag e, archived, checked 0 s ago" in detail
    world.know("us-west-2-downloads", Known(LOCKED))
    assert "customer-provided key" in world.one.report("*", "us-west-2", KEY, world.status())[1]


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


def test_an_object_that_is_encrypted_with_a_customer_provided_key_is_unreadable() -> None:
    assert judged("match", HERE, Known(LOCKED)).against is Reason.UNREADABLE
    assert judged("exists", None, Known(LOCKED)).against is Reason.UNREADABLE


def test_only_the_copy_has_to_be_readable() -> None:
    archived = OBJECT._replace(unreadable="archived")
    assert judged("match", Known(archived), THERE).against is None
    assert judged("none", Known(archived), None, smallest=1).against is None


def test_that_a_copy_cannot_be_read_is_valid_no_longer_than_that_it_is_missing() -> None:
    archived = OBJECT._replace(unreadable="archived")
    assert judged("match", HERE, Known(archived, 30.0)).until == NOW
    assert judged("match", HERE, Known(archived, 30.1)).against is ASK


@pytest.mark.parametrize("region", ["us-east-1", "us-west-2"])
def test_a_version_that_a_response_has_shown_needs_a_head_of_the_copy(region: str) -> None:
    """It does not say whether clients can read the object."""
    shown = OBJECT._replace(checksums=None, unreadable=None)
    world = World(None, verify="match")
    world.know("downloads", Known(shown))
    world.know("us-west-2-downloads", THERE if region == "us-east-1" else Known(shown))
    assert world.status(region).against is ASK
    assert "downloads" in world.opens(region)
    world.know("downloads", HERE)
    world.know("us-west-2-downloads", THERE)
    assert world.status(region).against is None


def test_a_listing_does_not_hide_what_a_head_has_shown() -> None:
    world = World(None, verify="match")
    world.know("downloads", HERE)
    world.know("us-west-2-downloads", Known(OBJECT._replace(unreadable="archived"), 1.0))
    world.know("us-west-2-downloads", Known(OBJECT._replace(checksums=None)))
    assert world.status().against is Reason.UNREADABLE


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


def test_a_site_or_region_that_there_is_not_is_open_and_asks_nothing() -> None:
    world = World(None, verify="match")
    assert world.status("eu-west-1") is UNVERIFIED
    assert world.opens("eu-west-1") == []


def test_the_size_of_an_object_is_the_one_that_the_origin_has() -> None:
    copy = ObjectVersion(OBJECT.size + 1, "e")
    assert judged("none", Known(OBJECT), Known(copy)).size in {None, OBJECT.size}
    assert judged("match", Known(OBJECT), Known(copy)).size == OBJECT.size
