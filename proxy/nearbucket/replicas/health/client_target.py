"""A target as clients see it: one for each Location, however many sites and regions use it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

from nearbucket.policy.object_keys import encode_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nearbucket.config.sites import Site
    from nearbucket.replicas.object_version import ObjectVersion


class _Bucket(Protocol):  # ``BucketProbe``, as far as it is needed here
    base_url: str

    async def head_object(self, key: str) -> ObjectVersion: ...


class ClientTarget(NamedTuple):
    """A target as clients see it.

    Attributes:
        location: ``Target.location``, without a trailing slash.
        prefix: Folder in the bucket.
        signed: Whether Locations are signed.
    """

    location: str
    prefix: str
    signed: bool

    @classmethod
    def of(cls, site: Site, region: str) -> Self:
        """The target of a region."""
        target = site.targets[region]
        return cls(target.location(), target.prefix, site.redirect.presign is not None)

    def url(self, key: str) -> str:
        """The URL of an object, without a signature."""
        return f"{self.location}/{encode_key(self.prefix + key)}"


class TargetUse(NamedTuple):
    """How a target is used.

    Attributes:
        bucket: Its bucket, as the proxy's role sees it.
        requested: Whether it is requested as clients request it.
        names: Sites and regions whose target it is.
        bucket_name: Name of the bucket.
    """

    bucket: _Bucket
    requested: bool
    names: tuple[tuple[str, str], ...]
    bucket_name: str = ""

    @property
    def text(self) -> str:
        """Sites, regions and bucket, for the log."""
        return target_text(self.names, self.bucket_name)


def target_text(names: Iterable[tuple[str, str]], bucket: str) -> str:
    """A target for the log: the sites and regions that use it, and its bucket."""
    sites = ", ".join(f"site {site} in {region}" for site, region in names)
    return f"{sites}, bucket {bucket}"


def target_uses(
    sites: Iterable[Site], buckets: Mapping[str, _Bucket]
) -> dict[ClientTarget, TargetUse]:
    """The targets with health checks, and their use; ``buckets`` by ``Bucket.object_base_url``."""
    uses: dict[ClientTarget, TargetUse] = {}
    for site in sites:
        for region in site.regions_in_use if site.redirect.watch else ():
            target = ClientTarget.of(site, region)
            requested = site.redirect.client_probe and not target.signed
            bucket = buckets[site.targets[region].object_base_url]
            use = uses.get(target) or TargetUse(bucket, requested=False, names=())
            names = (*use.names, (site.name, region))
            name = site.targets[region].bucket
            uses[target] = TargetUse(bucket, use.requested or requested, names, name)
    return uses
