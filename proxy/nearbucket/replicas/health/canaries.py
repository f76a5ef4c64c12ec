"""Canaries: a few known objects of a bucket, by which its probes notice that it was replaced.

When a bucket was deleted, any account can create one with the same name and other objects. S3 does
not show to its readers when a bucket was created, or which account owns it. But an object of the
new bucket has another Last-Modified and, unless its bytes are the same, another ETag. So each probe
asks for an object that is known to be there, and compares.

The object may also have been overwritten or deleted in the usual way. Then the other canaries are
asked: if one is unchanged that was known at the last good probe, the bucket is the same.
"""

from __future__ import annotations

from math import inf
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nearbucket.replicas.object_version import ObjectVersion

MOST = 4
"""Number of canaries, and of the keys in ``latest``."""


class Sighting(NamedTuple):
    """What a HEAD of an object shows; ``modified`` is Last-Modified as sent, or empty."""

    size: int
    etag: str
    modified: str


class _Canary(NamedTuple):
    """An object of the bucket.

    Attributes:
        size_and_etag: From a HEAD; None if it is known from a listing, which may be old.
        modified: Last-Modified from a probe; None before the first one.
        noted: Monotonic time at which the object was noted.
    """

    size_and_etag: tuple[int, str] | None
    modified: str | None
    noted: float

    def equals(self, seen: Sighting | None) -> bool:
        """Whether the object is unchanged, as far as is known."""
        return (
            seen is not None
            and self.size_and_etag in {None, seen[:2]}
            and self.modified in {None, seen.modified}
        )


class Canaries:
    """The canaries of one bucket, in the order in which they are asked for.

    Attributes:
        latest: Other keys that were there lately, or that clients requested while the bucket could
            not be used. They show that a bucket can be read if no canary does.
    """

    __slots__ = ("_confirmed", "_kept", "latest")

    def __init__(self) -> None:
        self.latest: tuple[str, ...] = ()
        self._kept: dict[str, _Canary] = {}
        self._confirmed = -inf

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of the canaries; the one that was confirmed last is the last."""
        return tuple(self._kept)

    def note(self, key: str, version: ObjectVersion | None) -> None:
        """Note an object that is in the bucket.

        It does not replace a canary: if the bucket was replaced a moment ago, the latest objects
        are those of the new one. If there are enough canaries, only the key is kept.

        Args:
            key: Its key.
            version: From a HEAD; None if it is known from a listing.
        """
        if len(self._kept) >= MOST:
            self.note_key(key)
        elif key not in self._kept:
            known = None if version is None else (version.size, version.etag)
            self._kept[key] = _Canary(known, None, monotonic())

    def note_key(self, key: str) -> None:
        """Note the key of an object that may be in the bucket."""
        if key not in self._kept and key not in self.latest:
            self.latest = (key, *self.latest)[:MOST]

    def is_same(self, key: str, seen: Mapping[str, Sighting | None]) -> bool:
        """Whether a canary shows that the bucket is still the same.

        Args:
            key: The canary that was asked for last.
            seen: What this probe has found so far, by key; None for an object that is missing.
        """
        canary = self._kept.get(key)
        if canary is None or canary.modified is None or not canary.equals(seen[key]):
            return False
        return canary.noted <= self._confirmed or not self.changed(seen)

    def changed(self, seen: Mapping[str, Sighting | None]) -> tuple[str, ...]:
        """Keys of the canaries that have changed."""
        known = ((key, self._kept.get(key), sighting) for key, sighting in seen.items())
        return tuple(
            key
            for key, canary, sighting in known
            if canary is not None
            and canary.size_and_etag is not None
            and not canary.equals(sighting)
        )

    def confirm(self, key: str, seen: Mapping[str, Sighting | None], asked: float) -> None:
        """Note that ``is_same`` is true for a key, by a probe that began at ``asked``.

        Canaries that have changed are dropped: they may change often.
        """
        changed = self.changed(seen)
        for other, sighting in seen.items():
            if other != key:
                self._renew(other, None if other in changed else sighting)
        self._renew(key, seen[key])
        self._confirmed = asked

    def restart(self, seen: Mapping[str, Sighting | None]) -> bool:
        """Begin anew with what is there now, because no canary showed that the bucket is the same.

        Returns whether the bucket may have been replaced: a canary has changed, or is gone.
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
        """Set a canary to what was seen and move it to the end; None removes it."""
        canary = self._kept.pop(key, None)
        if canary is not None and sighting is not None:
            self._kept[key] = _Canary(sighting[:2], sighting.modified, canary.noted)
