"""The versions of objects that an origin has shown, so that a failover bucket shows no others."""

from __future__ import annotations

import re
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

MOST = 5000
"""Objects that are kept at least; up to twice as many, about 250 bytes each."""

VALID = 3600.0
"""Seconds for which a version counts after the origin has shown it last: a client that downloads
ranges one after the other may take long, but an origin may also be gone for good."""

_MD5 = re.compile("[0-9a-f]{32}")
_MISSING = -1


class ShownObject(NamedTuple):
    """What a response of the origin has shown of an object.

    Attributes:
        etag: ETag, without quotes.
        size: Bytes; None if it did not say, negative if there is no such object.
        seen: Monotonic time of the response.
    """

    etag: str
    size: int | None
    seen: float


class KnownVersions:
    """ETag and size of the objects of one origin, by key."""

    __slots__ = ("_old", "_shared", "_young")

    def __init__(self, shared: Callable[[str], ShownObject | None] = lambda _: None) -> None:
        """Know nothing yet.

        Args:
            shared: What any worker has seen of an object; by default there are no others.
        """
        self._shared = shared
        self._young: dict[str, ShownObject] = {}
        self._old: dict[str, ShownObject] = {}

    def learn(self, key: str, etag: str, size: int | None) -> None:
        """Note what a response of the origin shows; ``size`` is None if it does not say."""
        if not etag:
            return
        if size is None and (known := self._get(key)) and known.etag == _plain(etag):
            size = known.size
        self._put(key, ShownObject(_plain(etag), size, monotonic()))

    def learn_missing(self, key: str) -> None:
        """Note that the origin has no such object, if it had one."""
        if self._get(key) is not None:
            self._put(key, ShownObject("", _MISSING, monotonic()))

    def allows(self, key: str, etag: str, size: int | None, *, whole: bool) -> bool:
        """Whether an object of a failover bucket may be sent in place of the origin's.

        Args:
            key: The object.
            etag: Its ETag; empty if the response has none.
            size: Its size; None if the response does not say.
            whole: Whether it is sent from its first byte to its last. Otherwise the client may
                join it with other parts, so that the same size is not enough.
        """
        known = self._get(key)
        if known is None:
            return True
        if None not in {known.size, size} and known.size != size:
            return False
        if not etag:
            return known.size == size
        if _plain(etag) == known.etag:
            return True
        # of an object in parts, the ETag depends on where the parts end
        comparable = _MD5.fullmatch(known.etag) and _MD5.fullmatch(_plain(etag))
        return whole and not comparable and known.size == size

    def _get(self, key: str) -> ShownObject | None:
        """What was seen last of an object, if that is not too long ago."""
        known = self._shared(key), self._young.get(key) or self._old.get(key)
        last = max(filter(None, known), key=lambda each: each.seen, default=None)
        return None if last is None or monotonic() - last.seen > VALID else last

    def _put(self, key: str, version: ShownObject) -> None:
        if len(self._young) >= MOST:
            self._old, self._young = self._young, {}
        self._young[key] = version


def _plain(etag: str) -> str:
    return etag.removeprefix("W/").strip('"')
