"""A finding about the files of ``listen.tls``, with which ``serve`` would not start."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from nearbucket.cli.check.finding import Finding, Level
from nearbucket.errors import ConfigError
from nearbucket.supervisor.sockets.listener_tls import Certificate

if TYPE_CHECKING:
    from nearbucket.config.settings import Settings

_PLACE = "listen.tls"


def certificate_findings(settings: Settings) -> list[Finding]:
    """That the certificate and its key can be used or not; none if a file cannot be read."""
    tls = settings.listen.tls
    if tls is None or not all(
        os.access(file.expanduser(), os.R_OK) and file.expanduser().is_file()
        for file in (tls.certificate, tls.key)
    ):
        return []
    try:
        Certificate(tls)
    except ConfigError as error:
        text, _, fix = str(error).removeprefix(f"{_PLACE}: ").rpartition("; ")
        return [Finding(Level.WRONG, _PLACE, "certificate", text, fix)]
    return [Finding(Level.OK, _PLACE, "certificate", f"{tls.key} belongs to {tls.certificate}")]
