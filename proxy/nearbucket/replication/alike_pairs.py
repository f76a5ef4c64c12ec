"""Remembers copies that an earlier run found to be like the origin's object, though older.

An object that was written again with the same bytes has the same ETag and a later date, and
listings do not show headers, metadata and tags. Comparing them takes four requests; without a
memory it would take them in each run for ever, because nothing makes the copy newer but another
copy.

A file has a digest of each such pair: of the key, the ETag and the dates of both objects. If either
of them is written again, its date differs, and the pair is not known. The file may be lost or
deleted at any time, which costs requests.
"""

from __future__ import annotations

import os
from contextlib import suppress
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from nearbucket.replication.listing_merge import Pair

_BYTES = 16
"""Bytes of a digest."""

_SECOND = 1.0
"""Dates of objects are whole seconds: what was compared within that of its date may have changed
in it."""


class AlikePairs:
    """The pairs of one origin and one target."""

    def __init__(self, folder: Path | None, *urls: str) -> None:
        """Read the file of two buckets.

        Args:
            folder: Where files are; None for no memory.
            urls: What identifies the buckets.
        """
        self._file: Path | None = None
        self._before: frozenset[bytes] = frozenset()
        self._now: set[bytes] = set()
        if folder is None:
            return
        with suppress(OSError, RuntimeError):  # the user may have no home directory
            self._file = folder.expanduser() / _digest(*urls).hex()
            found = self._file.read_bytes()
            self._before = frozenset(
                found[first : first + _BYTES] for first in range(0, len(found), _BYTES)
            )

    def knows(self, pair: Pair) -> bool:
        """Whether these two were found to be alike; those are kept."""
        found = bool(self._before) and (name := _name(pair)) in self._before
        if found:
            self._now.add(name)
        return found

    def note(self, pair: Pair, asked: float) -> None:
        """Remember two that are alike, by what was asked for from this Unix time on."""
        origin, _ = pair
        if origin is not None and origin.modified.timestamp() + _SECOND <= asked:
            self._now.add(_name(pair))

    def save(self, *, whole: bool) -> None:
        """Write the file, if that is possible; after a run that did not see all objects, add."""
        digests = self._now if whole else self._now | self._before
        if self._file is None or digests == self._before:
            return
        new = self._file.with_suffix(f".{os.getpid()}")
        with suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            new.write_bytes(b"".join(digests))
            new.replace(self._file)


def _name(pair: Pair) -> bytes:
    """Digest of a pair of objects with one ETag."""
    known = [each for each in pair if each is not None]
    return _digest(known[0].key, known[0].etag, *(each.modified.isoformat() for each in known))


def _digest(*parts: str) -> bytes:
    return blake2b("\0".join(parts).encode(), digest_size=_BYTES).digest()
