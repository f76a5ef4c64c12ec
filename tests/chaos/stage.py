"""One scene's site, proxy and clients, and what they got."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tests.chaos.downloads import PATIENCE, Client, Outcome, Verdict, Wanted, download
from tests.chaos.faults import MIB, Act
from tests.chaos.objects import content

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from pathlib import Path

    from tests.chaos.fault_proxy import FaultProxy
    from tests.chaos.feed import Feed
    from tests.e2e.running import Running

TOLD = 5
"""Reasons, and lines of the log, that a scene that fails tells."""

AT_ONCE = 100
"""Downloads of a scene at the same time."""


@dataclass
class Stage:
    """The stage of one scene.

    Attributes:
        host: Host that its requests name.
        bucket: The origin bucket.
        folder: The scene's folder in it.
        proxy: Between the product and the S3 server.
        product: The running product.
        secure: The same with HTTPS, if the scene has it.
        trust: How to speak TLS to that.
        s3: A client with all rights, past the proxy.
        seed: Of this run and scene.
        long: Whether this is the long form.
        work: Folder for files.
        west: Addresses in us-west-2.
        feed: The product's source of prefixes, if it is hostile.
        verdicts: What its clients got.
        wrong: Why verdicts are WRONG.
        broken: Why downloads were not whole, the first few.
        notes: Remarks for the table.
    """

    host: str
    bucket: str
    folder: str
    proxy: FaultProxy
    product: Running
    secure: Running | None
    trust: ssl.SSLContext
    s3: Any
    seed: str
    long: bool
    work: Path
    west: Callable[[int], str]
    feed: Feed | None
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def pick(self, short: int, long: int) -> int:
        """A number of the form that is played."""
        return long if self.long else short

    async def put(self, key: str, size: int = MIB, version: int = 1) -> Wanted:
        """Put an object into the origin."""
        await self.s3.put_object(
            Bucket=self.bucket, Key=self.folder + key, Body=content(key, version, size)
        )
        return Wanted(key, size)

    def client(self, *, secure: bool = False, **more: Any) -> Client:
        """A client of the product, or of its twin with HTTPS."""
        if not secure:
            return Client(self.product.port, self.host, **more)
        assert self.secure is not None
        return Client(self.secure.port, self.host, self.trust, **more)

    def ranges(self, wanted: Wanted, count: int) -> list[Wanted]:
        """Ranges of an object, drawn by seed: some short, some to its end."""
        chance = random.Random(f"{self.seed} ranges")  # noqa: S311  # a seed repeats
        firsts = [chance.randrange(wanted.size) for _ in range(count)]
        return [
            replace(wanted, span=(first, chance.randint(first + 1, wanted.size)))
            for first in firsts
        ]

    async def download(self, client: Client, wanted: Wanted) -> Outcome:
        """Have a client download, and keep account of what it got."""
        outcome = await download(client, wanted)
        self.verdicts[outcome.verdict] += 1
        why = f"{client.lane} {wanted.key} {wanted.span}: {outcome.why}"
        if outcome.verdict is Verdict.WRONG:
            self.wrong.append(why)
        elif outcome.verdict is not Verdict.WHOLE and len(self.broken) < TOLD:
            self.broken.append(f"{why} (TLS: {client.tls is not None}, pause: {client.pause:g} s)")
        return outcome

    def warnings(self) -> list[str]:
        """The last lines that the products logged about this scene's site."""
        running = [each for each in (self.product, self.secure) if each is not None]
        lines = [
            line
            for each in running
            for line in each.errors.read_text(encoding="utf-8").splitlines()
            if self.host in line
        ]
        return lines[-TOLD:]

    async def downloads(self, pairs: Iterable[tuple[Client, Wanted]]) -> Counter[Verdict]:
        """Have clients download at once, some hundred at a time; their verdicts."""
        turn = asyncio.Semaphore(AT_ONCE)

        async def one(client: Client, wanted: Wanted) -> Outcome:
            async with turn:
                return await self.download(client, wanted)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(*pair)) for pair in pairs]
        return Counter(task.result().verdict for task in tasks)

    async def redirects(self, address: str, key: str) -> bool:
        """Whether a client at an address is redirected."""
        reader, writer = await asyncio.open_connection("localhost", self.product.port)
        try:
            writer.write(Client(0, self.host, address=address).head(Wanted(key, 0)))
            line = await asyncio.wait_for(reader.readline(), 30)
        finally:
            writer.transport.abort()
        return b" 301 " in line

    async def figures(self) -> Mapping[str, float]:
        """Every sample of the product's metrics."""
        return await asyncio.to_thread(self.product.figures)

    async def passed(self, times: int) -> bool:
        """Whether so many responses have begun to pass the proxy without a fault."""
        return self.proxy.done[Act.NONE] >= times

    async def until(self, holds: Callable[[], Awaitable[bool]], seconds: float = PATIENCE) -> None:
        """Wait for something of the product."""
        began = time.monotonic()
        while not await holds():
            assert time.monotonic() - began < seconds, f"not within {seconds:g} s"
            await asyncio.sleep(0.1)
