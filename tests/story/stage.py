"""What one scene plays on: a site of the product, its buckets behind doors, and its clients.

The stage knows the truth (which version the origin had when, what every client got) and sums it up
for the table of results.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from math import inf
from typing import TYPE_CHECKING, Any, TypeVar

from tests.command_server import Begun
from tests.s3server import allow_anonymous, make_bucket
from tests.story.clients import CURL, PATIENCE, Answer, Client
from tests.story.versions import FOREIGN, Content, History, body, content

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping

    from tests.e2e.running import Running
    from tests.story.doors import Door
    from tests.story.networks import Networks

T = TypeVar("T")

SIZE = 1 << 15
"""Bytes of an object, unless a scene needs others."""

GRACE = 2.5
"""Seconds for which an old version may be given after its successor was seen: two, and what a busy
machine takes."""


@dataclass(frozen=True, slots=True)
class Download:
    """One answer, and what is known of the client and the object."""

    key: str
    asker: tuple[str, str]
    answer: Answer
    ended: float
    eligible: bool
    follows: bool
    versions: frozenset[int]
    whole: bool
    old_for: float


@dataclass
class Stage:
    """The stage of one scene.

    Attributes:
        host: Host that its requests name.
        product: The running product.
        origin: The door of the origin bucket.
        target: The door of the target bucket in us-west-2.
        folder: Folder of the scene's objects in both buckets.
        origin_bucket: Name of the origin bucket.
        target_bucket: Name of the target bucket.
        s3: A client with all rights, past the doors.
        networks: Addresses for clients.
        turns: How many requests of the clients of all scenes may be under way at a time.
        histories: What the origin had, by key.
        downloads: What clients got.
        mixed: Segmented downloads that have an older version from the copy than from the origin.
        notes: Remarks for the table of results.
        over: Whether the scene is over, and no client has to ask any more.
    """

    host: str
    product: Running
    origin: Door
    target: Door
    folder: str
    origin_bucket: str
    target_bucket: str
    s3: Any
    networks: Networks
    turns: asyncio.Semaphore
    histories: dict[str, History] = field(default_factory=dict)
    downloads: list[Download] = field(default_factory=list)
    clients: list[Client] = field(default_factory=list)
    mixed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    over: bool = False
    _addresses: Iterator[int] = field(default_factory=count)
    _started: list[asyncio.Task[Any]] = field(default_factory=list)

    # ---- clients

    def client(self, region: str = "us-west-2", **more: Any) -> Client:
        """A client with an address of its own in a region, or ``outside``, ``vpc``, ``ipv6``."""
        address = self.networks.address(region, next(self._addresses))
        made = Client(self.product.port, self.host, address, self.turns, **{"agent": CURL, **more})
        self.clients.append(made)
        return made

    def cluster(self, size: int, region: str = "us-west-2", **more: Any) -> list[Client]:
        """So many clients with addresses of their own."""
        return [self.client(region, **more) for _ in range(size)]

    async def fetch(
        self,
        client: Client,
        key: str,
        fields: Mapping[str, str] | None = None,
        *,
        method: str = "GET",
    ) -> Answer:
        """Have a client ask for an object, and keep account of what it gets."""
        answer = await client.get(key, fields, method=method)
        history = self.histories.get(key, History(0))
        first = _first_byte(fields) if answer.status == 206 else 0
        found = Content(frozenset(), whole=True)
        if answer.good and method == "GET":
            found = content(answer.body, key, history, first)
        named = {**client.fields, **(fields or {})}
        eligible = (
            self.networks.region(client.address) == "us-west-2"
            and key.endswith(".tar.xz")
            and not {"Cookie", "Authorization"} & set(named)
            and method == "GET"
        )
        asker = client.address, client.agent
        old_for = max((history.old_for(each, answer.began) for each in found.versions), default=0.0)
        self.downloads.append(
            Download(
                key, asker, answer, time.monotonic(), eligible, client.follows, *found, old_for
            )
        )
        return answer

    async def segments(self, client: Client, key: str) -> tuple[frozenset[int], list[Answer]]:
        """A download in eight ranges that are asked for at once; the versions that it is made of.

        It counts as mixed if the copy gave an older version than the origin. Otherwise two versions
        are S3's own change between two ranges, which a client only notices by their ETags.
        """
        size = self.histories[key].size
        step = -(-size // 8)
        spans = [(first, min(first + step, size) - 1) for first in range(0, size, step)]
        answers = await together(
            self.fetch(client, key, {"Range": f"bytes={first}-{last}"}) for first, last in spans
        )
        versions = frozenset(answer.body[0] >> 4 for answer in answers if answer.good)
        near = [answer.body[0] >> 4 for answer in answers if answer.good and answer.redirected]
        far = [answer.body[0] >> 4 for answer in answers if answer.good and not answer.redirected]
        if near and far and min(near) < max(far):
            self.mixed.append(self._mix(key, answers))
        return versions, answers

    def _mix(self, key: str, answers: list[Answer]) -> str:
        """How a mixed download came about: seconds since the last upload, version, reason."""
        done = self.histories[key].done[self.histories[key].current]
        return " ".join(
            f"{answer.began - done:+.3f}:v{answer.body[0] >> 4}:{answer.reason}"
            for answer in sorted(answers, key=lambda each: each.began)
            if answer.good
        )

    async def busy(
        self, clients: Iterable[Client], keys: Iterable[str], pause: float, seconds: float = inf
    ) -> None:
        """Have each client ask for the keys in turn, with a pause after each, until the end."""
        ends, wanted = time.monotonic() + seconds, list(keys)

        async def one(number: int, client: Client) -> None:
            await asyncio.sleep(pause * (number % 10) / 10)
            for turn in count(number):
                if self.over or time.monotonic() >= ends:
                    return
                await self.fetch(client, wanted[turn % len(wanted)])
                await asyncio.sleep(pause)

        await together(one(number, client) for number, client in enumerate(clients))

    def start(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Have something go on meanwhile, for as long as ``over`` is not set."""
        task = asyncio.create_task(coroutine)
        self._started.append(task)
        return task

    async def end(self) -> None:
        """Let all requests under way be answered, and close the connections of clients."""
        self.over = True
        if self._started:
            _, left = await asyncio.wait(self._started, timeout=PATIENCE)
            for task in left:
                task.cancel()
            await asyncio.gather(*self._started, return_exceptions=True)
        for client in self.clients:
            client.close()

    # ---- the buckets

    async def upload(self, key: str, size: int = SIZE) -> int:
        """Put the next version of an object into the origin; its number."""
        history = self.histories.setdefault(key, History(size))
        version = history.current + 1
        data = body(key, version, history.size)
        history.began[version] = time.monotonic()
        await self.s3.put_object(Bucket=self.origin_bucket, Key=self.folder + key, Body=data)
        history.done[version] = time.monotonic()
        return version

    async def replicate(self, *keys: str) -> None:
        """Copy objects to the target, as S3's replication does: ETags stay."""
        for key in keys:
            source = {"Bucket": self.origin_bucket, "Key": self.folder + key}
            await self.s3.copy_object(
                Bucket=self.target_bucket, Key=self.folder + key, CopySource=source
            )

    async def publish(self, *keys: str, size: int = SIZE) -> None:
        """Put objects into both buckets."""
        for key in keys:
            await self.upload(key, size)
        await self.replicate(*keys)

    async def withdraw(self, key: str) -> None:
        """Delete an object from the origin."""
        await self.s3.delete_object(Bucket=self.origin_bucket, Key=self.folder + key)

    async def drop(self, *keys: str) -> None:
        """Delete objects from the target."""
        for key in keys:
            await self.s3.delete_object(Bucket=self.target_bucket, Key=self.folder + key)

    async def plant(self, *keys: str) -> None:
        """Put another owner's objects of the same names and sizes into the target."""
        for key in keys:
            data = body(key, FOREIGN, self.histories[key].size)
            await self.s3.put_object(Bucket=self.target_bucket, Key=self.folder + key, Body=data)

    async def take_away(self) -> None:
        """Delete the target bucket, which has to be the scene's own."""
        found = await self.s3.list_objects_v2(Bucket=self.target_bucket)
        for each in found.get("Contents", ()):
            await self.s3.delete_object(Bucket=self.target_bucket, Key=each["Key"])
        await self.s3.delete_bucket(Bucket=self.target_bucket)

    async def take_over(self, *keys: str) -> None:
        """Make the bucket again, as another owner, with objects of the same names."""
        await make_bucket(self.s3, self.target_bucket)
        await allow_anonymous(self.s3, self.target_bucket)
        await self.plant(*keys)

    async def run(self, *command: str) -> tuple[int, str]:
        """Run a command of the product with the configuration in use: exit code and output."""
        words = *command, "--config", str(self.product.config)
        begun = Begun(*words, env=self.product.environment)
        code, out, err = await asyncio.to_thread(begun.end)
        return code, out + err

    # ---- what happened

    async def until(self, holds: Callable[[], Awaitable[bool]], seconds: float = 60.0) -> float:
        """Wait for something of the product; how long it took."""
        began = time.monotonic()
        while not await holds():
            assert time.monotonic() - began < seconds, f"not within {seconds:g} s"
            await asyncio.sleep(0.1)
        return time.monotonic() - began

    async def answered(self, since: float, number: int) -> None:
        """Wait until so many eligible requests begun from then on have been answered."""

        async def enough() -> bool:
            found = [
                each for each in self.downloads if each.eligible and each.answer.began >= since
            ]
            return len(found) >= number

        await self.until(enough)

    async def target_up(self) -> bool:
        """What the metrics say of the target."""
        figures = await asyncio.to_thread(self.product.figures)
        return figures[f'nearbucket_target_up{{region="us-west-2",site="{self.host}"}}'] == 1

    def errors(self) -> str:
        """The process log."""
        return self.product.errors.read_text(encoding="utf-8")

    def share(self, since: float = 0.0, until: float = inf) -> float:
        """Share of the eligible requests for bytes, begun in this time, that were redirected."""
        found = [
            each.answer.redirected or (not each.follows and each.answer.host_status in {301, 302})
            for each in self.downloads
            if each.eligible and since <= each.answer.began < until and each.answer.status != 304
        ]
        return sum(found) / len(found) if found else 0.0

    def byte_share(self) -> float | None:
        """Share of the eligible bytes that clients got at the target; None if there are none."""
        got = [each for each in self.downloads if each.eligible and each.answer.good]
        total = sum(len(each.answer.body) for each in got)
        near = sum(len(each.answer.body) for each in got if each.answer.redirected)
        return near / total if total else None

    def dead(self, since: float = 0.0) -> int:
        """Redirects begun from then on that led to no object."""
        return sum(each.answer.dead for each in self.downloads if each.answer.began >= since)

    def foreign(self, since: float = 0.0) -> int:
        """Answers with another owner's bytes."""
        return sum(
            FOREIGN in each.versions for each in self.downloads if each.answer.began >= since
        )

    def wrong(self) -> int:
        """Answers whose bytes were never the object's, or are of two versions."""
        return sum(
            not each.whole or len(each.versions) > 1 or FOREIGN in each.versions
            for each in self.downloads
        )

    def old(self) -> int:
        """Answers with a version that was replaced more than ``GRACE`` seconds before."""
        return sum(each.old_for > GRACE and FOREIGN not in each.versions for each in self.downloads)

    def shown(self, key: str, version: int) -> float:
        """When a streamed answer first had a version."""
        return min(
            (
                each.ended
                for each in self.downloads
                if each.key == key and version in each.versions and not each.answer.redirected
            ),
            default=inf,
        )

    def old_after_shown(self, key: str, version: int) -> int:
        """Answers with an earlier version, asked for after ``version`` had been streamed."""
        since = self.shown(key, version) + GRACE
        return sum(
            each.key == key and each.answer.began > since and min(each.versions) < version
            for each in self.downloads
            if each.versions
        )

    def reasons(self, since: float = 0.0) -> Counter[str]:
        """The product's reasons, of requests begun from then on."""
        return Counter(
            each.answer.reason
            for each in self.downloads
            if each.answer.host_status and each.answer.began >= since
        )


async def together(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run coroutines at once; their results in order. If one fails, the others are cancelled."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each) for each in coroutines]
    return [task.result() for task in tasks]


def _first_byte(fields: Mapping[str, str] | None) -> int:
    span = (fields or {}).get("Range", "")
    return int(span.removeprefix("bytes=").partition("-")[0] or 0) if span else 0
