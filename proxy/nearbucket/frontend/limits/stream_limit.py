"""How many objects one worker streams at a time: in all, and from one origin.

Every stream holds two sockets and their buffers. Beyond the limit a request gets 503 at once, while
redirects, which hold nothing, are still answered.
"""

from __future__ import annotations

import logging
import os
import resource
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nearbucket.config.settings import Settings

MEMORY_OF_STREAM = 512 * 1024
"""Bytes of process and kernel for a client that is slower than S3: measured 270 KiB, over TLS 350
KiB (docs/design.md, "The kernel buffers little for a slow client")."""

_FILES_OF_STREAM = 2
_OTHER_FILES = 256  # descriptors for everything else: idle connections, checks, logs
_LEAST = 16
_SHARE_OF_MEMORY = 0.5
_SHARE_OF_ORIGIN = 0.75
"""Of the automatic limit, for one origin: one that hangs leaves the others some streams."""

_CGROUPS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)  # version 2, and 1


_log = logging.getLogger(__name__)


class StreamLimit:
    """Counts the streams from one origin.

    Attributes:
        most: How many there may be.
        count: How many there are.
    """

    __slots__ = ("_all", "count", "most")

    def __init__(self, most: int, of_worker: StreamLimit | None = None) -> None:
        """Allow ``most`` streams, and no more than the limit of the whole worker allows."""
        self.most = most
        self.count = 0
        self._all = of_worker

    def begin(self) -> bool:
        """Count a stream; False if there are too many already."""
        if self.count >= self.most or (self._all is not None and not self._all.begin()):
            return False
        self.count += 1
        return True

    def begin_again(self) -> None:
        """Count a stream that another lane has begun and passed on, even if there are too many."""
        self.count += 1
        if self._all is not None:
            self._all.begin_again()

    def end(self) -> None:
        """A stream has ended."""
        self.count -= 1
        if self._all is not None:
            self._all.end()


class StreamLimits:
    """The limits of one worker, by the name of the site; they outlive a reload.

    Attributes:
        by_site: The limit of each site's origin; sites with the same origin share one.
    """

    __slots__ = ("_all", "_by_origin", "_workers", "by_site")

    def __init__(self, workers: int) -> None:
        """Take the number of workers, which share the memory."""
        self._workers = workers
        self._all = StreamLimit(0)
        self._by_origin: dict[str, StreamLimit] = {}
        self.by_site: dict[str, StreamLimit] = {}

    def use(self, settings: Settings) -> None:
        """Apply the limits of a configuration, without losing count."""
        most, before = settings.limits.max_streams, self._all.most
        origins = {site.origin.url() for site in settings.sites}
        if most == "auto":
            self._all.most = automatic_limit(self._workers)
            share = _SHARE_OF_ORIGIN if len(origins) > 1 else 1
            each = max(1, int(self._all.most * share))
        else:
            each, self._all.most = most, most * len(origins)
        if self._all.most != before:
            _log.info("up to %d streams in this worker, %d an origin", self._all.most, each)
        for origin in origins:
            limit = self._by_origin.setdefault(origin, StreamLimit(each, self._all))
            limit.most = each
        self.by_site = {site.name: self._by_origin[site.origin.url()] for site in settings.sites}
        self._by_origin = {
            url: limit for url, limit in self._by_origin.items() if url in origins or limit.count
        }


def automatic_limit(workers: int) -> int:
    """How many streams a worker has descriptors for, and memory: half of that of all workers."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    by_memory = int(_memory() * _SHARE_OF_MEMORY) // workers // MEMORY_OF_STREAM
    if files == resource.RLIM_INFINITY:
        return max(_LEAST, by_memory)
    return max(_LEAST, min(by_memory, (files - _OTHER_FILES) // _FILES_OF_STREAM))


def _memory() -> int:
    """Bytes that the processes may use: those of the machine, or of the control group."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *_group_limits()])  # a list: there may be no limit


def _group_limits() -> Iterator[int]:
    for file in _CGROUPS:
        try:
            yield int(file.read_text(encoding="ascii"))
        except (OSError, ValueError):  # there is no such file, or it says "max"
            continue
