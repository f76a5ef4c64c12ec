"""Compares a sample of the objects that would be redirected with their copies in a target."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from heapq import nlargest
from typing import TYPE_CHECKING, Any, NamedTuple

from nearbucket.cli.check.finding import Finding, Level
from nearbucket.cli.output import first_names
from nearbucket.errors import ProxyError
from nearbucket.replication.comparison import (
    NO_ETAG,
    NO_ETAG_REMEDY,
    Verdict,
    VersionComparison,
    compare_listings,
)
from nearbucket.replication.listing_merge import listed
from nearbucket.s3.bucket_location import CopyEndpoints
from nearbucket.s3.error_codes import ErrorKind
from nearbucket.s3.listing.list_page import ListedObject
from nearbucket.s3.sdk.sdk_client import FAULTS, NO_DOCUMENT, code_of, kind_of, meaning
from nearbucket.s3.unreadable import Unreadable, unreadable_by_head

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nearbucket.cli.check.bucket_inspection import BucketInquiry

MOST = 5000
"""How many keys of the origin are listed: five pages."""

USUAL = timedelta(minutes=15)
"""S3 replicates nearly all objects in this time (S3 user guide, "Replication Time Control")."""


class Sample(NamedTuple):
    """Some of the objects that would be redirected.

    Attributes:
        seen: How many keys were listed.
        whole: Whether the listing was read to its end.
        chosen: How many of the keys would be redirected.
        objects: Some of those.
    """

    seen: int
    whole: bool
    chosen: int
    objects: Sequence[ListedObject]


async def take(
    origin: BucketInquiry, chosen: Callable[[str, int], bool], count: int, most: int = MOST
) -> Sample | ProxyError:
    """List up to ``most`` keys of an origin, and take ``count`` of those that would be redirected.

    ``chosen`` tells whether an object of a key and size would be redirected.
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
        pass  # the keys listed so far are the sample
    return Sample(seen, whole, len(found), spread(found, count))


def spread(objects: Sequence[ListedObject], count: int) -> list[ListedObject]:
    """Evenly spread objects, and as a quarter the newest, which may not be replicated yet."""
    if len(objects) <= count:
        return list(objects)
    newest = nlargest(count // 4, objects, key=lambda each: each.modified)
    apart = set(newest)
    others = [each for each in objects if each not in apart]
    rest = count - len(newest)
    return [*(others[number * len(others) // rest] for number in range(rest)), *newest]


class ReplicaState(StrEnum):
    """State of the copy of an object, as shown."""

    SAME = "same"
    OTHER_ETAG = "same, with a different ETag"
    OTHER_PARTS = "same size, other parts or encryption"
    UNTOLD = "same size, different ETag, and its tags cannot be read (403)"
    NO_ETAG = f"same size, but {NO_ETAG}"
    ABSENT = "missing"
    SIZE = "different size"
    VERSION = "different version"
    ARCHIVED = "archived: clients cannot read them"
    KMS = "encrypted with a KMS key: clients cannot read them without a signature"
    CUSTOMER_KEY = "encrypted with a customer-provided key: clients cannot read them"
    REFUSED = "access denied (403)"
    UNKNOWN = "not readable"


@dataclass(frozen=True, slots=True)
class ComparedObject:
    """An object of the origin and the state of its copy.

    Attributes:
        what: The origin's object.
        state: State of the copy.
        error: Why the state is not known.
        replication: Replication status by S3: PENDING, FAILED, or empty.
    """

    what: ListedObject
    state: ReplicaState
    error: str = ""
    replication: str = ""


async def compared(
    origin: BucketInquiry, target: BucketInquiry, sample: Sample, barriers: frozenset[str]
) -> list[ComparedObject]:
    """Compare each object of the sample with its copy, which may be the object itself.

    Args:
        origin: The origin.
        target: The target.
        sample: The objects.
        barriers: What keeps the clients of the site from reading a copy.
    """
    each = (_compared(origin, target, what, barriers) for what in sample.objects)
    return list(await asyncio.gather(*each))


async def _compared(
    origin: BucketInquiry, target: BucketInquiry, what: ListedObject, barriers: frozenset[str]
) -> ComparedObject:
    head = await target.ask("head_object", what.key)
    if code_of(head) == NO_DOCUMENT:
        # the document of a GET tells why
        head = await target.read_error(what.key) or head
    if isinstance(head, Exception):
        state = _ERRORS.get(kind_of(head), ReplicaState.UNKNOWN)
        error = meaning(head) or "no answer in time"
    elif (found := unreadable_by_head(head["ResponseMetadata"]["HTTPHeaders"])) in barriers:
        return ComparedObject(what, _UNREADABLE[found])
    elif target.location.is_at(origin.location):
        return ComparedObject(what, ReplicaState.SAME)
    else:
        state, error = await _state(origin, target, what, head), ""
    return ComparedObject(what, state, error, await _replication(origin, what, state))


_ERRORS: dict[ErrorKind | None, ReplicaState] = {
    ErrorKind.NO_OBJECT: ReplicaState.ABSENT,
    ErrorKind.NOT_ALLOWED: ReplicaState.REFUSED,
    ErrorKind.CUSTOMER_KEY: ReplicaState.CUSTOMER_KEY,
}
_UNREADABLE: dict[str | None, ReplicaState] = {
    Unreadable.ARCHIVED: ReplicaState.ARCHIVED,
    Unreadable.KMS: ReplicaState.KMS,
    Unreadable.CUSTOMER_KEY: ReplicaState.CUSTOMER_KEY,
}
_REMEDIES = {
    ReplicaState.ARCHIVED: "restore them, and let no rule archive objects that clients request",
    ReplicaState.KMS: "set redirect.presign, or encrypt the copies with SSE-S3 (AES256)",
    ReplicaState.CUSTOMER_KEY: "encrypt the copies with SSE-S3 (AES256)",
}


async def _state(
    origin: BucketInquiry, target: BucketInquiry, what: ListedObject, head: Any
) -> ReplicaState:
    if not what.etag:  # not every listing has it
        theirs = await origin.ask("head_object", what.key)
        found = "" if isinstance(theirs, Exception) else theirs.get("ETag", "")
        what = what._replace(etag=found.strip('"'))
    etag, modified = head.get("ETag", "").strip('"'), head.get("LastModified", what.modified)
    copy = ListedObject(what.key, head.get("ContentLength", 0), etag, modified)
    verdict = compare_listings((what, copy))
    if verdict is Verdict.COPY:
        return ReplicaState.SIZE
    if verdict is not Verdict.TAGGED:
        return ReplicaState.SAME
    comparison = VersionComparison(
        CopyEndpoints(origin.location, target.location, origin.client, target.client)
    )
    try:
        async with asyncio.timeout(target.seconds):
            settled = await comparison.settle(verdict, (what, copy))
    except (*FAULTS, TimeoutError) as error:  # only the ETag is known, or not even that
        refused = kind_of(error) is ErrorKind.NOT_ALLOWED
        state = ReplicaState.UNTOLD if refused else ReplicaState.VERSION
    else:
        state = _SETTLED.get(settled, ReplicaState.OTHER_ETAG)
    untold = state is ReplicaState.VERSION and not (what.etag and copy.etag)
    return ReplicaState.NO_ETAG if untold else state


_SETTLED = {Verdict.COPY: ReplicaState.VERSION, Verdict.OTHER_PARTS: ReplicaState.OTHER_PARTS}
_LACKING = (ReplicaState.ABSENT, ReplicaState.SIZE, ReplicaState.VERSION)
_UNPROVEN = (ReplicaState.OTHER_PARTS, ReplicaState.UNTOLD, ReplicaState.NO_ETAG)
THERE = frozenset({ReplicaState.SAME, ReplicaState.OTHER_ETAG, *_UNPROVEN})
"""States of copies that clients can read; ETag or size equal the origin's."""


async def _replication(origin: BucketInquiry, what: ListedObject, state: ReplicaState) -> str:
    """S3's replication status of an object that is missing (API reference, "HeadObject")."""
    if state not in _LACKING:
        return ""
    head = await origin.ask("head_object", what.key)
    return "" if isinstance(head, Exception) else str(head.get("ReplicationStatus", ""))


async def replicates(origin: BucketInquiry, bucket: str) -> bool | None:
    """Whether a replication rule of the origin has this destination; None if not known."""
    answer = await origin.ask("get_bucket_replication")
    if isinstance(answer, Exception):
        return False if code_of(answer) == "ReplicationConfigurationNotFoundError" else None
    return any(
        rule["Status"] == "Enabled" and rule["Destination"]["Bucket"].rpartition(":")[2] == bucket
        for rule in answer["ReplicationConfiguration"]["Rules"]
    )


def is_lacking(found: Sequence[ComparedObject]) -> bool:
    """Whether copies are missing or different."""
    return any(each.state in _LACKING for each in found)


def is_unreadable(found: Sequence[ComparedObject]) -> bool:
    """Whether there are copies that clients cannot read."""
    return any(each.state in _REMEDIES for each in found)


def sample_findings(  # noqa: PLR0913  # what decides about level and fix
    place: str,
    found: Sequence[ComparedObject],
    verify: str,
    fix: str,
    *,
    adopt: str = "",
    rule: bool | None = None,
) -> list[Finding]:
    """One finding for each state of the copies in a target.

    Args:
        place: The target's key in the configuration.
        found: The objects of the sample.
        verify: ``redirect.verify`` of the site.
        fix: How missing objects can be copied.
        adopt: How copies in other parts can be adopted; empty if they cannot.
        rule: Whether a replication rule has this destination; None if not known.
    """
    findings = []
    for state in ReplicaState:
        some = [each for each in found if each.state is state]
        if some:
            text = f"{len(some)} of {len(found)} sampled objects: {state}"
            if state in _LACKING:
                level, more, help_ = _lag(some, fix, rule=rule)
            elif state in _UNPROVEN:
                level, more, help_ = _unproven(state, verify, adopt)
            else:
                level, more, help_ = _judged(state, some[0].error, verify)
            names = () if level is Level.OK else tuple(each.what.key for each in some)
            text += more + (f": {first_names(names)}" if names else "")
            findings.append(Finding(level, place, "sample", text, help_, names))
    return findings


def _judged(state: ReplicaState, error: str, verify: str) -> tuple[Level, str, str]:
    """Level, end of the text, and fix."""
    if state in _REMEDIES:
        result = "clients are redirected to errors" if verify == "none" else "requests are streamed"
        return Level.WRONG, f"; {result}", _REMEDIES[state]
    if state in {ReplicaState.SAME, ReplicaState.OTHER_ETAG}:
        return Level.OK, "", ""
    if state is ReplicaState.UNKNOWN:
        return Level.WRONG, f" ({error})", ""
    level = Level.WARNING if verify == "none" else Level.WRONG
    more = ", or missing if listing is not allowed either"
    return level, more, "allow s3:GetObject on the target (with KMS kms:Decrypt too)"


def _unproven(state: ReplicaState, verify: str, adopt: str) -> tuple[Level, str, str]:
    """Level, end of the text, and fix for copies that may be equal."""
    streamed = verify == "match"
    level = Level.WRONG if streamed else Level.WARNING
    more = "; redirect.verify: match streams them" if streamed else ""
    if state is ReplicaState.UNTOLD:
        return level, more, "allow s3:GetObjectTagging on the target"
    if state is ReplicaState.NO_ETAG:
        return level, more, NO_ETAG_REMEDY
    made = "if another tool made these copies, such as aws s3 sync"
    proof = "it reads them, and marks those that are equal instead of copying"
    return level, more, f"{made}, {adopt}: {proof}" if adopt else f"{made}, set verify: exists"


def _lag(some: Sequence[ComparedObject], fix: str, *, rule: bool | None) -> tuple[Level, str, str]:
    """Level, end of the text, and fix for copies that are late, or will not be made."""
    failed = sum(each.replication == "FAILED" for each in some)
    if failed:
        more = f" (S3 replication of {failed} FAILED)"
        help_ = f"check the replication rule and its role; S3 does not try again, so {fix}"
        return Level.WRONG, more, help_
    ages = [datetime.now(UTC) - each.what.modified for each in some]
    more = f" (the newest was uploaded {_age(min(ages))} ago)"
    coming = all(
        age < USUAL or each.replication == "PENDING" for each, age in zip(some, ages, strict=True)
    )
    level = Level.WARNING if coming else Level.WRONG
    if rule is False:
        return level, more, f"no replication rule of the origin has this destination: {fix}"
    if coming:
        usual = f"replication usually takes up to {USUAL.seconds // 60} min"
        return level, more, f"{usual}; check again later, or {fix}"
    if rule:
        old = "the replication rule does not copy objects that are older than the rule"
        return level, more, f"{old}: {fix}"
    return level, more, fix


def _age(age: timedelta) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if age.total_seconds() >= length:
            return f"{int(age.total_seconds() // length)} {unit}"
    return f"{max(0, int(age.total_seconds()))} s"
