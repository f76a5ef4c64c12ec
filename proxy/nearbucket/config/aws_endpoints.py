"""The base URL of a bucket, and the AWS regions that exist."""

from __future__ import annotations

import json
from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple


class Partition(NamedTuple):
    """One of AWS's separate clouds: credentials and buckets of one do not work in another."""

    name: str
    dns_suffix: str


@lru_cache(maxsize=1)
def _partitions() -> dict[str, Partition]:
    """Every region botocore knows, by name (botocore's ``data/partitions.json``)."""
    document = json.loads(files("botocore").joinpath("data/partitions.json").read_bytes())
    return {
        region: Partition(entry["id"], entry["outputs"]["dnsSuffix"])
        for entry in document["partitions"]
        for region in entry["regions"]
        if not region.endswith("-global")
    }


def known_regions() -> frozenset[str]:
    """Names of all AWS regions of all partitions."""
    return frozenset(_partitions())


def partition_of(region: str) -> Partition | None:
    """The partition of ``region``, or None for a name AWS does not use."""
    return _partitions().get(region)


def bucket_url(
    bucket: str,
    region: str,
    *,
    endpoint: str | None = None,
    path_style: bool | None = None,
    dualstack: bool = False,
) -> str:
    """Base URL of a bucket, without a trailing slash.

    Path-style is the default on an S3-compatible ``endpoint``, and for bucket names with dots,
    which no wildcard certificate covers (S3 user guide, "Virtual hosting of buckets"). The
    dual-stack host name has IPv6 addresses too.

    Raises:
        KeyError: There is no ``endpoint``, and AWS has no such region.
    """
    if path_style is None:
        path_style = endpoint is not None or "." in bucket
    if endpoint is None:
        host = "s3.dualstack" if dualstack else "s3"
        endpoint = f"https://{host}.{region}.{_partitions()[region].dns_suffix}"
    endpoint = endpoint.rstrip("/")
    if path_style:
        return f"{endpoint}/{bucket}"
    scheme, _, authority = endpoint.partition("://")
    return f"{scheme}://{bucket}.{authority}"
