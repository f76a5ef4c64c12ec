"""The streaming benches' policy as configuration of nginx and of HAProxy.

Like nearbucket, both look up every client's region, would redirect clients in AWS, verify the
origin's certificate, reuse connections, and remove S3's own header fields from responses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.lib.case import FAMILY, IDLE_SECONDS, counted, locations
from bench.lib.origin import BUCKET, NAME
from bench.lib.policies import nginx_sharing
from bench.streaming.scene import ANSWER, HOSTS, PLAIN, TLS
from nearbucket.regions.prefixes import prefix_text

if TYPE_CHECKING:
    from bench.lib.policies import Place
    from bench.streaming.scene import Scene

MOST_READERS = 1200
"""Downloads at a time; two descriptors each, and for HAProxy two more of a pipe."""

_HIDDEN = ("x-amz-id-2", "x-amz-request-id", "x-amz-server-side-encryption")


def _networks(scene: Scene) -> list[tuple[str, str]]:
    return [
        (prefix_text(FAMILY, first, length), region or "-")
        for first, length, region in counted(scene.ranges)
    ]


def nginx_config(scene: Scene, place: Place) -> str:
    """``geo`` for the region, ``map`` for the key, ``proxy_pass``.

    Buffers are larger than by default and never spill into files: measured here, a small
    object takes 31 us instead of 45, and elsewhere a large one a third.
    Half of them may be busy with sending, which saves up to 15 % at 10 MiB; larger buffers, and
    settings of malloc, brought nothing more.
    """
    regions = "\n".join(f"    {network} {region};" for network, region in _networks(scene))
    bases = "\n".join(f"    1{region} {base};" for region, base in locations().items())
    folders = "\n".join(
        f"  {name}_temp_path {place.folder / name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    hidden = "\n".join(f"  proxy_hide_header {name};" for name in _HIDDEN)
    servers = "\n".join(_nginx_server(scene, way, place) for way in HOSTS)
    return f"""\
daemon off;
master_process off;
pid {place.folder / "nginx.pid"};
error_log stderr error;
events {{ worker_connections {4 * MOST_READERS}; }}
http {{
{folders}
  log_format bench escape=json '{_NGINX_LINE}';
  access_log {f"{place.log} bench buffer=1m flush=1s" if place.log else "off"};
  server_tokens off;
  keepalive_requests 1000000000;
  keepalive_timeout {IDLE_SECONDS}s;
  geo $region {{
    proxy 127.0.0.0/8;
    default UNKNOWN;
{regions}
  }}
  map $uri $wanted {{ default ""; "~\\.tar\\..*z" 1; }}
  map $wanted$region $base {{
    default "";
{bases}
  }}
  proxy_http_version 1.1;
  proxy_buffering on;
  proxy_buffer_size 64k;
  proxy_buffers 16 64k;
  proxy_busy_buffers_size 512k;
  proxy_max_temp_file_size 0;
  proxy_ssl_verify on;
  proxy_ssl_trusted_certificate {scene.origin.certificate};
  proxy_ssl_name {NAME};
  proxy_ssl_server_name on;
  proxy_ssl_protocols TLSv1.3;
{hidden}
  add_header X-Nearbucket "stream; region=$region; reason=outside-aws" always;
{servers}
}}
"""


def _nginx_server(scene: Scene, way: str, place: Place) -> str:
    """One way to the origin; ``proxy_set_header`` of a level above would not be inherited."""
    scheme, origin, queue = (
        ("http", scene.origin.plain, f" backlog=4096{nginx_sharing(place)}")
        if way == PLAIN
        else ("https", scene.origin.tls, "")
    )
    return f"""\
  upstream {way} {{
    server 127.0.0.1:{origin};
    keepalive 64;
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{place.port}{queue};
    server_name {HOSTS[way]};
    location / {{
      if ($base != "") {{ return 301 $base$uri; }}
      proxy_set_header Connection "";
      proxy_set_header Host 127.0.0.1:{origin};
      proxy_set_header Via "1.1 nginx";
      proxy_pass {scheme}://{way}/{BUCKET}/;
    }}
  }}"""


_NGINX_LINE = (
    '{"time":"$time_iso8601","client":"$http_x_forwarded_for","peer":"$remote_addr",'
    '"method":"$request_method","host":"$http_host","path":"$uri","status":$status,'
    '"bytes":$body_bytes_sent,"seconds":$request_time,"action":"stream",'
    '"region":"$region","reason":"outside-aws","site":"$host",'
    '"user_agent":"$http_user_agent","protocol":"$server_protocol"}'
)


def haproxy_config(scene: Scene, place: Place) -> str:
    """``map_ip`` for the region, a second map for the bucket, ``splice`` where it can.

    Its access log is one write a line to standard output: it has no other way to a file.
    """
    regions, bases = place.folder / "regions.map", place.folder / "bases.map"
    regions.write_text("\n".join(map(" ".join, _networks(scene))) + "\n", encoding="ascii")
    bases.write_text("\n".join(map(" ".join, locations().items())) + "\n", encoding="ascii")
    backends = "\n".join(_haproxy_backend(scene, way) for way in HOSTS)
    return f"""\
global
  nbthread 1
  maxconn {2 * MOST_READERS}
  maxpipes {MOST_READERS}
  log stdout format raw local0
defaults
  mode http
  timeout connect 5s
  timeout client {IDLE_SECONDS}s
  timeout server {IDLE_SECONDS}s
  timeout http-keep-alive {IDLE_SECONDS}s
  option splice-response
  http-reuse always
frontend bench
  bind 127.0.0.1:{place.port} backlog 4096
  {_HAPROXY_LOG if place.log else "no log"}
  http-request set-var(txn.client) req.hdr_ip(x-forwarded-for,-1) if {{ src 127.0.0.0/8 }}
  http-request set-var(txn.region) var(txn.client),map_ip({regions},UNKNOWN)
  http-request set-var(txn.base) var(txn.region),map_str({bases}) if {{ path_reg \\.tar\\..*z }}
  http-request redirect location %[var(txn.base)]%[path] code 301 if {{ var(txn.base) -m found }}
  http-request set-header Via "1.1 haproxy"
  http-response del-header x-amz- -m beg
  http-response set-header X-Nearbucket "{ANSWER}"
  use_backend {TLS} if {{ req.hdr(host) {HOSTS[TLS]} }}
  default_backend {PLAIN}
{backends}
"""


def _haproxy_backend(scene: Scene, way: str) -> str:
    origin, trust = scene.origin.plain, ""
    if way == TLS:
        origin = scene.origin.tls
        trust = f" ssl verify required ca-file {scene.origin.certificate}"
        trust += f" verifyhost {NAME} sni str({NAME})"
    return f"""\
backend {way}
  http-request set-path /{BUCKET}%[path]
  http-request set-header Host 127.0.0.1:{origin}
  server origin 127.0.0.1:{origin}{trust}"""


_HAPROXY_LOG = (
    "log global\n"
    "  http-request capture req.hdr(host) len 255\n"
    "  http-request capture req.hdr(user-agent) len 255\n"
    """  log-format '{"time":"%tr","client":"%[var(txn.client),json(utf8s)]","peer":"%ci","""
    '"method":"%HM","host":"%[capture.req.hdr(0),json(utf8s)]",'
    '"path":"%[capture.req.uri,json(utf8s)]","status":%ST,"bytes":%B,"milliseconds":%Ta,'
    '"action":"stream","region":"%[var(txn.region)]","reason":"outside-aws","site":"%b",'
    """"user_agent":"%[capture.req.hdr(1),json(utf8s)]","protocol":"%HV"}'"""
)
