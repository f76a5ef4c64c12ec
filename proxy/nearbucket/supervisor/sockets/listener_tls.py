"""TLS on the public port: the certificate and its key as they are in memory.

The supervisor reads the files (``certificate_watch.py``). Workers get what it has read, so that one
that is started later has a certificate too, whatever the files hold by then.
"""

from __future__ import annotations

import os
import ssl
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nearbucket.config.regular_file import expanded, read_regular_file
from nearbucket.errors import ConfigError
from nearbucket.supervisor.sockets.certificate_dates import dates_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nearbucket.config.settings import Tls
    from nearbucket.supervisor.sockets.certificate_dates import Dates


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate with its chain, and its key, in PEM."""

    certificate: bytes
    key: bytes = field(repr=False)

    @property
    def dates(self) -> Dates:
        """From when and until when it is valid."""
        return dates_of(self.certificate)

    def context(self) -> ssl.SSLContext:
        """A TLS context for new connections.

        Raises:
            OSError: The two are not a certificate and its key; ``ssl.SSLError`` is one.
            ValueError: The key is encrypted.
        """
        made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        made.set_alpn_protocols(["http/1.1"])

        def passphrase() -> str:  # without it, OpenSSL would ask at the terminal
            raise ValueError("the key is encrypted")

        with _as_file(self.certificate) as certificate, _as_file(self.key) as key:
            made.load_cert_chain(certificate, key, passphrase)
        return made


@contextmanager
def _as_file(data: bytes) -> Iterator[str]:
    """A path of these bytes, which are in no file system: OpenSSL reads from files alone."""
    descriptor = os.memfd_create("nearbucket-tls")
    try:
        os.write(descriptor, data)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def read_key_pair(settings: Tls, known: KeyPair | None = None) -> KeyPair:
    """What the files of ``listen.tls`` hold now.

    Args:
        settings: Names the files.
        known: A pair that is known to be usable.

    Raises:
        ConfigError: They cannot be read, or are not a certificate and its key.
    """
    certificate, key = expanded(settings.certificate), expanded(settings.key)
    try:
        pair = KeyPair(read_regular_file(certificate), read_regular_file(key))
    except OSError as error:
        raise ConfigError(
            f"listen.tls: {error.filename} cannot be read: {error.strerror}; write the path of a "
            "readable file"
        ) from None
    try:
        if pair != known:
            pair.context()
    except ValueError:
        raise ConfigError(
            f"listen.tls: {key} is encrypted; write a file with the key as it is, which openssl "
            "pkey makes of it"
        ) from None
    except OSError as error:
        raise ConfigError(
            f"listen.tls: {certificate} and {key} are not a certificate and its key: {error}; "
            "write PEM files that belong together"
        ) from None
    try:
        dates_of(pair.certificate)
    except ValueError:
        raise ConfigError(
            f"listen.tls: the dates of {certificate} cannot be read, so no client accepts it; "
            "write one with dates as in RFC 5280"
        ) from None
    return pair
