"""Scenes about what happens to the buckets while clients send requests."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from tests.story.doors import Asker, Mode
from tests.story.stage import GRACE, SIZE, together
from tests.story.world import scene

if TYPE_CHECKING:
    from tests.story.stage import Stage

ARCHIVE = "image.tar.xz"
UNSEEN = 2.0
"""Seconds for which an object may not be seen after its upload, if it was asked for just before."""
LATEST, SUM = "latest.tar.xz", "latest.tar.xz.sha256"
FILES = (ARCHIVE, "next.tar.xz", "third.tar.xz")
"""What jobs fetch by turns: a client that asks for one object again and again counts as stuck."""


@scene()
async def an_object_that_is_replicated_later(stage: Stage) -> None:
    """Replication takes 4 s: streamed until then, redirected soon after."""
    began = time.monotonic()
    for key in FILES:
        await stage.upload(key)
    stage.start(stage.busy(stage.cluster(6), FILES, 0.4))
    await asyncio.sleep(4)
    copying = time.monotonic()
    await stage.replicate(*FILES)
    copied = time.monotonic()
    # a copy that is missing is asked for again after as long as it has been missing
    for key in FILES:
        wanted = partial(_near, stage, key, copying)
        await stage.until(wanted, copied - began + 4)
    await stage.answered(time.monotonic(), 6)
    assert stage.share(until=copying - 1) == 0
    assert set(stage.reasons()) <= {"not-replicated", "in-region"}


@scene(redirect={"exclude": ["*.sha256"]})
async def an_overwritten_latest(stage: Stage) -> None:
    """``latest`` and its checksum are overwritten; the copy follows after 6 s."""
    await stage.publish(LATEST, *FILES)
    await stage.upload(SUM, 600)
    inside, outside = stage.cluster(6), stage.cluster(2, "outside")
    pairs: list[tuple[float, int, int]] = []

    async def build(number: int) -> None:
        client = (inside + outside)[number]
        await asyncio.sleep(number / 10)
        for turn in count():
            if stage.over:
                return
            archive = await stage.fetch(client, LATEST)
            checksum = await stage.fetch(client, SUM)
            await stage.fetch(client, FILES[turn % len(FILES)])
            if archive.good and checksum.good:
                pairs.append((archive.began, archive.body[0] >> 4, checksum.body[0] >> 4))
            await asyncio.sleep(0.5)

    stage.start(together(build(number) for number in range(8)))
    await asyncio.sleep(4)
    await stage.upload(LATEST)
    await stage.upload(SUM)
    uploaded = time.monotonic()
    await asyncio.sleep(6)
    await stage.replicate(LATEST)
    copied = time.monotonic()
    # a copy that differs is asked for again after as long as it has differed
    back = await stage.until(lambda: _near(stage, LATEST, copied), copied - uploaded + 4)
    shown = stage.shown(LATEST, 2)
    apart = [began - shown for began, archive, checksum in pairs if archive != checksum]
    stage.notes.append(f"archive and checksum apart: {len(apart)}, redirected after {back:.0f} s")
    assert stage.old_after_shown(LATEST, 2) == 0
    assert max(apart, default=0) <= GRACE


async def _near(stage: Stage, key: str, since: float) -> bool:
    """Whether a client was redirected to an object and got it, from a time on."""
    return any(
        each.key == key and each.answer.began >= since and each.answer.redirected
        for each in stage.downloads
    )


@scene()
async def an_object_that_is_withdrawn(stage: Stage) -> None:
    """Deleted at the origin, not yet in the target: clients outside AWS get 404, then all do."""
    await stage.publish(*FILES)
    stage.start(stage.busy(stage.cluster(4), FILES, 0.4))
    await asyncio.sleep(2)
    await stage.withdraw(ARCHIVE)
    outside = await stage.fetch(stage.client("outside"), ARCHIVE)
    assert outside.status == 404
    late_from = time.monotonic() + GRACE
    await stage.answered(late_from, 12)
    await together(stage.fetch(client, ARCHIVE) for client in stage.cluster(6))
    late = [
        each.answer.status
        for each in stage.downloads
        if each.key == ARCHIVE and each.answer.began > late_from
    ]
    assert set(late) == {404}


@scene()
async def a_key_that_is_asked_for_before_it_is_there(stage: Stage) -> None:
    """Builds wait for a file: they get it within two seconds of its upload, and from then on."""
    waiting = stage.cluster(4, keeps=True)
    stage.start(stage.busy(waiting, [ARCHIVE], 0.4))
    await asyncio.sleep(3)
    await stage.publish(ARCHIVE)
    there = time.monotonic()
    await stage.until(lambda: _near(stage, ARCHIVE, there))
    late_from = there + UNSEEN
    await stage.answered(late_from, 4)
    late = {each.answer.status for each in stage.downloads if each.answer.began > late_from}
    assert late == {200}


@scene()
async def a_download_resumed_after_an_overwrite(stage: Stage) -> None:
    """With If-Range the client gets the new version whole; without, its ETag tells."""
    await stage.publish(ARCHIVE)
    clients = stage.cluster(4)
    begins = f"bytes=0-{SIZE // 2 - 1}"
    halves = [await stage.fetch(client, ARCHIVE, {"Range": begins}) for client in clients]
    await stage.upload(ARCHIVE)
    await stage.fetch(stage.client("outside"), ARCHIVE)
    await asyncio.sleep(GRACE)
    for client, half in zip(clients[:2], halves, strict=False):
        rest = {"Range": f"bytes={SIZE // 2}-", "If-Range": half.etag}
        answer = await stage.fetch(client, ARCHIVE, rest)
        assert (answer.status, len(answer.body), answer.body[0] >> 4) == (200, SIZE, 2)
    for client, half in zip(clients[2:], halves, strict=False):
        answer = await stage.fetch(client, ARCHIVE, {"Range": f"bytes={SIZE // 2}-"})
        assert (answer.status, answer.body[0] >> 4) == (206, 2)
        assert answer.etag != half.etag


@scene()
async def segments_while_a_copy_is_stale(stage: Stage) -> None:
    """Three clients behind one address download in 8 ranges while the copy is an old one."""
    await stage.publish(ARCHIVE)
    gateway = stage.client(agent="aria2/1.37.0")
    for _ in range(3):
        await stage.segments(gateway, ARCHIVE)
    await stage.upload(ARCHIVE)
    await stage.fetch(stage.client("outside"), ARCHIVE)
    await asyncio.sleep(GRACE)
    for _ in range(5):
        made = await together(stage.segments(gateway, ARCHIVE) for _ in range(3))
        assert [versions for versions, _ in made] == [{2}] * 3
    assert not stage.mixed


@scene()
async def segments_at_change_over(stage: Stage) -> None:
    """Segmented downloads, single and behind one address, while the object is overwritten."""
    await _change_over(stage, downloads=45, clients=8)


@scene(long=True)
async def a_thousand_segmented_downloads_at_change_over(stage: Stage) -> None:
    """A thousand, while the object is overwritten and copied eight times."""
    await _change_over(stage, downloads=1000, clients=14, changes=8)


async def _change_over(stage: Stage, downloads: int, clients: int, changes: int = 1) -> None:
    await stage.publish(ARCHIVE)
    gateway = stage.client(agent="aria2/1.37.0")
    askers = [*stage.cluster(clients // 2), *[gateway] * (clients // 2)]
    made: list[frozenset[int]] = []

    async def download(number: int) -> None:
        await asyncio.sleep(number / 10)
        while not stage.over:
            versions, _ = await stage.segments(askers[number], ARCHIVE)
            made.append(versions)
            await asyncio.sleep(0.3)

    async def reached(step: int) -> None:
        """Wait for a part of the downloads: each change has one before it and one after."""
        wanted = downloads * step // (2 * changes + 1)
        while len(made) < wanted:  # noqa: ASYNC110  # a plain list
            await asyncio.sleep(0.05)

    stage.start(together(download(number) for number in range(len(askers))))
    stage.start(stage.busy(stage.cluster(1, "outside"), [ARCHIVE], 0.3))
    for change in range(changes):
        await reached(2 * change + 1)
        await stage.upload(ARCHIVE)
        await reached(2 * change + 2)
        await stage.replicate(ARCHIVE)
    await reached(2 * changes + 1)
    stage.notes.append(f"{len(made)} downloads")
    assert not stage.mixed, f"of two versions: {len(stage.mixed)} of {len(made)}, {stage.mixed[:9]}"
    assert stage.old_after_shown(ARCHIVE, stage.histories[ARCHIVE].current) == 0


@scene(own_bucket=True)
async def a_bucket_that_was_deleted_and_taken_over(stage: Stage) -> None:
    """Another owner makes a bucket of the name, with objects of the same names and sizes."""
    await stage.publish(*FILES)
    stage.start(stage.busy(stage.cluster(6), FILES, 0.5))
    await asyncio.sleep(2)
    await stage.take_away()
    await stage.until(lambda: _is(stage, up=False))
    await stage.take_over(*FILES)
    back = await stage.until(lambda: _is(stage, up=True))
    stage.notes.append(f"up again after {back:.0f} s")
    await stage.answered(time.monotonic(), 30)
    assert stage.foreign() == 0


@scene(own_bucket=True)
async def a_bucket_taken_over_between_two_probes(stage: Stage) -> None:
    """Deletion and re-creation are not seen as an outage: the next probe shows another object."""
    await stage.publish(*FILES)
    stage.start(stage.busy(stage.cluster(6), FILES, 0.3))
    await asyncio.sleep(4)
    with stage.target.held():
        await stage.take_away()
        await stage.take_over(*FILES)
    noticed = time.monotonic() + 3 + GRACE
    await stage.answered(noticed, 30)
    stage.notes.append(f"another owner's bytes: {stage.foreign()}")
    assert stage.foreign(since=noticed) == 0


async def _is(stage: Stage, *, up: bool) -> bool:
    return await stage.target_up() is up


@scene()
async def a_bucket_that_is_lost_and_found(stage: Stage) -> None:
    """S3 says that there is no such bucket; then it is there again."""
    await _trouble(stage, Mode.LOST, noticed=3 + GRACE)


@scene()
async def a_bucket_that_cannot_be_reached(stage: Stage) -> None:
    """Connections are refused."""
    await _trouble(stage, Mode.CLOSED, noticed=10)


async def _trouble(stage: Stage, mode: Mode, noticed: float) -> None:
    await stage.publish(*FILES)
    stage.start(stage.busy(stage.cluster(6), FILES, 0.5))
    await asyncio.sleep(2)
    await stage.target.set(mode)
    began = time.monotonic()
    await asyncio.sleep(noticed + 1)
    await stage.target.set(Mode.OPEN)
    opened = time.monotonic()
    back = await stage.until(lambda: _is(stage, up=True))
    await stage.answered(opened + back + 1, 30)
    stage.notes.append(f"dead redirects {stage.dead()}, back after {back:.0f} s")
    assert stage.dead(since=began + noticed) == 0
    assert stage.share(since=opened + back + 1) == 1


@scene()
async def a_target_that_is_emptied(stage: Stage) -> None:
    """All copies are deleted, the bucket stays."""
    await stage.publish(*FILES)
    stage.start(stage.busy(stage.cluster(6), FILES, 0.3))
    await asyncio.sleep(4)
    await stage.drop(*FILES)
    noticed = time.monotonic() + 3 + GRACE
    await stage.answered(noticed, 30)
    stage.notes.append(f"dead redirects {stage.dead()}")
    assert stage.dead(since=noticed) == 0


@scene()
async def a_target_that_is_closed_to_clients(stage: Stage) -> None:
    """A tightened bucket policy: the product may read, clients get 403. Many try again."""
    await stage.publish(*FILES)
    await stage.busy(stage.cluster(6), FILES, 0.2, 1)
    await stage.target.set(Mode.SIGNED_ONLY)
    closed = time.monotonic()

    async def node(number: int) -> None:
        client = stage.client()
        await asyncio.sleep(number / 5)
        for _ in range(4):
            if (await stage.fetch(client, ARCHIVE)).good:
                return
            await asyncio.sleep(1)

    await together(node(number) for number in range(100))
    stage.notes.append(f"dead redirects {stage.dead()}")
    assert not await stage.target_up()
    assert "clients" in stage.errors()
    # Each worker counts for itself: one may go on until its own request as a client, after 30 s.
    # Without the breaker of either, each of the last 15 nodes fails twice.
    assert stage.dead(since=closed + 17) <= 24


@scene(long=True)
async def a_target_closed_to_clients_that_do_not_try_again(stage: Stage) -> None:
    """Only the product's own unsigned request shows it: within 60 s; and that it is over."""
    await stage.publish(*FILES)
    stage.start(stage.busy(stage.cluster(100), FILES, 15))
    await stage.until(lambda: _was_asked_as_client(stage), 40)
    await stage.target.set(Mode.SIGNED_ONLY)
    closed = time.monotonic()
    down = await stage.until(lambda: _is(stage, up=False), 60)
    assert "clients" in stage.errors()
    await stage.target.set(Mode.OPEN)
    up = await stage.until(lambda: _is(stage, up=True), 70)
    stage.notes.append(f"down after {down:.0f} s, up after {up:.0f} s")
    assert stage.dead(since=closed + 60) == 0


async def _was_asked_as_client(stage: Stage) -> bool:
    return stage.target.asked[Asker.UNSIGNED, "GET", "object"] > 0
