"""A finding about the files of ``listen.tls``, with which ``serve`` would not start."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from nearbucket.cli.check.finding import Finding, Level
from nearbucket.config.regular_file import expanded
from nearbucket.errors import ConfigError
from nearbucket.supervisor.sockets.certificate_watch import EXPIRES_SOON
from nearbucket.supervisor.sockets.listener_tls import read_key_pair
from nearbucket.telemetry.utc_text import utc_text

if TYPE_CHECKING:
    from nearbucket.config.settings import Settings, Tls
    from nearbucket.supervisor.sockets.certificate_dates import Dates

_PLACE = "listen.tls"


def certificate_findings(settings: Settings) -> list[Finding]:
    """That the certificate and its key can be used or not; none if a file cannot be read."""
    tls = settings.listen.tls
    if tls is None or not all(
        os.access(file, os.R_OK) and file.is_file()
        for file in map(expanded, (tls.certificate, tls.key))
    ):
        return []
    try:
        dates = read_key_pair(tls).dates
    except ConfigError as error:
        text, _, fix = str(error).removeprefix(f"{_PLACE}: ").rpartition("; ")
        return [Finding(Level.WRONG, _PLACE, "certificate", text, fix)]
    belongs = Finding(Level.OK, _PLACE, "certificate", f"{tls.key} belongs to {tls.certificate}")
    return [belongs, *_findings_of_dates(tls, dates, time.time())]


def _findings_of_dates(tls: Tls, dates: Dates, now: float) -> list[Finding]:
    """That the certificate is not valid now, or not for long."""
    level, text = Level.WRONG, dates.fault(now)
    if not text and dates.end < now + EXPIRES_SOON:
        level, text = Level.WARNING, f"expires at {utc_text(dates.end)}"
    if not text:
        return []
    fix = "write one that is valid, and its key, into the files"
    return [Finding(level, _PLACE, "certificate", f"{tls.certificate} {text}", fix)]
