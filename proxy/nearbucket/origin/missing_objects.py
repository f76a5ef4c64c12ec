"""Objects for which an origin has just answered 404: they are not requested again for a second.

Otherwise each request of a client that asks for one key at full speed would cost a request to S3.
S3 shows an upload to all requests that follow it, so the time is short (docs/design.md, "A missing
object costs each worker one request a second").
"""

from __future__ import annotations

from typing import NamedTuple

LIFETIME = 1.0
"""Seconds for which a 404 stands, from the time at which S3 was asked."""

RENEWAL = 1.0
"""Seconds after that for which it stands for others while one request asks S3 again."""

MOST = 4096
"""Objects that are remembered; up to 6 MB, if all keys have 1,024 bytes."""

Fields = list[tuple[str, str]]
"""Header fields that the answer keeps of S3's."""


class MissingName(NamedTuple):
    """What S3's answer depends on.

    Attributes:
        site: Name of the site.
        key: Object key, decoded, without the bucket's prefix.
        query: Arguments that are passed on to S3.
        cors_origin: The client's Origin field; S3's CORS fields depend on it.
    """

    site: str
    key: str
    query: tuple[tuple[str, str], ...] = ()
    cors_origin: str | None = None


AnyName = tuple[str, str, tuple[tuple[str, str], ...], str | None]
"""A ``MissingName``, or its values: the streaming lane makes one for each request."""


class _Missing(NamedTuple):
    until: float
    fields: Fields
    renewing: bool


class MissingObjects:
    """The missing objects of all sites of one worker."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: dict[AnyName, _Missing] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, name: AnyName, now: float) -> Fields | None:
        """Fields of the 404 if S3 need not be asked.

        When the time of an object is over, the first request has to ask S3 (None); the others get
        the 404 for ``RENEWAL`` seconds longer, once.
        """
        known = self._kept.get(name)
        if known is None or now < known.until:
            return None if known is None else known.fields
        del self._kept[name]
        if not known.renewing and now < known.until + RENEWAL:
            self._kept[name] = _Missing(known.until + RENEWAL, known.fields, renewing=True)
        return None

    def put(self, name: MissingName, fields: Fields, asked: float) -> None:
        """Remember a 404 to a request that was sent at this monotonic time or later."""
        self._kept.pop(name, None)
        if len(self._kept) >= MOST:
            del self._kept[next(iter(self._kept))]
        self._kept[name] = _Missing(asked + LIFETIME, fields, renewing=False)

    def forget(self, name: MissingName) -> None:
        """The object is there, or S3 does not answer 404 any more."""
        self._kept.pop(name, None)

    def clear(self) -> None:
        """Forget all: the sites may have other buckets."""
        self._kept.clear()
