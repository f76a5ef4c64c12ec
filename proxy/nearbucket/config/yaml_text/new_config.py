"""The text of a first configuration, with comments: what ``nearbucket init`` writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SCHEMA_FILE = "nearbucket.schema.json"
"""The file that the first line names for editors (yaml-language-server)."""


class FirstSite(NamedTuple):
    """What a first configuration is made of.

    Attributes:
        bucket: The bucket that has all objects.
        region: Its AWS region.
        hosts: Names of the site, without port; ``*`` for all.
        targets: Bucket by region, for clients in that region.
    """

    bucket: str
    region: str
    hosts: Sequence[str]
    targets: Mapping[str, str]


_TEXT = """\
# yaml-language-server: $schema={schema}
#
# Nothing is redirected yet: in `mode: shadow` every object is streamed, and metrics, log and
# dashboard say what would be redirected. Then write `mode: on`, with `percent` 1, 10, 100.
#
#   nearbucket check --config {file}
#       whether the buckets are as this file says
#   nearbucket sync --dry-run --config {file}
#       what is missing in the regional buckets
#   nearbucket serve --config {file}
#       runs the proxy
#
# Every other setting has a default: `nearbucket config schema` lists them all.

client_address:
  # The address of the socket. Behind a load balancer or CDN every client has its address: then
  # write x-forwarded-for or cloudfront-viewer-address, and trusted_proxies or an origin_secret.
  from: peer

sites:
  - hosts: {hosts} # other hosts are refused with 421
    origin: # has all objects; clients that are not redirected get them from here, through the proxy
      bucket: {bucket}
      region: {region}
    targets: # the bucket to which clients in an AWS region are redirected
{targets}
    redirect:
      mode: shadow # off: stream all; shadow: only count; on: redirect
      percent: 100 # share of requests that are redirected, or counted in shadow
      # large files; `nearbucket analyze LOGS` recommends patterns for your traffic
      paths: ["*.tar.*z*"]
      # Clients have no credentials of yours: make the objects public, or sign each redirect with
      # presign: 15m
"""

_OWN_REGION = "# the origin itself: free for clients in its region"


def first_config(site: FirstSite, file: str) -> str:
    """The YAML text.

    Args:
        site: What to write.
        file: Name of the file, for its comments.
    """
    lines = []
    for region, bucket in site.targets.items():
        note = f" {_OWN_REGION}" if bucket == site.bucket and region == site.region else ""
        lines += [f"      {_scalar(region)}:{note}", f"        bucket: {_scalar(bucket)}"]
    return _TEXT.format(
        schema=SCHEMA_FILE,
        file=file,
        hosts=f"[{', '.join(map(_scalar, site.hosts))}]",
        bucket=_scalar(site.bucket),
        region=_scalar(site.region),
        targets="\n".join(lines) or "      {}",
    )


def _scalar(text: str) -> str:
    """Text as one YAML value in a line, within a list too."""
    found: str = yaml.safe_dump([text], default_flow_style=True, width=10_000)
    return found.strip()[1:-1]
