"""Scenes about hostile clients and a hostile source of prefixes."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from tests.chaos.downloads import Verdict
from tests.chaos.faults import MIB
from tests.chaos.feed import answer
from tests.chaos.scenes_of_origin import crowd
from tests.chaos.world import scene

if TYPE_CHECKING:
    from tests.chaos.feed import Feed
    from tests.chaos.stage import Stage

PREFIXES = 'nearbucket_ranges_prefixes{family="ipv4"}'
GOOD = ("updated", "unchanged")
"""Results of a refresh after which the list in use is the source's."""

TIMEOUTS = {"header_timeout": "2s", "idle_timeout": "8s"}
"""Short, but not for honest clients of a harness that is busy."""
CLOSED = 20.0
"""Seconds within which a connection that says too little has been closed."""


@scene(product="slow", settings={"limits": TIMEOUTS})
async def slowloris(stage: Stage) -> None:
    """Heads that come byte by byte, silence, and answers that are not read: all are closed."""
    wanted = await stage.put("a.bin", 8 * MIB)
    port, head = stage.product.port, stage.client().head(wanted)
    each = stage.pick(90, 400)
    over = asyncio.Event()

    async def gone() -> bool:
        figures = await stage.figures()
        return figures["nearbucket_connections"] == figures["nearbucket_streams_in_progress"] == 0

    async with asyncio.TaskGroup() as group:
        hostile = [
            group.create_task(one)
            for number in range(each)
            for one in (
                _says_little(port, head if number % 2 else b""),
                _reads_nothing(port, head, over),
            )
        ]
        found = await stage.downloads(await crowd(stage, wanted, stage.pick(3, 20), secure=False))
        assert found == {Verdict.WHOLE: found.total()}
        await stage.until(gone)
        over.set()
    assert all(task.result() for task in hostile)
    stage.notes.append(f"{len(hostile)} hostile connections, all closed by the product")


async def _says_little(port: int, head: bytes) -> bool:
    """Send a head byte by byte, but never its end; whether the product closes the connection."""
    with _connected(port) as connection:
        for byte in head[:-1]:
            with suppress(OSError):
                connection.send(bytes([byte]))
            if await _ended(connection, 0.2):
                return True
        return await _ended(connection, CLOSED)


async def _reads_nothing(port: int, head: bytes, over: asyncio.Event) -> bool:
    """Ask, and read nothing until all is over; whether the product has closed the connection.

    Until then only the product knows: its FIN is behind bytes that this side does not take.
    """
    with _connected(port) as connection:
        connection.send(head)
        await over.wait()
        return await _ended(connection, CLOSED)


def _connected(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setblocking(False)  # noqa: FBT003
    return connection


async def _ended(connection: socket.socket, seconds: float) -> bool:
    """Whether the product ends a connection within some seconds."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(seconds):
            while await loop.sock_recv(connection, 1 << 16):
                pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


@scene(product="fed", feed=True, settings={"regions": {"refresh": 0.2}})
async def attacks_by_the_source_of_prefixes(stage: Stage) -> None:
    """Whatever it answers, the list in use stays, and clients notice nothing."""
    feed = stage.feed
    assert feed is not None
    wanted = await stage.put("a.tar.xz", MIB)
    address = stage.west(1)

    async def redirected() -> bool:
        return await stage.redirects(address, wanted.key)

    await stage.until(redirected)
    before = (await stage.figures())[PREFIXES]
    attacks = [*feed.attacks()]
    for what, raw in attacks:
        feed.raw, asked = raw, feed.asked
        await stage.until(partial(_asked, feed, asked + 2))  # the first has been read
        assert (await stage.figures())[PREFIXES] == before, what
        assert await redirected(), what
        found = await stage.downloads(await crowd(stage, wanted, stage.pick(1, 20), secure=False))
        assert found == {Verdict.WHOLE: found.total()}, what
    feed.raw = answer(feed.good)
    good = await _good(stage)
    await stage.until(partial(_grown, stage, good))
    stage.notes.append(f"{len(attacks)} attacks")


async def _asked(feed: Feed, times: int) -> bool:
    return feed.asked >= times


async def _good(stage: Stage) -> float:
    """How often the source has confirmed the list, or given a newer one."""
    figures = await stage.figures()
    names = (f'nearbucket_ranges_refreshes_total{{result="{result}"}}' for result in GOOD)
    return sum(figures.get(name, 0) for name in names)


async def _grown(stage: Stage, good: float) -> bool:
    return await _good(stage) > good
