"""Samples of an origin are compared with a target, on a local S3 server."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from nearbucket.cli.check.bucket_inspection import BucketInquiry
from nearbucket.cli.check.finding import Level
from nearbucket.cli.check.replica_sample import (
    ComparedObject,
    ReplicaState,
    Sample,
    compared,
    replicates,
    sample_findings,
    spread,
    take,
)
from nearbucket.cli.demo.seaweedfs import make_bucket
from nearbucket.config.buckets import Bucket
from nearbucket.errors import ProxyError
from nearbucket.replication.comparison import NO_ETAG, NO_ETAG_REMEDY
from nearbucket.s3.bucket_location import BucketLocation
from nearbucket.s3.copy_mark import TAG, mark_of
from nearbucket.s3.listing.list_page import ListedObject
from nearbucket.s3.sdk.sdk_client import opened
from nearbucket.s3.unreadable import Unreadable
from tests.scripteds3 import Say, ScriptedS3, error, reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.conftest import LocalS3

NUMBERS = itertools.count()


class World(NamedTuple):
    """Folders in an origin and a target, and a client that writes to both."""

    origin: BucketInquiry
    target: BucketInquiry

    async def put(self, key: str, body: bytes = b"x", *, target: bytes | None = None) -> None:
        await self.origin.client.put_object(**self.origin.location.arguments(key), Body=body)
        if target is not None:
            await self.target.client.put_object(**self.target.location.arguments(key), Body=target)


@pytest.fixture
async def world(s3: LocalS3) -> AsyncIterator[World]:
    prefix = f"sample/{next(NUMBERS)}/"
    async with s3.server.client() as client:
        names = [bucket["Name"] for bucket in (await client.list_buckets())["Buckets"]]
        for name in ("sample-origin", "sample-west"):
            if name not in names:
                await make_bucket(client, name)
    places = [
        BucketLocation(
            name,
            Bucket(bucket=name, region="us-east-1", prefix=prefix, endpoint=s3.server.endpoint),
            s3.files,
        )
        for name in ("sample-origin", "sample-west")
    ]
    async with opened(places[0]) as one, opened(places[1]) as two:
        yield World(BucketInquiry(places[0], one), BucketInquiry(places[1], two))


def tars(key: str, _size: int) -> bool:
    return key.endswith(".tar.gz")


ALL, SIGNED = frozenset(Unreadable), frozenset({Unreadable.ARCHIVED, Unreadable.CUSTOMER_KEY})
"""What keeps clients from reading a copy, without and with ``redirect.presign``."""


async def likeness(world: World) -> dict[str, str]:
    sample = await take(world.origin, tars, 20)
    assert not isinstance(sample, ProxyError)
    found = await compared(world.origin, world.target, sample, ALL)
    return {each.what.key: each.state.name for each in found}


async def test_each_object_is_compared_by_presence_size_and_etag(world: World) -> None:
    await world.put("same.tar.gz", target=b"x")
    await world.put("ü+absent.tar.gz")
    await world.put("longer.tar.gz", target=b"xx")
    await world.put("other.tar.gz", target=b"y")
    await world.put("not-chosen.txt")
    assert await likeness(world) == {
        "same.tar.gz": "SAME",
        "ü+absent.tar.gz": "ABSENT",
        "longer.tar.gz": "SIZE",
        "other.tar.gz": "VERSION",
    }


@pytest.mark.parametrize(
    ("more", "state"),
    [
        ({"StorageClass": "GLACIER"}, "ARCHIVED"),
        ({"StorageClass": "DEEP_ARCHIVE"}, "ARCHIVED"),
        ({"StorageClass": "GLACIER_IR"}, "SAME"),
        ({"StorageClass": "INTELLIGENT_TIERING"}, "SAME"),
        ({"ServerSideEncryption": "AES256"}, "SAME"),
        ({"SSECustomerAlgorithm": "AES256", "SSECustomerKey": b"k" * 32}, "CUSTOMER_KEY"),
    ],
)
async def test_a_copy_that_clients_cannot_read_is_told(
    world: World, more: dict[str, Any], state: str
) -> None:
    await world.put("a.tar.gz")
    arguments = world.target.location.arguments("a.tar.gz")
    await world.target.client.put_object(**arguments, Body=b"x", **more)
    assert await likeness(world) == {"a.tar.gz": state}


async def test_an_archived_object_of_an_origin_that_is_the_target_is_told(world: World) -> None:
    arguments = world.origin.location.arguments("a.tar.gz")
    await world.origin.client.put_object(**arguments, Body=b"x", StorageClass="GLACIER")
    await world.put("b.tar.gz")
    own = World(world.origin, world.origin)
    assert await likeness(own) == {"a.tar.gz": "ARCHIVED", "b.tar.gz": "SAME"}


@pytest.mark.parametrize(("barriers", "state"), [(ALL, "KMS"), (SIGNED, "SAME")])
async def test_a_copy_that_is_encrypted_with_a_kms_key_needs_signed_urls(
    barriers: frozenset[str], state: str
) -> None:
    head = reply("200 OK", b"", 'ETag: "e"', "x-amz-server-side-encryption: aws:kms", length=1)
    async with ScriptedS3(Say(head)) as server:
        entry = Bucket(bucket="downloads", region="us-east-1", endpoint=server.endpoint)
        place = BucketLocation("t", entry, "anonymous")
        async with opened(place, attempts=1) as client:
            inquiry = BucketInquiry(place, client)
            sample = Sample(1, whole=True, chosen=1, objects=[an_object(1)])
            (found,) = await compared(inquiry, inquiry, sample, barriers)
    assert found.state.name == state


@pytest.mark.parametrize(
    ("state", "fix"),
    [
        (ReplicaState.ARCHIVED, "restore them"),
        (ReplicaState.KMS, "set redirect.presign, or encrypt the copies with SSE-S3"),
        (ReplicaState.CUSTOMER_KEY, "encrypt the copies with SSE-S3"),
    ],
)
def test_what_helps_against_a_copy_that_clients_cannot_read(state: ReplicaState, fix: str) -> None:
    for verify, text in (("match", "requests are streamed"), ("none", "redirected to errors")):
        found = [ComparedObject(an_object(1), state)]
        (finding,) = sample_findings("t", found, verify, "run sync")
        assert finding.level is Level.WRONG
        assert text in finding.text
        assert finding.fix.startswith(fix)


async def test_a_copy_known_by_its_tag_is_the_same_with_another_etag(world: World) -> None:
    await world.put("kms.tar.gz", target=b"y")
    heads: Any = [
        await side.ask("head_object", "kms.tar.gz") for side in (world.origin, world.target)
    ]
    await world.target.client.put_object_tagging(
        **world.target.location.arguments("kms.tar.gz"),
        Tagging={
            "TagSet": [{"Key": TAG, "Value": mark_of(*(head["ETag"].strip('"') for head in heads))}]
        },
    )
    assert await likeness(world) == {"kms.tar.gz": "OTHER_ETAG"}


async def test_fields_that_a_server_leaves_out_are_no_traceback() -> None:
    """The length of an empty object, and the date that tells which of two versions is older."""
    empty = Say(reply("200 OK", b"", 'ETag: "e"').replace(b"Content-Length: 0\r\n", b""), "close")
    dateless = Say(reply("200 OK", b"", 'ETag: "p-2"', length=1), "close")
    script = empty, dateless, Say(error("404 Not Found", "NoSuchTagSet")), dateless, dateless
    async with ScriptedS3(*script) as server:
        entry = Bucket(bucket="bkt", region="us-east-1", endpoint=server.endpoint)
        place = BucketLocation("t", entry, "anonymous")
        copies = replace(place, entry=entry.model_copy(update={"prefix": "copies/"}))
        now = datetime.now(UTC)
        async with opened(place, attempts=1) as client:
            for size, state in ((0, ReplicaState.SAME), (1, ReplicaState.VERSION)):
                sample = Sample(1, True, 1, [ListedObject("a", size, "e", now)])  # noqa: FBT003  # whole
                sides = BucketInquiry(place, client), BucketInquiry(copies, client)
                (found,) = await compared(*sides, sample, ALL)
                assert found.state is state


@pytest.mark.parametrize(("field", "state"), [('ETag: "e"', "SAME"), ("X-A: b", "NO_ETAG")])
async def test_where_listings_have_no_etags_those_of_the_objects_are_compared(
    field: str, state: str
) -> None:
    head = reply("200 OK", b"", field, "Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT", length=1)
    async with ScriptedS3(*[Say(head, "close")] * 6) as server:
        entry = Bucket(bucket="bkt", region="us-east-1", endpoint=server.endpoint)
        place = BucketLocation("t", entry, "anonymous")
        copies = replace(place, entry=entry.model_copy(update={"prefix": "copies/"}))
        async with opened(place, attempts=1) as client:
            sample = Sample(1, True, 1, [an_object(1)._replace(size=1, etag="")])  # noqa: FBT003  # whole
            sides = BucketInquiry(place, client), BucketInquiry(copies, client)
            (found,) = await compared(*sides, sample, ALL)
    assert found.state.name == state


async def test_a_target_that_may_not_be_read_is_refused(world: World, s3: LocalS3) -> None:
    await world.put("a.tar.gz", target=b"x")
    entry = world.target.location.entry.model_copy(update={"bucket": s3.private})
    anonymous = BucketLocation("t", entry, "anonymous")
    sample = await take(world.origin, tars, 20)
    assert not isinstance(sample, ProxyError)
    async with opened(anonymous, attempts=1) as client:
        (found,) = await compared(world.origin, BucketInquiry(anonymous, client), sample, ALL)
    assert found.state is ReplicaState.REFUSED


async def test_no_more_keys_are_looked_at_than_allowed(world: World) -> None:
    for number in range(4):
        await world.put(f"{number}.tar.gz")
    sample = await take(world.origin, tars, 20, most=3)
    assert not isinstance(sample, ProxyError)
    assert (sample.seen, sample.whole, sample.chosen) == (3, False, 3)
    sample = await take(world.origin, tars, 2)
    assert not isinstance(sample, ProxyError)
    assert (sample.seen, sample.whole, sample.chosen, len(sample.objects)) == (4, True, 4, 2)


async def test_an_origin_that_cannot_be_listed_is_an_error_as_value(s3: LocalS3) -> None:
    gone = Bucket(bucket="gone", region="us-east-1", endpoint=s3.server.endpoint)
    place = BucketLocation("o", gone, s3.files)
    async with opened(place, attempts=1) as client:
        assert isinstance(await take(BucketInquiry(place, client), tars, 20), ProxyError)


# which objects, and what is said


def an_object(number: int, age: timedelta = timedelta(days=2)) -> ListedObject:
    return ListedObject(f"{number}.tar.gz", 1, "e", datetime.now(UTC) - age)


@pytest.mark.parametrize(
    ("there", "count", "taken"),
    [(0, 20, 0), (5, 20, 5), (100, 20, 20), (21, 20, 20), (9, 1, 1), (9, 3, 3)],
)
def test_a_sample_has_no_object_twice(there: int, count: int, taken: int) -> None:
    found = spread([an_object(number) for number in range(there)], count)
    assert len(found) == len(set(found)) == taken


def test_a_sample_is_spread_and_a_quarter_of_it_is_the_newest() -> None:
    ages = {number: timedelta(hours=1 if number in {41, 42} else 99) for number in range(80)}
    found = spread([an_object(number, age) for number, age in ages.items()], 8)
    keys = [int(each.key.removesuffix(".tar.gz")) for each in found]
    assert sorted(keys[6:]) == [41, 42]
    assert keys[:6] == [0, 13, 26, 39, 54, 67]


def lacking(*ages: timedelta, replication: str = "") -> list[ComparedObject]:
    return [
        ComparedObject(an_object(number, age), ReplicaState.ABSENT, "", replication)
        for number, age in enumerate(ages)
    ]


OLD = "the replication rule does not copy objects that are older than the rule"
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@pytest.mark.parametrize(
    ("found", "level", "text", "fix"),
    [
        pytest.param(lambda: lacking(3 * HOUR, 5 * HOUR), "wrong", "newest was uploaded 3 h ago",
                     "run sync", id="long absent"),
        pytest.param(lambda: lacking(4 * MINUTE, 9 * MINUTE), "warning",
                     "the newest was uploaded 4 min ago", "up to 15 min", id="all of them new"),
        pytest.param(lambda: lacking(4 * MINUTE, 40 * MINUTE), "wrong", "4 min ago", "run sync",
                     id="some of them new"),
        pytest.param(lambda: lacking(HOUR, replication="PENDING"), "warning", "1 h ago",
                     "check again", id="S3 says it is coming"),
        pytest.param(lambda: lacking(MINUTE, replication="FAILED"), "wrong", "FAILED", "run sync",
                     id="S3 says it failed"),
        pytest.param(lambda: lacking(-MINUTE), "warning", "0 s ago", "",
                     id="a clock that is behind"),
    ],
)  # fmt: skip
def test_what_is_absent_is_wrong_unless_it_may_be_on_its_way(
    found: Callable[[], list[ComparedObject]], level: str, text: str, fix: str
) -> None:
    (finding,) = sample_findings("t", found(), "match", "run sync")
    assert finding.level == level
    assert text in finding.text
    assert fix in finding.fix


@pytest.mark.parametrize(
    ("rule", "age", "fix"),
    [
        (False, MINUTE, "no replication rule of the origin has this destination: run sync"),
        (False, HOUR, "no replication rule of the origin has this destination: run sync"),
        (True, MINUTE, "replication usually takes up to 15 min; check again later, or run sync"),
        (True, HOUR, f"{OLD}: run sync"),
    ],
)
def test_the_replication_rule_decides_what_helps(rule: bool, age: timedelta, fix: str) -> None:  # noqa: FBT001  # as below
    (finding,) = sample_findings("t", lacking(age), "match", "run sync", rule=rule)
    assert finding.fix == fix


RULES = b"""<ReplicationConfiguration><Role>r</Role>
<Rule><Status>Enabled</Status><Destination><Bucket>arn:aws:s3:::west</Bucket></Destination></Rule>
<Rule><Status>Disabled</Status><Destination><Bucket>arn:aws:s3:::east</Bucket></Destination></Rule>
</ReplicationConfiguration>"""


@pytest.mark.parametrize(
    ("said", "bucket", "leads"),
    [
        (reply("200 OK", RULES), "west", True),
        (reply("200 OK", RULES), "east", False),
        (reply("200 OK", RULES), "other", False),
        (error("404 Not Found", "ReplicationConfigurationNotFoundError"), "west", False),
        (error("403 Forbidden", "AccessDenied"), "west", None),
    ],
    ids=["to it", "disabled", "to others", "no rules", "not allowed to know"],
)
async def test_a_rule_counts_when_it_is_enabled_and_leads_to_the_bucket(
    said: bytes,
    bucket: str,
    leads: bool | None,  # noqa: FBT001  # a column of the table
) -> None:
    async with ScriptedS3(Say(said)) as server:
        entry = Bucket(bucket="downloads", region="us-east-1", endpoint=server.endpoint)
        place = BucketLocation("o", entry, "anonymous")
        async with opened(place, attempts=1) as client:
            assert await replicates(BucketInquiry(place, client), bucket) is leads


@pytest.mark.parametrize(
    ("likeness_", "verify", "level"),
    [
        (ReplicaState.SAME, "match", "ok"),
        (ReplicaState.OTHER_ETAG, "match", "ok"),
        (ReplicaState.OTHER_PARTS, "match", "wrong"),
        (ReplicaState.OTHER_PARTS, "exists", "warning"),
        (ReplicaState.UNTOLD, "match", "wrong"),
        (ReplicaState.NO_ETAG, "match", "wrong"),
        (ReplicaState.NO_ETAG, "exists", "warning"),
        (ReplicaState.REFUSED, "match", "wrong"),
        (ReplicaState.REFUSED, "none", "warning"),
        (ReplicaState.UNKNOWN, "match", "wrong"),
    ],
)
def test_how_much_a_likeness_matters_depends_on_verify(
    likeness_: ReplicaState, verify: str, level: str
) -> None:
    found = [ComparedObject(an_object(1), likeness_, "SlowDown: no")]
    (finding,) = sample_findings("t", found, verify, "run sync")
    assert finding.level == level


def test_without_an_etag_the_words_are_those_of_sync() -> None:
    found = [ComparedObject(an_object(1), ReplicaState.NO_ETAG)]
    (finding,) = sample_findings("t", found, "match", "run sync")
    assert NO_ETAG in finding.text
    assert finding.fix == NO_ETAG_REMEDY


def test_objects_are_named_a_few_in_the_text_and_all_in_the_value() -> None:
    found: list[Any] = [*lacking(*[HOUR] * 7), ComparedObject(an_object(9), ReplicaState.SAME)]
    same, absent = sample_findings("t", found, "match", "run sync")
    assert (same.level, same.text) == (Level.OK, "1 of 8 sampled objects: same")
    assert absent.text == (
        "7 of 8 sampled objects: missing (the newest was uploaded 1 h ago): 0.tar.gz, 1.tar.gz, "
        "2.tar.gz, 3.tar.gz, 4.tar.gz and 2 more"
    )
    assert len(absent.objects) == 7
