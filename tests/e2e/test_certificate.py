"""A certificate that is broken, and then renewed, while the server runs with real workers."""

from __future__ import annotations

import os
import signal
import ssl
from typing import TYPE_CHECKING

from tests.certificates import make_certificate
from tests.e2e.running import Running, keys_of, site_of
from tests.ranges_lists import MADE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import LocalS3


def shown(server: Running) -> str:
    """The certificate that a new connection gets."""
    return ssl.get_server_certificate(("127.0.0.1", server.port), timeout=5)


def test_a_worker_that_is_replaced_has_the_certificate_in_use_though_its_files_are_broken(
    s3: LocalS3, tmp_path: Path
) -> None:
    tls = make_certificate(tmp_path, "one.test")
    old = tls.certificate.read_text(encoding="ascii")
    server = Running(tmp_path, {}, keys_of(s3))
    files = {"certificate": str(tls.certificate), "key": str(tls.key)}
    listen = {"host": "127.0.0.1", "port": server.port, "workers": 2, "tls": files}
    regions = {"source": str(MADE.path), "cache": str(tmp_path / "ranges.json")}
    server.write({"listen": listen, "regions": regions, "sites": [site_of(s3)]})
    with server:
        before = server.ready().workers()
        tls.certificate.unlink()
        os.mkfifo(tls.certificate)
        server.until("/readyz", lambda _, text: "warning: certificate not reloaded: " in text)
        for worker in before:
            os.kill(worker, signal.SIGKILL)
        server.until("/healthz", lambda *_: len(set(server.workers()) - set(before)) == 2)
        assert {shown(server.ready()) for _ in range(10)} == {old}
        tls.certificate.unlink()
        new = make_certificate(tmp_path, "two.test").certificate.read_text(encoding="ascii")
        applied = 'nearbucket_certificate_reloads_total{result="applied"} 1.0'
        server.until("/metrics", lambda _, text: applied in text)
        assert {shown(server) for _ in range(10)} == {new}
        assert "certificate not reloaded" not in server.admin("/readyz")[1]
        figures = server.figures()
    assert figures['nearbucket_certificate_reloads_total{result="refused"}'] == 1
    assert 86_400 < figures["nearbucket_certificate_valid_seconds"] <= 2 * 86_400
