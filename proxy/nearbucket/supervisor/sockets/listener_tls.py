"""TLS on the public port: the certificate is loaded again when its files change.

Files that cannot be used are logged, and the certificate in use stays.
"""

from __future__ import annotations

import logging
import ssl
from typing import TYPE_CHECKING

from nearbucket.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from nearbucket.config.settings import Tls

_log = logging.getLogger(__name__)


class Certificate:
    """The certificate in use, in the TLS ``context`` for new connections."""

    def __init__(self, settings: Tls) -> None:
        """Load the files.

        Raises:
            ConfigError: They are not a certificate and its key.
        """
        self._files = (settings.certificate.expanduser(), settings.key.expanduser())
        self._stamps = self._read_stamps()
        self.context = _context(*self._files)

    def _read_stamps(self) -> list[tuple[int, int, int]] | None:
        try:
            found = [path.stat() for path in self._files]
        except OSError:
            return None
        return [(each.st_mtime_ns, each.st_size, each.st_ino) for each in found]

    def refresh(self) -> None:
        """Load the files if they have changed; an error is logged once."""
        stamps = self._read_stamps()
        if stamps in (self._stamps, None):
            return
        self._stamps = stamps
        try:
            # Not loaded into the context in use: that keeps a certificate for each type of key.
            self.context = _context(*self._files)
        except (ConfigError, OSError) as error:
            _log.error("certificate not reloaded, the old one stays in use: %s", error)
        else:
            _log.info("certificate reloaded from %s", self._files[0])


def _context(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["http/1.1"])

    def passphrase() -> str:  # without it, OpenSSL would ask at the terminal
        raise ConfigError(
            f"listen.tls: {key} is encrypted; write a file with the key as it is, which openssl "
            "pkey makes of it"
        )

    try:
        context.load_cert_chain(certificate, key, passphrase)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(
            f"listen.tls: {certificate} and {key} are not a certificate and its key: {error}; "
            "write PEM files that belong together"
        ) from None
    return context
