"""A sample of what the policy would redirect: is it in the targets, and the same?

In: an origin, a target, the policy's choice, and how many objects. Out: findings. Refuses to
know why an object is chosen, and to change anything.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from heapq import nlargest
from typing import TYPE_CHECKING, Any, NamedTuple

from nearbucket.cli.check.bucket_inspection import Finding, Level
from nearbucket.errors import ProxyError
from nearbucket.replication.comparison import Verdict, VersionComparison, compare_listings
from nearbucket.replication.listing_merge import listed
from nearbucket.s3.bucket_listing import ListedObject
from nearbucket.s3.bucket_location import CopyEndpoints
from nearbucket.s3.error_codes import ErrorKind
from nearbucket.s3.sdk_client import FAULTS, code_of, kind_of, meaning

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nearbucket.cli.check.bucket_inspection import BucketInquiry

MOST = 5000
"""How many keys of the origin are looked at: five pages of its listing."""

USUAL = timedelta(minutes=15)
"""In which S3 replicates nearly all objects (S3 user guide, "Replication Time Control")."""

_NAMED = 5


class Sample(NamedTuple):
    """Some of the objects that the policy would redirect.

    Attributes:
        seen: How many keys were looked at.
        whole: Whether these are all there are.
        chosen: How many of them the policy would redirect.
        objects: Some of those.
    """

    seen: int
    whole: bool
    chosen: int
    objects: Sequence[ListedObject]


async def take(
    origin: BucketInquiry, chosen: Callable[[str, int], bool], count: int, most: int = MOST
) -> Sample | ProxyError:
    """List an origin's first keys and take some of what the policy chooses.

    Args:
        origin: The origin.
        chosen: Whether the policy would redirect to an object of this key and size.
        count: How many are taken.
        most: How many keys are looked at.
    """
    seen, found, whole = 0, [], False
    try:
        async with (
            asyncio.timeout(origin.seconds),
            aclosing(listed(origin.client, origin.location)) as entries,
        ):
            async for entry in entries:
                if seen == most:
                    break
                seen += 1
                if chosen(entry.key, entry.size):
                    found.append(entry)
            else:
                whole = True
    except ProxyError as error:
        return error
    except TimeoutError:
        pass  # what has come by then is a sample too
    return Sample(seen, whole, len(found), spread(found, count))


def spread(objects: Sequence[ListedObject], count: int) -> list[ListedObject]:
    """Some objects: a quarter of them the newest, which replication may not have reached."""
    if len(objects) <= count:
        return list(objects)
    newest = nlargest(count // 4, objects, key=lambda each: each.modified)
    apart = set(newest)
    others = [each for each in objects if each not in apart]
    rest = count - len(newest)
    return [*(others[number * len(others) // rest] for number in range(rest)), *newest]


class ReplicaState(StrEnum):
    """What a target has under the key of an origin's object."""

    SAME = "there and the same"
    RENAMED = "there and the same, with another ETag"
    ABSENT = "absent"
    SIZE = "of another size"
    VERSION = "another version"
    REFUSED = "refused (403)"
    UNKNOWN = "not to be had"


@dataclass(frozen=True, slots=True)
class ComparedObject:
    """One object in both buckets.

    Attributes:
        what: The origin's.
        state: What the target has.
        said: What went wrong with asking.
        replication: S3's own word for how far it has come: PENDING, FAILED, or empty.
    """

    what: ListedObject
    state: ReplicaState
    said: str = ""
    replication: str = ""


async def compared(
    origin: BucketInquiry, target: BucketInquiry, sample: Sample
) -> list[ComparedObject]:
    """Every object of the sample, asked of the target."""
    if target.location.is_at(origin.location):
        return [ComparedObject(what, ReplicaState.SAME) for what in sample.objects]
    return list(await asyncio.gather(*(_compared(origin, target, what) for what in sample.objects)))


async def _compared(
    origin: BucketInquiry, target: BucketInquiry, what: ListedObject
) -> ComparedObject:
    head = await target.ask("head_object", what.key)
    if isinstance(head, Exception):
        state = _ERRORS.get(kind_of(head), ReplicaState.UNKNOWN)
        said = meaning(head) or "no answer in time"
        return ComparedObject(what, state, said, await _replication(origin, what, state))
    state = await _state(origin, target, what, head)
    return ComparedObject(what, state, "", await _replication(origin, what, state))


_ERRORS: dict[ErrorKind | None, ReplicaState] = {
    ErrorKind.NO_OBJECT: ReplicaState.ABSENT,
    ErrorKind.NOT_ALLOWED: ReplicaState.REFUSED,
}


async def _state(
    origin: BucketInquiry, target: BucketInquiry, what: ListedObject, head: Any
) -> ReplicaState:
    etag, modified = head.get("ETag", "").strip('"'), head.get("LastModified", what.modified)
    verdict = compare_listings(
        (what, ListedObject(what.key, head["ContentLength"], etag, modified))
    )
    if verdict is Verdict.COPY:
        return ReplicaState.SIZE
    if verdict is not Verdict.TAGGED:
        return ReplicaState.SAME
    comparison = VersionComparison(
        CopyEndpoints(origin.location, target.location, origin.client, target.client)
    )
    try:
        async with asyncio.timeout(target.seconds):
            settled = await comparison.settle(verdict, what)
    except (*FAULTS, TimeoutError):  # without the right to read tags the ETag is all there is
        return ReplicaState.VERSION
    return ReplicaState.VERSION if settled is Verdict.COPY else ReplicaState.RENAMED


_LACKING = (ReplicaState.ABSENT, ReplicaState.SIZE, ReplicaState.VERSION)


async def _replication(origin: BucketInquiry, what: ListedObject, state: ReplicaState) -> str:
    """How far S3's own replication says it is (API reference, "HeadObject")."""
    if state not in _LACKING:
        return ""
    head = await origin.ask("head_object", what.key)
    return "" if isinstance(head, Exception) else str(head.get("ReplicationStatus", ""))


async def replicates(origin: BucketInquiry, bucket: str) -> bool | None:
    """Whether a replication rule of the origin leads to a bucket; None where that is not said."""
    answer = await origin.ask("get_bucket_replication")
    if isinstance(answer, Exception):
        return False if code_of(answer) == "ReplicationConfigurationNotFoundError" else None
    return any(
        rule["Status"] == "Enabled" and rule["Destination"]["Bucket"].rpartition(":")[2] == bucket
        for rule in answer["ReplicationConfiguration"]["Rules"]
    )


def is_lacking(found: Sequence[ComparedObject]) -> bool:
    """Whether something has to be copied."""
    return any(each.state in _LACKING for each in found)


def sample_findings(
    place: str, found: Sequence[ComparedObject], verify: str, fix: str, *, rule: bool | None = None
) -> list[Finding]:
    """What the comparison says about a target.

    Args:
        place: The target in the configuration.
        found: The objects compared.
        verify: ``redirect.verify`` of the site.
        fix: How missing objects are copied.
        rule: Whether S3 replicates to the target; None where that is not known.
    """
    by_state: dict[ReplicaState, list[ComparedObject]] = {}
    for each in found:
        by_state.setdefault(each.state, []).append(each)
    findings = []
    for state in ReplicaState:
        some = by_state.get(state)
        if some:
            text = f"{len(some)} of {len(found)} sampled objects: {state}"
            if state in _LACKING:
                level, more, help_ = _lag(some, fix, rule=rule)
            else:
                level, more, help_ = _judged(state, some[0].said, verify)
            names = () if level is Level.OK else tuple(each.what.key for each in some)
            text += more + _named(names)
            findings.append(Finding(level, place, "sample", text, help_, names))
    return findings


def _named(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
    return f": {', '.join(keys[:_NAMED])}{more}" if keys else ""


def _judged(state: ReplicaState, said: str, verify: str) -> tuple[Level, str, str]:
    """Level, what is added to the text, and the fix."""
    if state is ReplicaState.SAME or (state is ReplicaState.RENAMED and verify != "match"):
        return Level.OK, "", ""
    if state is ReplicaState.RENAMED:
        return Level.WARNING, "; redirect.verify: match streams them", "set verify: exists"
    if state is ReplicaState.UNKNOWN:
        return Level.WRONG, f" ({said})", ""
    level = Level.WARNING if verify == "none" else Level.WRONG
    more = ", or absent where listing is not allowed"
    return level, more, "allow s3:GetObject there (with KMS kms:Decrypt too)"


def _lag(some: Sequence[ComparedObject], fix: str, *, rule: bool | None) -> tuple[Level, str, str]:
    """What a target lacks: still on the way, or not coming."""
    failed = sum(each.replication == "FAILED" for each in some)
    if failed:
        more = f" ({failed} by S3's replication, which FAILED)"
        help_ = f"look at the replication rule and its role; S3 does not try again, so {fix}"
        return Level.WRONG, more, help_
    ages = [datetime.now(UTC) - each.what.modified for each in some]
    more = f" (the newest was written {_age(min(ages))} ago)"
    coming = all(
        age < USUAL or each.replication == "PENDING" for each, age in zip(some, ages, strict=True)
    )
    level = Level.WARNING if coming else Level.WRONG
    if rule is False:
        return level, more, f"no replication rule of the origin leads here: {fix}"
    if coming:
        usual = f"replication usually takes up to {USUAL.seconds // 60} min"
        return level, more, f"{usual}; check again then, or {fix}"
    if rule:
        old = "a replication rule leads here, but does not copy what was there before it"
        return level, more, f"{old}: {fix}"
    return level, more, fix


def _age(age: timedelta) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if age.total_seconds() >= length:
            return f"{int(age.total_seconds() // length)} {unit}"
    return f"{max(0, int(age.total_seconds()))} s"
