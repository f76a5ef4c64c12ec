"""Dates of a certificate, beside those that OpenSSL reads."""

from __future__ import annotations

import ssl
import subprocess
from typing import TYPE_CHECKING

import pytest

from nearbucket.supervisor.sockets.certificate_dates import dates_of
from tests.certificates import make_certificate
from tests.programs import program

if TYPE_CHECKING:
    from pathlib import Path

    from nearbucket.config.settings import Tls


def dates_by_openssl(tls: Tls) -> tuple[float, float]:
    command = [program("openssl"), "x509", "-noout", "-dates", "-in", str(tls.certificate)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    begin, end = (line.partition("=")[2] for line in text.splitlines())
    return ssl.cert_time_to_seconds(begin), ssl.cert_time_to_seconds(end)


def sign(tls: Tls, *how: str) -> None:
    """Sign the certificate once more, in another way."""
    files = ["-in", str(tls.certificate), "-signkey", str(tls.key), "-out", str(tls.certificate)]
    subprocess.run([program("openssl"), "x509", *files, *how], check=True, capture_output=True)


@pytest.mark.parametrize(
    "how",
    [
        pytest.param((), id="days"),
        pytest.param(("-days", "-1"), id="expired"),
        pytest.param(("-days", "20000"), id="after 2049, in another form of time"),
        pytest.param(("-days", "90", "-clrext"), id="version 1"),
    ],
)
def test_they_are_those_that_openssl_reads(tmp_path: Path, how: tuple[str, ...]) -> None:
    tls = make_certificate(tmp_path, "dl.test")
    if how:
        sign(tls, *how)
    assert tuple(dates_of(tls.certificate.read_bytes())) == dates_by_openssl(tls)


def test_of_a_chain_they_are_those_of_the_first_with_any_text_before_it(tmp_path: Path) -> None:
    (tmp_path / "issuer").mkdir()
    tls, issuer = (make_certificate(each, "dl.test") for each in (tmp_path, tmp_path / "issuer"))
    sign(issuer, "-days", "900")
    chain = b"subject=CN = dl.test\n" + tls.certificate.read_bytes()
    assert dates_of(chain + issuer.certificate.read_bytes()) == dates_by_openssl(tls)
