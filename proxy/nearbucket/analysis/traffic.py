"""The tables from which what-ifs and recommendations are computed.

They are made once, after all files were read, and are small: one row for each distinct
combination, not for each request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

CREDENTIALS, OPTED_OUT = 1, 2
"""Bits of ``flags``: the request has a cookie, a signed query or an argument of ``origin.query``;
it opts out of redirects."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Traffic by day, object and region.

    Attributes:
        facts: Columns ``day`` (date32), ``object`` (int32: see ``objects``), ``region`` (string: an
            AWS region, ``UNKNOWN``, ``AMAZON-NO-REGION`` or ``NO-ADDRESS``), ``geography`` (string:
            the price geography of the edge), ``method`` (string), ``status`` (int16), ``flags``
            (int8), ``requests`` and ``bytes`` (int64). Rows by day are those from AWS regions with
            status 200, 206 or 304. From elsewhere an object has one row for each region, with its
            first day, ``GET``, 200, the bytes of 200 and 206, and the geography ``unknown``. Each
            day of the log has a row without an object. Strings may be dictionary-encoded.
        objects: Columns ``object`` (int32: numbers from 0), ``host``, ``key`` (string: the path
            without its first slash, as sent), ``size`` (int64): the largest content length of a
            whole 200 response; else the highest end of a range + 1, or bytes of a download without
            a content length; null if it is not known.
        networks: Columns ``object``, ``region``, ``network`` (string: a /24, a /56), ``bytes``:
            traffic from AWS regions; networks with less than a thousandth of it are missing.
            Requests with ``flags`` are left out if they have more than a twentieth of the bytes.
        days: Days of the period; less than a whole day counts as its part.
    """

    facts: pa.Table
    objects: pa.Table
    networks: pa.Table
    days: float
