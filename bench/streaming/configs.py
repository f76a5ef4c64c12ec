"""The streaming benches' policy as configuration of nginx and of HAProxy.

Like nearbucket, both look up every client's region, would redirect clients in AWS, verify the
origin's certificate, reuse connections, and remove S3's own header fields from responses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.lib.case import IDLE_SECONDS
from bench.lib.origin import BUCKET, NAME
from bench.lib.policies import haproxy_line, haproxy_variables, nginx_sharing, nginx_start
from bench.streaming.scene import ANSWER, HOSTS, PLAIN, TLS

if TYPE_CHECKING:
    from bench.lib.policies import Place
    from bench.streaming.scene import Scene

MOST_READERS = 1200
"""Downloads at a time; two descriptors each, and for HAProxy two more of a pipe."""

_HIDDEN = ("x-amz-id-2", "x-amz-request-id", "x-amz-server-side-encryption")


def nginx_config(scene: Scene, place: Place) -> str:
    """``geo`` for the region, ``map`` for the key, ``proxy_pass``.

    Buffers are larger than by default and never spill into files: measured here, a small
    object takes 31 us instead of 45, and elsewhere a large one a third.
    Half of them may be busy with sending, which saves up to 15 % at 10 MiB; larger buffers, and
    settings of malloc, brought nothing more.
    """
    hidden = "\n".join(f"  proxy_hide_header {name};" for name in _HIDDEN)
    servers = "\n".join(_nginx_server(scene, way, place) for way in HOSTS)
    log = ("stream", "outside-aws", "$host")
    return f"""\
{nginx_start(scene.ranges, place, 4 * MOST_READERS, unknown="UNKNOWN", log=log)}
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


def haproxy_config(scene: Scene, place: Place) -> str:
    """``map_ip`` for the region, a second map for the bucket, ``splice`` where it can.

    Its access log is one write a line to standard output: it has no other way to a file.
    """
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
{haproxy_variables(scene.ranges, place, unknown="UNKNOWN")}
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
    f"  log-format '{haproxy_line('stream', 'outside-aws', '%b')}'"
)
