"""Compares a sample of all objects of an origin with a failover bucket, and reads one there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nearbucket.cli.check.bucket_inspection import ALLOW_READING, cannot_read
from nearbucket.cli.check.finding import Finding, Level
from nearbucket.cli.check.replica_sample import THERE, ReplicaState, Sample, compared, take
from nearbucket.cli.output import first_names
from nearbucket.s3.error_codes import ErrorKind
from nearbucket.s3.sdk.sdk_client import kind_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nearbucket.cli.check.bucket_inspection import BucketInquiry
    from nearbucket.cli.check.replica_sample import ComparedObject


async def failover_findings(
    origin: BucketInquiry, failover: BucketInquiry, count: int
) -> list[Finding]:
    """What clients would get of a failover bucket.

    Args:
        origin: The origin, which can be listed.
        failover: The failover bucket.
        count: How many objects are compared.
    """
    sample = await take(origin, lambda _key, _size: True, count)
    if not isinstance(sample, Sample) or not sample.objects:  # the origin's own finding says why
        return []
    objects = await compared(origin, failover, sample, frozenset())
    there = [each for each in objects if each.state in THERE]
    found = [_lacking(failover, objects, state) for state in ReplicaState if state not in THERE]
    findings = [finding for finding in found if finding is not None]
    if there:
        text = f"{len(there)} of {len(objects)} sampled objects of the origin are there"
        findings.insert(0, Finding(Level.OK, failover.location.name, "sample", text))
        findings += await _read(failover, there)
    return findings


def _lacking(
    failover: BucketInquiry, objects: Sequence[ComparedObject], state: ReplicaState
) -> Finding | None:
    """The finding for the objects that the bucket cannot send, for one cause."""
    some = [each for each in objects if each.state is state]
    if not some:
        return None
    names = tuple(each.what.key for each in some)
    text = (
        f"{len(some)} of {len(objects)} sampled objects of the origin: {state}: "
        f"{first_names(names)}; while the origin is down, requests for such objects fail"
    )
    fix = "copy all objects of the origin there, as by S3 replication"
    if state in {ReplicaState.REFUSED, ReplicaState.UNKNOWN}:
        fix = ALLOW_READING
    return Finding(Level.WARNING, failover.location.name, "sample", text, fix, names)


async def _read(failover: BucketInquiry, there: Sequence[ComparedObject]) -> list[Finding]:
    """Read a byte of the largest object: the rights to list, read and decrypt are separate."""
    key = max(there, key=lambda each: each.what.size).what.key
    error = await failover.read_error(key)
    if error is None or kind_of(error) is ErrorKind.EMPTY:
        return []
    return [cannot_read(failover.location, key)]
