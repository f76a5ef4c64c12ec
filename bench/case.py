"""What is compared: one configuration and the clients that ask.

In: an ip-ranges document. Out: the settings of nearbucket, the same policy in nginx's words,
and the addresses that ask in turn. Every one of them gets a redirect: that is the request
measured here. Refuses to start, time or read anything that runs.
"""  # noqa: INP001  # scripts that run from their own folder, not a package

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from proxy.decide.prefixes import prefix_text
from proxy.decide.regions import Ranges, build_table
from proxy.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).parent.parent
PATH = "/releases/app-1.0.tar.gz"
REGIONS = ("us-east-1", "us-west-2", "eu-west-1")
"""Regions with a target; the sample list and the published one both have them."""

CLIENTS = 1000
_FAMILY, _BITS = 4, 32
_STRIDE = 2_654_435_761  # 2**32 / golden ratio: spreads the addresses, the same in every run


class BenchError(Exception):
    """The comparison cannot go on; the text says why and what to do."""


def ranges_file() -> Path:
    """The newest published list beside the repository, else the sample."""
    published = sorted((ROOT.parent / "shared" / "data").glob("ip-ranges-*.json"))
    return published[-1] if published else ROOT / "config" / "ip-ranges.sample.json"


def settings(*, log: bool) -> Settings:
    """Nearbucket's configuration, with or without an access log."""
    return Settings.model_validate({
        "client_address": {"from": "x-forwarded-for", "trusted_proxies": ["loopback"]},
        "log": {"access": "json" if log else "off", "level": "warning"},
        "sites": [{
            "origin": {"bucket": "downloads", "region": "us-east-1"},
            "targets": {region: {"bucket": f"{region}-downloads"} for region in REGIONS},
        }],
    })  # fmt: skip


def locations() -> dict[str, str]:
    """Region to the base of its redirects, without the slash at the end."""
    return {
        name: target.location() for name, target in settings(log=False).sites[0].targets.items()
    }


def clients(ranges: Ranges) -> list[tuple[str, str]]:
    """IPv4 addresses inside the regions with a target, each with its region.

    Raises:
        BenchError: The list has no such prefix.
    """
    services = settings(log=False).regions.services
    table = build_table(ranges, services, {})
    rows = [row for row in _counted(ranges, services) if row[2] in REGIONS]
    found: list[tuple[str, str]] = []
    for number in range(CLIENTS * 4 if rows else 0):
        first, length, region = rows[number * _STRIDE % len(rows)]
        value = first + number * _STRIDE % (1 << _BITS - length)
        address = prefix_text(_FAMILY, value, _BITS).partition("/")[0]
        if region and table.region(address) == region:
            found.append((address, region))
    if not found:
        raise BenchError(f"the list of prefixes has no IPv4 prefix in {', '.join(REGIONS)}")
    return found[:CLIENTS]


def _counted(ranges: Ranges, services: Iterable[str]) -> list[tuple[int, int, str | None]]:
    """First address, length and region of the IPv4 prefixes that decide."""
    wanted = set(services)
    return sorted({
        (row.first, row.length, row.region)
        for row in ranges.rows if row.family == _FAMILY and row.service in wanted
    }, key=lambda row: row[:2])  # fmt: skip


def nginx_config(ranges: Ranges, *, port: int, log: Path | None, folder: Path) -> str:
    """The same policy for nginx: ``geo`` for the region, ``map`` for the key, one ``return``.

    The answer carries the fields that nearbucket's has, and a log line the same facts, so
    that neither side is spared work. Lines gather for a second, as nearbucket's do.

    Args:
        ranges: The list of prefixes.
        port: Of loopback.
        log: File of the JSON access log, or None for none.
        folder: Where nginx may put its temporary files.
    """
    services = settings(log=False).regions.services
    networks = "\n".join(
        f"    {prefix_text(_FAMILY, first, length)} {region or '-'};"
        for first, length, region in _counted(ranges, services)
    )
    bases = "\n".join(f"    1{region} {base};" for region, base in locations().items())
    places = "\n".join(
        f"  {name}_temp_path {folder / name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    access = f"{log} bench buffer=1m flush=1s" if log else "off"
    return f"""\
daemon off;
master_process off;
pid {folder / "nginx.pid"};
error_log stderr error;
events {{ worker_connections 1024; }}
http {{
{places}
  log_format bench escape=json '{_LOG_LINE}';
  access_log {access};
  server_tokens off;
  keepalive_requests 1000000000;
  geo $region {{
    proxy 127.0.0.0/8;
    default -;
{networks}
  }}
  map $uri $wanted {{ default ""; "~\\.tar\\..*z" 1; }}
  map $wanted$region $base {{
    default "";
{bases}
  }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      if ($base = "") {{ return 404; }}
      add_header Cache-Control "private, no-store" always;
      add_header X-Nearbucket "redirect; region=$region; reason=in-region" always;
      return 301 $base$uri;
    }}
  }}
}}
"""


_LOG_LINE = (
    '{"time":"$time_iso8601","client":"$http_x_forwarded_for","peer":"$remote_addr",'
    '"method":"$request_method","host":"$http_host","path":"$uri","status":$status,'
    '"bytes":$body_bytes_sent,"seconds":$request_time,"action":"redirect",'
    '"region":"$region","reason":"in-region","site":"*",'
    '"user_agent":"$http_user_agent","protocol":"$server_protocol"}'
)
