"""The certificate of the public port."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest

from nearbucket.config.settings import Tls
from nearbucket.errors import ConfigError
from nearbucket.supervisor.sockets.listener_tls import Certificate
from tests.certificates import EC, RSA, make_certificate

if TYPE_CHECKING:
    from pathlib import Path


def test_files_that_are_no_certificate_are_named(tmp_path: Path) -> None:
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).write_text("junk", encoding="ascii")
    tls = Tls(certificate=tmp_path / "cert.pem", key=tmp_path / "key.pem")
    with pytest.raises(ConfigError, match=r"cert\.pem"):
        Certificate(tls)


def shown(context: ssl.SSLContext) -> bytes | None:
    """The certificate that a client is shown."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    client = trusting.wrap_bio(to_client, to_server)
    server = context.wrap_bio(to_server, to_client, server_side=True)
    for end in (client, server, client):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return client.getpeercert(binary_form=True)


@pytest.mark.parametrize(("old", "new"), [(EC, EC), (EC, RSA), (RSA, EC)])
def test_new_connections_get_the_new_certificate_whatever_type_its_key_has(
    tmp_path: Path, old: tuple[str, ...], new: tuple[str, ...]
) -> None:
    certificate = Certificate(make_certificate(tmp_path, "old.test", old))
    files = make_certificate(tmp_path, "new.test", new)
    certificate.refresh()
    text = files.certificate.read_text(encoding="ascii")
    assert shown(certificate.context) == ssl.PEM_cert_to_DER_cert(text)
