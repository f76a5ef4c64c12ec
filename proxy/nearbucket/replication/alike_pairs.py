"""Remembers between runs which copies are equal to the origin's object, though older.

An object that was written again with the same bytes has the same ETag and a later date. Whether its
headers, metadata and tags are the same too is not in the listings, and takes four requests to find
out. Without this file every run would send them again, because the copy stays older.

The file has a digest of each such pair: of the key, the ETag and the dates of both objects. If
either object is written again, its date changes, and the pair is compared again. Without the file,
which may be deleted at any time, pairs are compared once more.
"""

from __future__ import annotations

import os
from contextlib import suppress
from email.utils import parsedate_to_datetime
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from nearbucket.replication.listing_merge import Pair

_BYTES = 16
"""Bytes of a digest."""

_SECOND = 1.0
"""Dates of objects are whole seconds, so an object that was compared within the second of its date
may have been written again in that second, which its date does not show."""


class AlikePairs:
    """The equal pairs of one step of a run, read from a file and saved to it."""

    def __init__(self, folder: Path | None, *names: str) -> None:
        """Read the file of a step.

        Args:
            folder: Folder of these files; None to remember nothing.
            names: The site, and ``Bucket.object_base_url`` of origin and target; they give the file
                its name. Two sites may choose different objects of the same two buckets, and a
                step forgets all pairs that it does not see.
        """
        self._file: Path | None = None
        self._before: frozenset[bytes] = frozenset()
        self._now: set[bytes] = set()
        if folder is None:
            return
        with suppress(OSError, RuntimeError):  # the user may have no home directory
            self._file = folder.expanduser() / _digest(*names).hex()
            found = self._file.read_bytes()
            self._before = frozenset(
                found[first : first + _BYTES] for first in range(0, len(found), _BYTES)
            )

    def knows(self, pair: Pair) -> bool:
        """Whether an earlier run found these two to be equal; if so, ``save`` keeps the pair."""
        found = bool(self._before) and (name := _name(pair)) in self._before
        if found:
            self._now.add(name)
        return found

    def note(self, pair: Pair, date: str) -> None:
        """Remember an equal pair.

        Args:
            pair: The two objects.
            date: Date field of a response of the origin that came before the first request of the
                comparison: dates of objects are of S3's clock, and this machine's may be wrong.
        """
        origin, _ = pair
        with suppress(ValueError):  # there is no such field
            asked = parsedate_to_datetime(date).timestamp()
            if origin is not None and origin.modified.timestamp() + _SECOND <= asked:
                self._now.add(_name(pair))

    def save(self, *, whole: bool) -> None:
        """Write the file; that it cannot be written is no error.

        Args:
            whole: Whether the run has seen all objects; else the file keeps the other pairs too.
        """
        digests = self._now if whole else self._now | self._before
        if self._file is None or digests == self._before:
            return
        new = self._file.with_suffix(f".{os.getpid()}")
        with suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            try:
                new.write_bytes(b"".join(digests))
                new.replace(self._file)
            finally:  # the disk may be full
                new.unlink(missing_ok=True)


def _name(pair: Pair) -> bytes:
    """Digest of a pair of objects with one ETag."""
    known = [each for each in pair if each is not None]
    return _digest(known[0].key, known[0].etag, *(each.modified.isoformat() for each in known))


def _digest(*parts: str) -> bytes:
    return blake2b("\0".join(parts).encode(), digest_size=_BYTES).digest()
