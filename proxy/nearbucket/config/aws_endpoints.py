"""The base URL of a bucket, and the AWS regions that exist."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple

from nearbucket.config.value_types import nearest

_ZONE = re.compile(r"[a-z-]+-\d(?=[a-z]$)")


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


@lru_cache(maxsize=1)
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


def unknown_region(name: str) -> str:
    """Why a name is no region, as a predicate; it proposes the most similar one."""
    zone = _ZONE.match(name)
    if zone and zone[0] in known_regions():
        return f"is an availability zone, not a region; write {zone[0]}"
    if _may_open(name):
        return (
            "is not open yet as far as this version knows; write another, or upgrade nearbucket if "
            "it has opened since"
        )
    near = nearest(name, sorted(known_regions()))
    hint = f"did you mean {near}?" if near else "write one such as us-east-1"
    return f"is not an AWS region; {hint}"


def _may_open(name: str) -> bool:
    """Whether a name is made like those of regions, of parts that other regions have."""
    area, _, rest = name.rpartition("-")[0].rpartition("-")
    known = {region.rpartition("-")[0].rpartition("-")[::2] for region in known_regions()}
    numbered = name.rpartition("-")[2].isdigit()
    return numbered and area in {each for each, _ in known} and rest in {each for _, each in known}
