"""Probes of a bucket on a real server, or on one that says what a test tells it to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nearbucket.config.buckets import Bucket
from nearbucket.replicas.bucket_probe import BucketProbe
from nearbucket.replicas.health.canaries import Canaries
from nearbucket.s3.credentials import SdkCredentials

if TYPE_CHECKING:
    from aiohttp import ClientSession

    from tests.scripteds3 import ScriptedS3

OWNER = "123456789012"


def probe_of(session: ClientSession, entry: Bucket, **more: Any) -> BucketProbe:
    return BucketProbe(entry, session, SdkCredentials(), **more)


def probe_at(
    session: ClientSession, endpoint: str, *, reads_marks: bool = False, **more: Any
) -> BucketProbe:
    values = {"bucket": "bkt", "region": "us-east-1", "credentials": "anonymous", **more}
    entry = Bucket.model_validate({"endpoint": endpoint, **values})
    return probe_of(session, entry, reads_marks=reads_marks)


def knowing(*keys: str) -> Canaries:
    """Canaries that know these keys, from a listing."""
    canaries = Canaries()
    for key in keys:
        canaries.note(key, None)
    return canaries


def scripted(session: ClientSession, server: ScriptedS3, **more: Any) -> BucketProbe:
    return probe_at(session, server.endpoint, **more)
