"""From when and until when a certificate is valid: read from its DER form (RFC 5280, 4.1)."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime
from typing import NamedTuple

from nearbucket.telemetry.utc_text import utc_text

_PEM = re.compile(rb"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----([^-]+)-----END")
_LONG = 0x80
"""Bit of a length that says that it is the number of the bytes that hold the length."""
_VERSION = 0xA0
"""Tag of the field before the serial number, which certificates of version 1 do not have."""
_UTC_TIME = 0x17


class Dates(NamedTuple):
    """Unix times."""

    begin: float
    end: float

    def fault(self, now: float) -> str:
        """Why a certificate is not valid at this Unix time, as a predicate; empty if it is."""
        if now < self.begin:
            return f"is not valid before {utc_text(self.begin)}"
        return f"has expired at {utc_text(self.end)}" if now > self.end else ""


def dates_of(pem: bytes) -> Dates:
    """The dates of the first certificate in a text that OpenSSL has accepted.

    Raises:
        ValueError: They are no times of RFC 5280, which OpenSSL does not look at.
    """
    found = _PEM.search(pem)
    assert found is not None  # noqa: S101  # OpenSSL has found it
    ((_, certificate),) = _fields(base64.b64decode(found[1]))[:1]
    fields = _fields(_fields(certificate)[0][1])
    validity = fields[4 if fields[0][0] == _VERSION else 3][1]
    return Dates(*(_time(tag, text) for tag, text in _fields(validity)))


def _fields(data: bytes) -> list[tuple[int, bytes]]:
    """The values of a sequence, each with its tag."""
    found = []
    while data:
        length, start = data[1], 2
        if length & _LONG:
            start += length & ~_LONG
            length = int.from_bytes(data[2:start])
        found.append((data[0], data[start : start + length]))
        data = data[start + length :]
    return found


def _time(tag: int, text: bytes) -> float:
    form = "%y%m%d%H%M%SZ" if tag == _UTC_TIME else "%Y%m%d%H%M%SZ"
    return datetime.strptime(text.decode("ascii"), form).replace(tzinfo=UTC).timestamp()
