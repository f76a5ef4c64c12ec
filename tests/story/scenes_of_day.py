"""A working day of eight hours in eight minutes.

The traffic of an hour comes in a minute, and ``verify_ttl`` is 10 s instead of ten minutes. Fixed
intervals of the product cannot be shortened: probes (3 s, and 30 s as clients), the two seconds of
an older copy, negative results (2 to 30 s), the hour for which a stuck client is streamed, and the
minutes of ``came_back``. So an outage is as long as on a real day, which is sixty times as long by
this day's measure, and a client whose redirects fail is streamed until the evening.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from tests.story.doors import Mode
from tests.story.stage import together
from tests.story.world import scene

if TYPE_CHECKING:
    from tests.story.clients import Client
    from tests.story.stage import Stage

HOUR = 60.0
HOURS = 8
RELEASES = [f"releases/{number}.tar.xz" for number in range(12)]
LATEST = "latest.tar.xz"


@scene(long=True, origin=0.05, redirect={"verify_ttl": "10s"})
async def a_day_in_fast_motion(stage: Stage) -> None:
    """Clusters boot, builds run, ``latest`` is overwritten, a bucket is lost for a while.

    At the end the dollars of the counters are those that the downloads did not cost.
    """
    await stage.publish(LATEST, *RELEASES)
    began = time.monotonic()
    kinds = _clusters(stage), _builds(stage), _outside(stage), _others(stage), _operators(stage)
    await together(kinds)
    shown = stage.old_after_shown(LATEST, stage.histories[LATEST].current)
    stage.notes.append(f"{(time.monotonic() - began) / HOUR:.1f} hours")
    assert shown == 0
    assert stage.foreign() == 0
    # each hour ``latest`` is unlike its copy for 16 s of 60, and the outage takes 16 s of 480
    assert stage.share() >= 0.8


async def _clusters(stage: Stage) -> None:
    """Each hour three clusters of 40 boot, each behind an address of its own."""
    gateways = stage.cluster(3)

    async def boot(gateway: Client, delay: float, key: str) -> None:
        await asyncio.sleep(delay)
        await stage.fetch(gateway, key)

    for hour in range(HOURS):
        boots = [
            boot(gateway, number / 8 + offset * 12, RELEASES[(hour + offset) % len(RELEASES)])
            for offset, gateway in enumerate(gateways)
            for number in range(40)
        ]
        await together([*boots, asyncio.sleep(HOUR)])


async def _builds(stage: Stage) -> None:
    """Thirty build machines fetch what they need, now and then what they have."""
    machines = stage.cluster(20) + stage.cluster(5, "ipv6") + stage.cluster(5, "vpc")

    async def machine(number: int, client: Client) -> None:
        await asyncio.sleep(number / 3)
        for turn in range(int(HOURS * HOUR / 12) - 1):
            got = await stage.fetch(client, RELEASES[(number + turn) % len(RELEASES)])
            await stage.fetch(client, LATEST)
            if turn % 5 == 0 and got.etag:
                key = RELEASES[(number + turn) % len(RELEASES)]
                await stage.fetch(client, key, {"If-None-Match": got.etag})
            await asyncio.sleep(12)

    await together(machine(number, client) for number, client in enumerate(machines))


async def _outside(stage: Stage) -> None:
    """Visitors outside AWS, and one with a cookie inside."""
    visitors = [*stage.cluster(4, "outside", keeps=True), stage.client(fields={"Cookie": "a=b"})]
    await stage.busy(visitors, [LATEST, *RELEASES], 3, HOURS * HOUR)


async def _others(stage: Stage) -> None:
    """Scripts that do not follow, a client without a way to S3, segmented downloads."""
    script, blocked = stage.client(follows=False), stage.client(blocked=10.0)
    manager = stage.client(agent="aria2/1.37.0")
    ends = time.monotonic() + HOURS * HOUR - 30

    async def keep_trying(client: Client) -> None:
        turn = 0
        while time.monotonic() < ends:
            turn += (await stage.fetch(client, RELEASES[turn % len(RELEASES)])).good
            await asyncio.sleep(11)

    async def download() -> None:
        while time.monotonic() < ends:
            await stage.segments(manager, LATEST)
            await asyncio.sleep(7)

    await together([keep_trying(script), keep_trying(blocked), download()])


async def _operators(stage: Stage) -> None:
    """``latest`` changes each hour and is replicated 8 s later; at four the bucket is lost."""
    for hour in range(HOURS - 1):
        await asyncio.sleep(HOUR - 8)
        await stage.upload(LATEST)
        await asyncio.sleep(8)
        await stage.replicate(LATEST)
        if hour == HOURS // 2:
            await stage.target.set(Mode.LOST)
            await asyncio.sleep(10)
            await stage.target.set(Mode.OPEN)
