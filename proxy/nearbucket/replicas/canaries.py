"""Some objects of a bucket by which its probes tell that it is still the same bucket.

A bucket that was deleted can be created again by any account, under the same name and with other
objects. S3 shows no client when a bucket was created, or who owns it. But an object of the new
bucket has a Last-Modified of its own, and, unless its bytes are the same, another ETag. So each
probe asks for an object that is known to be there, and compares.

An object may also be overwritten or deleted in the usual way. Then the others are asked: if one
that was seen before the last good probe is the same as then, so is the bucket.
"""

from __future__ import annotations

from math import inf
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nearbucket.replicas.object_version import ObjectVersion

MOST = 4
"""How many objects are kept, and how many other keys."""


class Sighting(NamedTuple):
    """What a HEAD of an object shows; ``modified`` is Last-Modified as sent, perhaps empty."""

    size: int
    etag: str
    modified: str


class _Canary(NamedTuple):
    """An object of the bucket.

    Attributes:
        mark: Size and ETag by a HEAD; None if it is known from a listing, which may be old.
        modified: Last-Modified by a probe; None before the first one.
        noted: Monotonic time since which this is known.
    """

    mark: tuple[int, str] | None
    modified: str | None
    noted: float

    def equals(self, seen: Sighting | None) -> bool:
        """Whether the object is the same as it was, as far as that is known."""
        return (
            seen is not None
            and self.mark in {None, seen[:2]}
            and self.modified in {None, seen.modified}
        )


class Canaries:
    """The objects of one bucket, in the order in which they are asked for.

    Attributes:
        latest: Other keys that were there lately, or that clients requested while the bucket could
            not be used; for a bucket of which nothing else shows that it can be read.
    """

    __slots__ = ("_confirmed", "_kept", "latest")

    def __init__(self) -> None:
        self.latest: tuple[str, ...] = ()
        self._kept: dict[str, _Canary] = {}
        self._confirmed = -inf

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of the objects; the one that was confirmed last is the last."""
        return tuple(self._kept)

    def note(self, key: str, version: ObjectVersion | None) -> None:
        """Keep an object that is in the bucket.

        Those that are kept are not replaced: of a bucket that changed hands a moment ago, all the
        latest objects may be those of the new one. If there are enough, only the key is kept.

        Args:
            key: Its key.
            version: By a HEAD; None if it is known from a listing.
        """
        if len(self._kept) >= MOST:
            self.note_key(key)
        elif key not in self._kept:
            mark = None if version is None else (version.size, version.etag)
            self._kept[key] = _Canary(mark, None, monotonic())

    def note_key(self, key: str) -> None:
        """Keep the key of an object that may be in the bucket."""
        if key not in self._kept and key not in self.latest:
            self.latest = (key, *self.latest)[:MOST]

    def is_same(self, key: str, seen: Mapping[str, Sighting | None]) -> bool:
        """Whether an object shows that the bucket is still the same.

        Args:
            key: The object that was asked for last.
            seen: What all objects have shown that were asked for; None if they were not there.
        """
        canary = self._kept.get(key)
        if canary is None or canary.modified is None or not canary.equals(seen[key]):
            return False
        return canary.noted <= self._confirmed or not self.changed(seen)

    def changed(self, seen: Mapping[str, Sighting | None]) -> tuple[str, ...]:
        """Keys of the objects that are not what they were."""
        known = ((key, self._kept.get(key), sighting) for key, sighting in seen.items())
        return tuple(
            key
            for key, canary, sighting in known
            if canary is not None and canary.mark is not None and not canary.equals(sighting)
        )

    def confirm(self, key: str, seen: Mapping[str, Sighting | None], asked: float) -> None:
        """Note that ``is_same`` holds for a key, by a probe that began at ``asked``.

        Objects that have changed are not kept any longer: they may change often.
        """
        changed = self.changed(seen)
        for other, sighting in seen.items():
            if other != key:
                self._renew(other, None if other in changed else sighting)
        self._renew(key, seen[key])
        self._confirmed = asked

    def restart(self, seen: Mapping[str, Sighting | None]) -> bool:
        """Keep what is there now, because no object showed that the bucket is the same.

        Returns whether that is in doubt: an object has changed, or is gone.
        """
        replaced, now = bool(self.changed(seen)), monotonic()
        rest = (
            {} if replaced else {key: kept for key, kept in self._kept.items() if key not in seen}
        )
        there = {key: sighting for key, sighting in seen.items() if sighting is not None}
        self._kept = {
            key: _Canary(sighting[:2], sighting.modified, now) for key, sighting in there.items()
        } | rest
        self._confirmed = now
        return replaced

    def _renew(self, key: str, sighting: Sighting | None) -> None:
        """Keep an object as it was seen, at the end; None removes it."""
        canary = self._kept.pop(key, None)
        if canary is not None and sighting is not None:
            self._kept[key] = _Canary(sighting[:2], sighting.modified, canary.noted)
