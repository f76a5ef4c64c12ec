"""The policy of the case as configuration of nginx and of HAProxy.

Their answers have the same fields as nearbucket's, and their log lines the same facts, so that
every server does the same work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bench.lib.case import FAMILY, IDLE_SECONDS, MAX_CONNECTIONS, counted, locations
from nearbucket.regions.prefixes import prefix_text

if TYPE_CHECKING:
    from pathlib import Path

    from nearbucket.regions.ip_ranges import Ranges


class Place(NamedTuple):
    """What differs from server to server.

    Attributes:
        port: Port of loopback.
        log: File of the JSON access log, or None for none.
        folder: Folder for files of the server.
        shared: Whether nginx shares the port, each process with a queue of its own.
    """

    port: int
    log: Path | None
    folder: Path
    shared: bool = False


def nginx_config(ranges: Ranges, place: Place) -> str:
    """``geo`` for the region, ``map`` for the key, one ``return``.

    Log lines gather for a second, as nearbucket's do.
    """
    return f"""\
{nginx_start(ranges, place, MAX_CONNECTIONS, unknown="-", log=("redirect", "in-region", "*"))}
  server {{
    listen 127.0.0.1:{place.port} backlog=4096{nginx_sharing(place)};
    location / {{
      if ($base = "") {{ return 404; }}
      add_header Cache-Control "private, no-store" always;
      add_header X-Nearbucket "redirect; region=$region; reason=in-region" always;
      return 301 $base$uri;
    }}
  }}
}}
"""


def nginx_sharing(place: Place) -> str:
    """How nginx's processes share the port: as nearbucket's workers do."""
    return " reuseport" if place.shared else ""


def nginx_start(
    ranges: Ranges, place: Place, connections: int, *, unknown: str, log: tuple[str, str, str]
) -> str:
    """The beginning of a configuration, with ``$region``, and ``$base`` for keys that match.

    Args:
        ranges: The list of prefixes.
        place: What differs from server to server.
        connections: How many connections there may be.
        unknown: Region of the addresses in no prefix.
        log: Action, reason and site of the log lines.
    """
    networks = "\n".join(f"    {network} {region};" for network, region in _networks(ranges))
    bases = "\n".join(f"    1{region} {base};" for region, base in locations().items())
    folders = "\n".join(
        f"  {name}_temp_path {place.folder / name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""\
daemon off;
master_process off;
pid {place.folder / "nginx.pid"};
error_log stderr error;
events {{ worker_connections {connections}; }}
http {{
{folders}
  log_format bench escape=json '{_nginx_line(*log)}';
  access_log {f"{place.log} bench buffer=1m flush=1s" if place.log else "off"};
  server_tokens off;
  keepalive_requests 1000000000;
  keepalive_timeout {IDLE_SECONDS}s;
  geo $region {{
    proxy 127.0.0.0/8;
    default {unknown};
{networks}
  }}
  map $uri $wanted {{ default ""; "~\\.tar\\..*z" 1; }}
  map $wanted$region $base {{
    default "";
{bases}
  }}"""


def _networks(ranges: Ranges) -> list[tuple[str, str]]:
    return [
        (prefix_text(FAMILY, first, length), region or "-")
        for first, length, region in counted(ranges)
    ]


def _nginx_line(action: str, reason: str, site: str) -> str:
    return (
        '{"time":"$time_iso8601","client":"$http_x_forwarded_for","peer":"$remote_addr",'
        '"method":"$request_method","host":"$http_host","path":"$uri","status":$status,'
        f'"bytes":$body_bytes_sent,"seconds":$request_time,"action":"{action}",'
        f'"region":"$region","reason":"{reason}","site":"{site}",'
        '"user_agent":"$http_user_agent","protocol":"$server_protocol"}'
    )


def haproxy_config(ranges: Ranges, place: Place) -> str:
    """``map_ip`` for the region, a second map for the bucket, one ``http-request return``.

    Its own access log is one write a line to standard output: it has no other way to a file.
    """
    line = haproxy_line("redirect", "in-region", "*")
    log = f"log global\n  log-format '{line}'" if place.log else "no log"
    return f"""\
global
  nbthread 1
  maxconn {MAX_CONNECTIONS}
  no strict-limits  # it counts two descriptors a connection; without a backend there is one
  log stdout format raw local0
defaults
  mode http
  timeout client {IDLE_SECONDS}s
  timeout http-request 10s
  timeout http-keep-alive {IDLE_SECONDS}s
frontend bench
  bind 127.0.0.1:{place.port} backlog 4096
  {log}
  http-request capture req.hdr(host) len 255
  http-request capture req.hdr(user-agent) len 255
{haproxy_variables(ranges, place, unknown="-")}
  http-request return status 301 {_HAPROXY_ANSWER} if {{ var(txn.base) -m found }}
  http-request return status 404
"""


_HAPROXY_ANSWER = (
    'content-type text/plain lf-string "Moved to %[var(txn.base)]%[path]\\n" '
    'hdr Server haproxy hdr Date "%[date,http_date]" '
    'hdr Location "%[var(txn.base)]%[path]" hdr Cache-Control "private, no-store" '
    'hdr X-Nearbucket "redirect; region=%[var(txn.region)]; reason=in-region"'
)


def haproxy_variables(ranges: Ranges, place: Place, *, unknown: str) -> str:
    """Rules that set ``region``, and ``base`` for keys that match; writes their maps."""
    regions, bases = place.folder / "regions.map", place.folder / "bases.map"
    for file, rows in (regions, _networks(ranges)), (bases, locations().items()):
        file.write_text("".join(f"{name} {value}\n" for name, value in rows), encoding="ascii")
    return f"""\
  http-request set-var(txn.client) req.hdr_ip(x-forwarded-for,-1) if {{ src 127.0.0.0/8 }}
  http-request set-var(txn.region) var(txn.client),map_ip({regions},{unknown})
  http-request set-var(txn.base) var(txn.region),map_str({bases}) if {{ path_reg \\.tar\\..*z }}"""


def haproxy_line(action: str, reason: str, site: str) -> str:
    """A log line; it needs the fields Host and User-Agent captured, in this order."""
    return (
        '{"time":"%tr","client":"%[var(txn.client),json(utf8s)]","peer":"%ci","method":"%HM",'
        '"host":"%[capture.req.hdr(0),json(utf8s)]","path":"%[capture.req.uri,json(utf8s)]",'
        f'"status":%ST,"bytes":%B,"milliseconds":%Ta,"action":"{action}",'
        f'"region":"%[var(txn.region)]","reason":"{reason}","site":"{site}",'
        '"user_agent":"%[capture.req.hdr(1),json(utf8s)]","protocol":"%HV"}'
    )
