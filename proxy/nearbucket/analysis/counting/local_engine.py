"""Reduces files in the threads of this process. Arrow and isal release Python's lock."""

from __future__ import annotations

import ctypes
from collections import deque
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Any

from nearbucket.analysis.reading.log_blocks import open_file
from nearbucket.analysis.reducing.joined_files import JoinedFiles, groups
from nearbucket.analysis.reducing.reduce import reduce_parts

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

        idle = [JoinedFiles(self.options, told, self.opened, self.ids) for _ in range(self.threads)]

        def join(group: Sequence[LogSource]) -> None:
            files = idle.pop()  # there is one for each thread
            for part in files.add(group):
                store.add(part)
            idle.append(files)

        def finish(files: JoinedFiles) -> None:
            for part in files.rest():
                store.add(part)

        with ThreadPoolExecutor(self.threads, "reduce") as pool:
            try:
                if self.kept is not None:
                    deque(pool.map(partial(self._add_kept, store, told), sources), 0)
                else:
                    deque(pool.map(join, groups(sources, self.options)), 0)
                    deque(pool.map(finish, idle), 0)
            except BaseException:
                stopped.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        store.finish()

    def _add_kept(
        self, store: AggregateStore, told: Callable[[int], None], source: LogSource
    ) -> None:
        """Add a file as it is kept; if it is not, keep it."""
        kept = self.kept if source.size else None  # pipes have none
        if kept is not None and (known := kept.get(source)) is not None:
            for part in known:
                store.add(part)
            told(source.size)
            return
        parts = reduce_parts(source, self.options, told, self.opened, self.ids)
        for part in parts if kept is None else kept.keep(source, parts):
            store.add(part)
