"""Self-signed certificates, and TLS contexts of client and server with them."""

from __future__ import annotations

import ssl
import subprocess
from typing import TYPE_CHECKING

from nearbucket.config.settings import Tls
from tests.programs import program

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["EC", "RSA", "Tls", "client_side", "expire", "make_certificate", "server_side"]


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


def server_side(tls: Tls) -> ssl.SSLContext:
    """TLS context of a server with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.certificate, tls.key)
    return context


def client_side(tls: Tls) -> ssl.SSLContext:
    """TLS context of a client that trusts only this certificate."""
    return ssl.create_default_context(cafile=str(tls.certificate))
