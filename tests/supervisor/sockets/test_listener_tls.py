"""The certificate of the public port."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import pytest

from nearbucket.config.settings import Tls
from nearbucket.errors import ConfigError
from nearbucket.supervisor.sockets.listener_tls import read_key_pair
from tests.certificates import EC, RSA, make_certificate, with_dates


def test_files_that_are_no_certificate_are_named(tmp_path: Path) -> None:
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).write_text("junk", encoding="ascii")
    tls = Tls(certificate=tmp_path / "cert.pem", key=tmp_path / "key.pem")
    with pytest.raises(ConfigError, match=r"cert\.pem"):
        read_key_pair(tls)


@pytest.mark.usefixtures("no_home_folder")
def test_a_certificate_in_the_home_of_a_user_without_one_is_named() -> None:
    with pytest.raises(ConfigError, match=r"~/cert\.pem cannot be read: No such file"):
        read_key_pair(Tls(certificate=Path("~/cert.pem"), key=Path("~/key.pem")))


@pytest.mark.parametrize("kind", ["none", "folder", "fifo"])
def test_what_is_no_file_is_named_and_not_waited_for(tmp_path: Path, kind: str) -> None:
    tls = make_certificate(tmp_path, "dl.test")
    tls.key.unlink()
    if kind == "folder":
        tls.key.mkdir()
    elif kind == "fifo":
        os.mkfifo(tls.key)
    with pytest.raises(ConfigError, match=r"listen\.tls: .*key\.pem cannot be read: "):
        read_key_pair(tls)


@pytest.mark.parametrize("date", [b"260230000000Z", b"26113000+0000", b"2611300000ZZZ"])
def test_a_certificate_whose_dates_are_none_is_named(tmp_path: Path, date: bytes) -> None:
    tls = make_certificate(tmp_path, "dl.test")
    with_dates(tls, b"260101000000Z", date)
    with pytest.raises(ConfigError, match=r"the dates of .*cert\.pem cannot be read"):
        read_key_pair(tls)


def test_the_key_is_in_no_text(tmp_path: Path) -> None:
    pair = read_key_pair(make_certificate(tmp_path, "dl.test"))
    assert "PRIVATE KEY" in pair.key.decode()
    assert "PRIVATE KEY" not in repr(pair)


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


@pytest.mark.parametrize("kind", [EC, RSA])
def test_clients_are_shown_the_certificate_of_the_file(
    tmp_path: Path, kind: tuple[str, ...]
) -> None:
    files = make_certificate(tmp_path, "new.test", kind)
    text = files.certificate.read_text(encoding="ascii")
    assert shown(read_key_pair(files).context()) == ssl.PEM_cert_to_DER_cert(text)
