"""A list in a form that is read in a quarter of the time that AWS's document takes.

It is JSON with a column for each field of the rows. Nothing in it is checked again, so it is only
for files whose document was checked: that of the built-in list, which ``make ranges`` writes with
``python -m nearbucket.regions.prepared_list < ip-ranges.json``, and that of the copy on disk, which
starts with a hash of the document, of itself and of this version.
"""

from __future__ import annotations

import hashlib
import json
import sys
from itertools import repeat
from typing import TYPE_CHECKING, Any

from nearbucket import __version__
from nearbucket.regions.ip_ranges import PrefixRow, Ranges, read_ranges
from nearbucket.regions.prefixes import BITS

if TYPE_CHECKING:
    from collections.abc import Iterator

_SEAL = 32  # bytes of SHA-256
_FORM = 1
"""Number of the form, to be raised with it and with what ``read_ranges`` takes for a list."""


def prepare(ranges: Ranges) -> bytes:
    """The prepared form of a list."""
    numbers: dict[str | None, int] = {}
    rows: dict[int, list[tuple[int, ...]]] = {family: [] for family in BITS}
    for family, first, length, *names in ranges.rows:
        named = (numbers.setdefault(name, len(numbers)) for name in names)
        rows[family].append((first >> BITS[family] - length, length, *named))
    top = {
        "token": ranges.token,
        "created": ranges.created,
        "skipped": ranges.skipped,
        "skipped_rows": ranges.skipped_rows,
        "names": list(numbers),
        "columns": {family: list(zip(*each, strict=True)) for family, each in rows.items()},
    }
    return json.dumps(top, separators=(",", ":")).encode()


def read_prepared(prepared: bytes) -> Ranges:
    """The list of which ``prepare`` made this."""
    top = json.loads(prepared)
    rows = tuple(
        row
        for family in BITS
        if (columns := top["columns"][str(family)])
        for row in _rows(family, top["names"], *columns)
    )
    return Ranges(top["token"], top["created"], rows, tuple(top["skipped"]), top["skipped_rows"])


def prepare_beside(document: bytes, ranges: Ranges) -> bytes:
    """The prepared form of a document's list, for a file beside the document."""
    prepared = prepare(ranges)
    return _seal(document, prepared) + prepared


def read_beside(document: bytes, kept: bytes) -> Ranges | None:
    """The list of a document, from what ``prepare_beside`` made; None if it is of another one."""
    seal, prepared = kept[:_SEAL], kept[_SEAL:]
    return read_prepared(prepared) if seal == _seal(document, prepared) else None


def _seal(document: bytes, prepared: bytes) -> bytes:
    found = hashlib.sha256(f"{__version__} {_FORM}".encode())
    found.update(document)
    found.update(prepared)
    return found.digest()


def _rows(
    family: int, names: list[str | None], networks: list[int], lengths: list[int], *named: list[int]
) -> Iterator[PrefixRow]:
    bits = BITS[family]
    firsts = [network << bits - length for network, length in zip(networks, lengths, strict=True)]
    texts: Any = (map(names.__getitem__, column) for column in named)
    families = repeat(family, len(firsts))
    return map(PrefixRow._make, zip(families, firsts, lengths, *texts, strict=True))


if __name__ == "__main__":
    sys.stdout.buffer.write(prepare(read_ranges(sys.stdin.buffer.read())))
