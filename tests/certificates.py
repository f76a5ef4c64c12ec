"""Self-signed certificates, and TLS contexts of client and server with them."""

from __future__ import annotations

import ssl
import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from nearbucket.config.settings import Tls
from tests.programs import program

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "EC",
    "RSA",
    "Tls",
    "begins_later",
    "client_side",
    "expire",
    "make_certificate",
    "server_side",
    "with_dates",
]


EC = ("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
RSA = ("rsa:2048",)
"""Types of keys, as ``openssl req -newkey`` has them."""


def make_certificate(folder: Path, name: str, newkey: tuple[str, ...] = EC) -> Tls:
    """A certificate for ``name`` and 127.0.0.1, over the one that may be in the folder."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [
            program("openssl"),
            "req",
            "-x509",
            "-newkey",
            *newkey,
            "-nodes",
            "-days",
            "2",
            "-subj",
            f"/CN={name}",
            "-addext",
            f"subjectAltName=DNS:{name},IP:127.0.0.1",
            "-keyout",
            str(key),
            "-out",
            str(certificate),
        ],
        check=True,
        capture_output=True,
    )
    return Tls(certificate=certificate, key=key)


def expire(tls: Tls) -> None:
    """Replace a certificate by the same one that ended yesterday."""
    pair = ["-in", str(tls.certificate), "-signkey", str(tls.key), "-out", str(tls.certificate)]
    subprocess.run(
        [program("openssl"), "x509", "-days", "-1", *pair], check=True, capture_output=True
    )


def with_dates(tls: Tls, begin: bytes, end: bytes) -> None:
    """Write other dates into a certificate, in the 13 bytes of each; its signature is wrong then.

    OpenSSL looks at neither where it loads a certificate.
    """
    der = ssl.PEM_cert_to_DER_cert(tls.certificate.read_text(encoding="ascii"))
    start, _, rest = der.partition(b"\x17\x0d")
    der = start + b"\x17\x0d" + begin + b"\x17\x0d" + end + rest[28:]
    tls.certificate.write_text(ssl.DER_cert_to_PEM_cert(der), encoding="ascii")


def begins_later(tls: Tls, begin: float) -> None:
    """Have a certificate be valid from this Unix time on, for a day."""
    times = (datetime.fromtimestamp(each, UTC) for each in (begin, begin + 86_400))
    with_dates(tls, *(f"{each:%y%m%d%H%M%SZ}".encode() for each in times))


def server_side(tls: Tls) -> ssl.SSLContext:
    """TLS context of a server with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.certificate, tls.key)
    return context


def client_side(tls: Tls) -> ssl.SSLContext:
    """TLS context of a client that trusts only this certificate."""
    return ssl.create_default_context(cafile=str(tls.certificate))
