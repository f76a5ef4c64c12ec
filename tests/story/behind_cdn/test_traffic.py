"""Random traffic behind each design: no client ever gets what is another one's."""

from __future__ import annotations

import asyncio
import random
import time
from itertools import cycle
from typing import TYPE_CHECKING

import pytest

from tests.story.behind_cdn.answers import designs, right_place
from tests.story.behind_cdn.stand import Product, Stand, behind
from tests.story.behind_cdn.visitors import CDN, OUTSIDE, REGIONS, Got
from tests.story.versions import History, body, content

if TYPE_CHECKING:
    from tests.story.behind_cdn.designs import Design

SIZE = 1 << 17
CLIENTS = 10


class Traffic:
    """Clients that ask for objects while they are overwritten.

    Attributes:
        answers: How many there were.
        wrong: What was wrong.
    """

    def __init__(self, stand: Stand, design: Design, seed: int) -> None:
        """Behind one design; the seed decides who asks for what."""
        self.answers = 0
        self.wrong: list[str] = []
        self._stand, self._design = stand, design
        self._random = random.Random(seed)  # noqa: S311  # not a secret
        self._histories = {f"{seed}/{n}.tar.xz": History(SIZE) for n in range(6)}

    async def play(self, requests: int, overwrites: int) -> None:
        """Upload all objects, and then let clients ask while some are overwritten."""
        for key in self._histories:
            await self._upload(key)
        async with asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(self._client(requests // CLIENTS))
            for key, _ in zip(cycle(self._histories), range(overwrites), strict=False):
                await self._upload(key)
                await asyncio.sleep(0.2)

    async def _upload(self, key: str) -> None:
        history = self._histories[key]
        version = history.current + 1
        history.began[version] = time.monotonic()
        await self._stand.put(key, body(key, version, SIZE))
        history.done[version] = time.monotonic()

    async def _client(self, requests: int) -> None:
        region = self._random.choice(REGIONS)
        for _ in range(requests):
            key = self._random.choice([*self._histories])
            first, method, fields = 0, "GET", {}
            match self._random.randrange(4):
                case 0:
                    method = "HEAD"
                case 1:
                    first = self._random.randrange(SIZE)
                    fields = {"Range": f"bytes={first}-{first + 5000}"}
            got = await self._stand.visitors.get(region, f"/{key}", fields, method=method)
            self.answers += 1
            self._check(key, first, method, got)

    def _check(self, key: str, first: int, method: str, got: Got) -> None:
        own = right_place(self._design, got.region)
        # a copy that is older than the origin's object is not used
        if got.place not in {own, CDN, right_place(self._design, OUTSIDE)}:
            self.wrong.append(f"{got.region} got it from {got.place}")
        if got.status not in {200, 206}:
            self.wrong.append(f"status {got.status}, {got.note}")
        elif method == "GET":
            found = content(got.body, key, self._histories[key], first if got.status == 206 else 0)
            if not found.whole or len(found.versions) != 1:
                self.wrong.append(f"{key}: {found}")


@pytest.mark.long
@designs
async def test_random_traffic(design: Design, product: Product) -> None:
    async with behind(design, product) as stand:
        traffic = Traffic(stand, design, random.randrange(1 << 30))  # noqa: S311  # not a secret
        await traffic.play(2000, 40)
    assert (traffic.answers, traffic.wrong) == (2000, [])
