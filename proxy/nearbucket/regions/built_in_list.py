"""AWS's list as it was when this version was released, for use until the first fetch.

``ip-ranges.json.gz`` is the document as AWS published it, and ``ip-ranges.prepared.gz`` the form
of it that is read; ``make ranges`` renews both.
"""

from __future__ import annotations

import gzip
import re
from dataclasses import replace
from importlib.resources import files
from typing import TYPE_CHECKING

from nearbucket.config.settings import AWS_LIST
from nearbucket.regions.prepared_list import read_prepared

if TYPE_CHECKING:
    from nearbucket.regions.ip_ranges import Ranges

_START = 200
"""Bytes at the start of the document that contain its token."""


def built_in_list(source: str, *, newer_than: int | None = None) -> Ranges | None:
    """The built-in list, or None if it does not apply.

    Takes 20 ms of CPU time; less than 1 if the list does not apply.

    Args:
        source: ``regions.source``. The list applies to AWS's URL alone: lists of different sources
            cannot be compared.
        newer_than: A token; the list applies if it has a higher one.
    """
    if source != AWS_LIST:
        return None
    folder = files("nearbucket.regions")
    with (folder / "ip-ranges.json.gz").open("rb") as packed, gzip.open(packed) as document:
        if newer_than is not None and _token(document.read(_START)) <= newer_than:
            return None
    prepared = gzip.decompress((folder / "ip-ranges.prepared.gz").read_bytes())
    return replace(read_prepared(prepared), built_in=True)


def _token(start: bytes) -> int:
    found = re.search(rb'"syncToken": *"(\d+)"', start)
    return int(found[1]) if found else 0
