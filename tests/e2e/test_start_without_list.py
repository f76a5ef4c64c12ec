"""A first start while AWS's list cannot be fetched: the built-in list, until it can be again.

The server has the variables of a task of the CloudFormation template. ``HTTPS_PROXY`` leads it to
a proxy of this test, which stands for AWS's URL.
"""

from __future__ import annotations

import gzip
import ipaddress
import json
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from tests.build import COMMAND
from tests.certificates import make_certificate, server_side
from tests.e2e.running import ROOT, Running, keys_of, site_of
from tests.stacks import PUBLIC, container, stack, variables

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import LocalS3

BODY = gzip.decompress((ROOT / "proxy/nearbucket/regions/ip-ranges.json.gz").read_bytes())
LIST = json.loads(BODY)
BUILT_IN = f"the built-in list of prefixes of {LIST['createDate'][:10]} is used"
AGE = "nearbucket_ranges_age_seconds"
PATH, SECRET, HOUR = "/big/pack-1.0.tar.xz", "s3cret", 3600


def address_in(region: str) -> str:
    """An address of EC2; in the longest prefix of a region, so that none hides it."""
    prefixes = [
        ipaddress.ip_network(row["ip_prefix"])
        for row in LIST["prefixes"]
        if (row["region"], row["service"]) == (region, "EC2")
    ]
    return str(max(prefixes, key=lambda each: each.prefixlen)[0])


class AwsUrl(ThreadingHTTPServer):
    """A proxy behind which is AWS's list; while ``down`` it connects to nothing."""

    down = True
    context: ssl.SSLContext


class Tunnel(BaseHTTPRequestHandler):
    """Answers CONNECT, and inside the tunnel one request over TLS."""

    server: AwsUrl

    def do_CONNECT(self) -> None:
        """Be the server that the client wants to be connected to."""
        if self.server.down:
            self.send_error(503)
            return
        self.send_response(200)
        self.end_headers()
        with self.server.context.wrap_socket(self.connection, server_side=True) as tls:
            tls.recv(65536)
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(BODY)}\r\nConnection: close\r\n\r\n"
            tls.sendall(head.encode() + BODY)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def aws_url(tmp_path: Path) -> Iterator[AwsUrl]:
    """AWS's URL, which is down; the certificate authority is in ``tmp_path``."""
    with AwsUrl(("127.0.0.1", 0), Tunnel) as server:
        server.context = server_side(make_certificate(tmp_path, "ip-ranges.amazonaws.com"))
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def variables_of_a_task(s3: LocalS3, tmp_path: Path, tunnel: AwsUrl) -> dict[str, str]:
    """The variables of the template, with the sites, addresses and folders of this test."""
    made = stack(**PUBLIC, ConfigurationObject="", Sites=json.dumps([site_of(s3)]))
    address = f"http://127.0.0.1:{tunnel.server_address[1]}"
    return {
        **variables(made),
        **{each["Name"]: SECRET for each in container(made)["Secrets"]},
        **keys_of(s3),
        "NEARBUCKET_REGIONS__CACHE": str(tmp_path / "ranges.json"),
        "NEARBUCKET_CLIENT_ADDRESS__TRUSTED_PROXIES": "[loopback]",
        **dict.fromkeys(("HTTPS_PROXY", "https_proxy"), address),
        **dict.fromkeys(("NO_PROXY", "no_proxy"), ""),
        "SSL_CERT_FILE": str(tmp_path / "cert.pem"),
    }


@pytest.fixture
def _own_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start the server by itself: aiohttp reads the authorities when it is imported."""

    def start(*words: str, sockets: object, **how: Any) -> subprocess.Popen[bytes]:
        assert not sockets
        return subprocess.Popen([*COMMAND, *words], cwd=ROOT, start_new_session=True, **how)

    monkeypatch.setattr("tests.e2e.running.start", start)


@pytest.mark.usefixtures("_own_process")
def test_a_task_of_the_template_is_ready_and_redirects_while_awss_url_is_down(
    s3: LocalS3, tmp_path: Path, aws_url: AwsUrl
) -> None:
    west = {
        "x-origin-verify": SECRET,
        "CloudFront-Viewer-Address": f"{address_in('us-west-2')}:40000",
    }

    def status() -> Any:
        return json.loads(running.admin("/api/status")[1])

    variables = variables_of_a_task(s3, tmp_path, aws_url)
    with Running(tmp_path, {"catalog": {"wait": "10s"}}, variables) as running:
        running.ready(workers=1)
        # ready, and still after a failed fetch
        text = running.until("/readyz", lambda _, text: "regions.source: " in text)
        assert text.startswith("ready\n")
        assert f"warning: {BUILT_IN}" in text
        assert any(each.startswith(BUILT_IN) for each in status()["warnings"])
        shown = status()["ranges"]
        assert (shown["token"], shown["built_in"]) == (int(LIST["syncToken"]), True)
        age = running.figures()[AGE]
        assert age == pytest.approx(shown["age_seconds"], abs=60)
        assert age > HOUR
        assert running.get(PATH, "", west).status == 301
        query = f"ip={address_in('us-west-2')}&path={PATH}"
        said = f"(by the built-in list of {LIST['createDate'][:10]})"
        assert said in running.admin(f"/api/explain?{query}")[1]

        aws_url.down = False
        running.until("/readyz", lambda _, text: text == "ready\n")
        assert status()["ranges"]["built_in"] is False
        # confirmed when the copy is on disk
        running.until("/healthz", lambda *_: running.figures()[AGE] < HOUR)
        assert running.get(PATH, "", west).status == 301
        assert said not in running.admin(f"/api/explain?{query}")[1]
    log = running.errors.read_text(encoding="utf-8")
    assert f"ranges: built-in list {LIST['syncToken']} (" in log
    assert "ranges: the source is usable again" in log
    assert (tmp_path / "ranges.json").read_bytes() == BODY
