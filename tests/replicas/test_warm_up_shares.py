"""In which shares a warm-up reads its buckets, and when each is finished: without S3."""

from __future__ import annotations

import asyncio
import itertools
from types import SimpleNamespace

import pytest

from nearbucket.replicas import warm_up
from nearbucket.replicas.object_version import CatalogBatch
from nearbucket.replicas.warm_up import WarmUp
from tests.build import settings


class Counted:
    """A source of so many objects, and how many were taken."""

    location = SimpleNamespace(name="sites.*.origin")
    read = 0

    def __init__(self, size: int) -> None:
        self.size, self.taken = size, 0

    async def take(self, most: int) -> CatalogBatch | None:
        number = min(most, self.size - self.taken)
        self.taken += number
        await asyncio.sleep(0)
        return CatalogBatch("", (("key", 1, "etag", 0.0),) * number, 0.0) if number else None


@pytest.mark.parametrize("room", [1, 100, 408, 1300])
async def test_shares_are_as_even_as_the_buckets_allow(
    room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm_up, "PAUSE", 0)
    for sizes in itertools.product([0, 1, 7, 400], repeat=3):
        run = WarmUp(settings(), lambda _: None)
        sources = [Counted(size) for size in sizes]
        run._sources = sources  # type: ignore[assignment]
        async with asyncio.timeout(10):
            await run._read_all(room)
        sent = [source.taken for source in sources]
        most = min(room, sum(sizes))
        assert most - 3 < sum(sent) <= most, sizes
        short = {taken for taken, size in zip(sent, sizes, strict=True) if taken < size}
        assert short <= {max(sent)}, sizes


async def test_a_bucket_is_finished_when_it_has_no_more_objects_while_others_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(warm_up, "PAUSE", 0)
    finished: list[int] = []
    run = WarmUp(settings(), lambda _: finished.append(run.progress.done))
    run._sources = [Counted(7), Counted(2000)]  # type: ignore[list-item]
    async with asyncio.timeout(10):
        await run._read_all(10_000)
    assert (finished[0], finished[-1], run.progress.done) == (0, 1, 2)
