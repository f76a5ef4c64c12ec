"""Refuses environment variables that name another way to S3 than the configuration does.

``serve`` signs and sends requests itself, and clients are redirected to the same hosts, so the
configuration alone says where a bucket is. A variable that the AWS SDK would obey, and that would
change this for one command and not for another, is an error in all of them.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from nearbucket.config.aws_endpoints import partition_of
from nearbucket.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nearbucket.config.buckets import Bucket
    from nearbucket.config.settings import Settings

_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_IGNORED = "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"
_HOSTS = {
    "AWS_USE_FIPS_ENDPOINT": "https://s3-fips.{region}.{suffix}",
    "AWS_USE_DUALSTACK_ENDPOINT": "https://s3.dualstack.{region}.{suffix}",
}
_WITH_FIPS = ("us-", "ca-")
"""Regions with FIPS endpoints of S3 begin so (AWS General Reference, "Amazon S3 endpoints")."""


def refuse_variables(settings: Settings, environ: Mapping[str, str] = os.environ) -> None:
    """Check the environment before a bucket is used.

    Raises:
        ConfigError: One line for each variable that would apply to a bucket: what to write instead.
    """
    buckets = dict(_buckets(settings))
    lines = [*_other_hosts(buckets, environ), *_proxies(buckets.values(), environ)]
    if lines:
        raise ConfigError("\n".join(lines))


def _buckets(settings: Settings) -> Iterable[tuple[str, Bucket]]:
    """Each bucket with its key in the configuration."""
    for site in settings.sites:
        for key, bucket in site.origins.items():
            yield f"{site.key}.{key}", bucket
        for region, target in site.targets.items():
            yield f"{site.key}.targets.{region}", target


def _other_hosts(buckets: Mapping[str, Bucket], environ: Mapping[str, str]) -> Iterable[str]:
    """Variables that name other hosts for buckets without an endpoint."""
    on_aws = [(key, bucket) for key, bucket in buckets.items() if bucket.endpoint is None]
    if not on_aws:
        return
    key, bucket = on_aws[0]
    hint = "; it is not used: the configuration says where buckets are. Unset it, or write "
    for name in _ENDPOINTS if environ.get(_IGNORED, "").lower() != "true" else ():
        if value := environ.get(name):
            yield f"{name}: {value!r} names another S3{hint}{key}.endpoint: {value}"
    for name, host in _HOSTS.items():
        if (value := environ.get(name, "")).lower() == "true":
            partition = partition_of(bucket.region)
            suffix = partition.dns_suffix if partition else "amazonaws.com"
            url = host.format(region=bucket.region, suffix=suffix)
            cure = f"{hint}{key}.endpoint: {url}, with path_style: false"
            if name == "AWS_USE_FIPS_ENDPOINT" and not bucket.region.startswith(_WITH_FIPS):
                cure = f"; it is not used, and {bucket.region} has no such hosts of S3. Unset it"
            yield f"{name}: {value!r} names other hosts{cure}"


def _proxies(buckets: Iterable[Bucket], environ: Mapping[str, str]) -> Iterable[str]:
    """Proxies that would be between here and a bucket."""
    from urllib.request import proxy_bypass  # noqa: PLC0415  # commands start faster without it

    proxies = {name.lower(): name for name in sorted(environ) if environ[name]}
    bypassed = environ.get(proxies.get("no_proxy", ""), "")
    urls = dict.fromkeys(bucket.url() for bucket in buckets)
    for scheme in ("https", "http"):
        name = proxies.get(f"{scheme}_proxy")
        hosts = [url.hostname or "" for url in map(urlsplit, urls) if url.scheme == scheme]
        proxied = [host for host in hosts if not proxy_bypass(host, {"no": bypassed})]
        if name and proxied:
            yield (
                f"{name}: names a proxy for {proxied[0]}, but S3 is reached without one; unset "
                f"it, or add to NO_PROXY: {','.join(dict.fromkeys(proxied))}"
            )
