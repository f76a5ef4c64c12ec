"""Where objects are: a bucket of the configuration, a folder in it, and the credentials used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from yarl import URL

from nearbucket.config.aws_endpoints import partition_of

if TYPE_CHECKING:
    from nearbucket.config.buckets import Bucket, KeyFiles
    from nearbucket.config.sites import Site


@dataclass(frozen=True, slots=True)
class BucketLocation:
    """A bucket, a folder in it, and the credentials for it.

    Attributes:
        name: The entry in the configuration, such as ``sites.HOST.targets.us-west-2``.
        entry: Where the bucket is.
        credentials: The setting ``credentials``.
        owner: Account id that must own the bucket, or None.
    """

    name: str
    entry: Bucket
    credentials: Literal["ambient", "anonymous"] | KeyFiles
    owner: str | None = None

    def key(self, name: str) -> str:
        """The bucket's own key of a site's key."""
        return self.entry.prefix + name

    def arguments(self, name: str | None = None) -> dict[str, str]:
        """Arguments of a request to the bucket, or about one of its objects."""
        found = {"Bucket": self.entry.bucket}
        if name is not None:
            found["Key"] = self.key(name)
        return found | ({"ExpectedBucketOwner": self.owner} if self.owner else {})

    def copy_source(self, name: str) -> dict[str, Any]:
        """Arguments that make an object the source of a copy."""
        found: dict[str, Any] = {"CopySource": {"Bucket": self.entry.bucket, "Key": self.key(name)}}
        if self.owner:
            found["ExpectedSourceBucketOwner"] = self.owner
        if self.entry.request_payer:  # of either bucket (API reference, "CopyObject")
            found["RequestPayer"] = "requester"
        return found

    @property
    def server(self) -> str:
        """The server, within which objects can be copied: AWS's partition, or the endpoint."""
        endpoint = self.entry.endpoint
        if endpoint is not None and not self.on_aws:
            return str(URL(endpoint))  # without capitals and a usual port
        partition = partition_of(self.entry.region)
        return partition.name if partition else "aws"

    @property
    def on_aws(self) -> bool:
        """Whether the server is AWS's own S3."""
        return self.entry.on_aws

    @property
    def full_prefix(self) -> str:
        """What the full names of its objects begin with: server, bucket and folder."""
        return f"{self.server}\0{self.entry.bucket}\0{self.entry.prefix}"

    def overlaps(self, other: BucketLocation) -> bool:
        """Whether an object can be in both."""
        one, two = self.full_prefix, other.full_prefix
        return one.startswith(two) or two.startswith(one)

    def is_at(self, other: BucketLocation) -> bool:
        """Whether both are the same folder of the same bucket."""
        return self.full_prefix == other.full_prefix

    def __str__(self) -> str:
        return f"{self.entry.bucket}/{self.entry.prefix}".rstrip("/")


class CopyEndpoints(NamedTuple):
    """The two buckets of a copy, each with its client; the target's client makes the copies."""

    origin: BucketLocation
    target: BucketLocation
    origin_client: Any
    target_client: Any


def origin_of(site: Site) -> BucketLocation:
    """The origin of a site."""
    return origins_of(site)[0]


def origins_of(site: Site) -> list[BucketLocation]:
    """The origin of a site, and its failover buckets in order."""
    return [
        BucketLocation(f"{site.key}.{key}", entry, entry.credentials, entry.expected_owner)
        for key, entry in site.origins.items()
    ]


def target_of(site: Site, region: str) -> BucketLocation:
    """The bucket that clients of a region are redirected to."""
    name = f"{site.key}.targets.{region}"
    entry = site.targets[region]
    return BucketLocation(name, entry, entry.credentials, entry.expected_owner)
