"""Reduces files in the threads of this process. Arrow and isal release Python's lock."""

from __future__ import annotations

import ctypes
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Any

from nearbucket.analysis.reading.log_blocks import open_file
from nearbucket.analysis.reading.sources import STDIN
from nearbucket.analysis.reducing.reduce import reduce_parts
from nearbucket.analysis.reducing.reduced_file import merged
from nearbucket.analysis.reducing.small_files import groups, reduce_small

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nearbucket.analysis.counting.aggregate_store import AggregateStore
    from nearbucket.analysis.counting.kept_aggregates import KeptAggregates
    from nearbucket.analysis.reading.sources import LogSource
    from nearbucket.analysis.reducing.reduce import ReduceOptions
    from nearbucket.analysis.reducing.request_columns import NewIds


_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -3, -1  # of glibc's malloc.h
_KEPT = 32 << 20


def _ignore(_size: int) -> None:
    pass


def _keep_freed_memory() -> None:
    """Have glibc keep the memory of a block for the next one; other C libraries stay as they are.

    Else each block is given back to the kernel, which clears every page of the next one.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _KEPT)
        mallopt(_M_TRIM_THRESHOLD, _KEPT)


@dataclass(frozen=True, slots=True)
class LocalEngine:
    """Reduces files into a store.

    Attributes:
        options: What counts.
        threads: Files that are read at once.
        kept: Where reduced files are kept; None for nowhere.
        opened: Opens a file.
        progress: Is told of stored bytes that were read, in any thread.
        ids: Tells which request ids are new; None if requests are not told by their ids.
    """

    options: ReduceOptions
    threads: int
    kept: KeptAggregates | None = None
    opened: Callable[[LogSource], Any] = open_file
    progress: Callable[[int], None] = _ignore
    ids: NewIds | None = None

    def run(self, sources: Sequence[LogSource], store: AggregateStore) -> None:
        """Add all files to the store."""
        _keep_freed_memory()
        stopped = Event()

        def told(size: int) -> None:
            if stopped.is_set():  # a file can take minutes
                raise CancelledError
            self.progress(size)

        work = [[source] for source in sources] if self.kept else groups(sources)
        with ThreadPoolExecutor(self.threads, "reduce") as pool:
            try:
                for _ in pool.map(lambda group: self._add(group, store, told), work):
                    pass
            except BaseException:
                stopped.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        store.finish()

    def _add(
        self, group: Sequence[LogSource], store: AggregateStore, told: Callable[[int], None]
    ) -> None:
        if len(group) > 1:
            for part in reduce_small(group, self.options, told, self.opened, self.ids):
                store.add(part)
            return
        (source,) = group
        kept = self.kept if source.name != STDIN else None
        if kept is not None and (known := kept.get(source)) is not None:
            store.add(known)
            told(source.size)
            return
        parts = reduce_parts(source, self.options, told, self.opened, self.ids)
        if kept is None:
            for part in parts:
                store.add(part)
            return
        whole = merged(list(parts))
        kept.put(source, whole)
        store.add(whole)
