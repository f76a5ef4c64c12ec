"""Scenes about the product's processes: killed, reloaded, hung."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import yaml

from tests.chaos.downloads import LANES, Verdict
from tests.chaos.faults import MIB, Act, Kind, drawn
from tests.chaos.scenes_of_origin import crowd
from tests.chaos.world import scene

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Awaitable, Callable

    from tests.chaos.downloads import Client, Wanted
    from tests.chaos.stage import Stage

UNBUFFERED = 12 * MIB
"""Bytes of a body that the kernel does not buffer at both ends (tcp(7), tcp_rmem, tcp_wmem)."""

CLIENTS = 24
"""Clients of ``connecting``."""


@scene(product="killed")
async def a_worker_is_killed(stage: Stage) -> None:
    """Its downloads are visibly broken, the other worker's are whole, and it is replaced."""
    wanted = await stage.put("a.bin", UNBUFFERED)
    for _ in range(stage.pick(1, 10)):
        gate, begun = asyncio.Event(), stage.proxy.done[Act.NONE]
        pairs = await crowd(stage, wanted, 6, secure=False)
        waiting = [(replace(client, gate=gate), each) for client, each in pairs]
        going = asyncio.create_task(stage.downloads(waiting))
        await stage.until(partial(stage.passed, begun + len(pairs)))
        os.kill(stage.product.workers()[0], signal.SIGKILL)
        gate.set()
        found = await going
        assert set(found) <= {Verdict.WHOLE, Verdict.BROKEN}
        assert found[Verdict.WHOLE], "the other worker's"
        assert found[Verdict.BROKEN], "those of the one that was killed"
        await asyncio.to_thread(stage.product.ready)
        found = await stage.downloads(await crowd(stage, wanted, 3, secure=False))
        assert found == {Verdict.WHOLE: found.total()}


@scene(product="reloaded")
async def a_storm_of_reloads(stage: Stage) -> None:
    """Of files with and without errors, while origin connections are cut: all are whole."""
    wanted = await stage.put("a.bin", 2 * MIB)
    stage.proxy.plan = drawn(stage.seed, Kind(Act.RST, at=(MIB // 4, MIB)))
    config = yaml.safe_load(stage.product.config.read_text(encoding="utf-8"))
    going = _slow_downloads(stage, await crowd(stage, wanted, stage.pick(6, 60), secure=False))
    for number in range(stage.pick(15, 300)):
        changed = deepcopy(config)
        changed["sites"][0]["redirect"]["percent"] = number % 100
        stage.product.write(changed if number % 3 else {"sites": [{"hosts": []}]})
        stage.product.signal(signal.SIGHUP)
        await asyncio.sleep(0.05)
    found = await going
    assert found == {Verdict.WHOLE: found.total()}
    stage.product.write(config)
    stage.product.signal(signal.SIGHUP)
    figures = await stage.figures()
    applied, refused = (
        figures[f'nearbucket_config_reloads_total{{result="{result}"}}']
        for result in ("applied", "refused")
    )
    assert applied
    assert refused
    stage.notes.append(f"{applied:.0f} reloads applied, {refused:.0f} refused")


def _slow_downloads(
    stage: Stage, pairs: list[tuple[Client, Wanted]]
) -> asyncio.Task[Counter[Verdict]]:
    """Downloads that take two seconds or more."""
    slow = [(replace(client, piece=1 << 15, pause=0.03), each) for client, each in pairs]
    return asyncio.create_task(stage.downloads(slow))


@scene(product="hung", waits=True)
async def a_worker_hangs(stage: Stage) -> None:
    """SIGSTOP: what it had is broken, what comes is answered, and it is replaced."""
    wanted = await stage.put("a.bin", MIB // 4)
    over = asyncio.Event()
    going = asyncio.create_task(connecting(stage, wanted, over))
    await stage.until(whole(stage, 100))
    os.kill(stage.product.workers()[0], signal.SIGSTOP)
    stopped = time.monotonic()
    hung = 'nearbucket_worker_restarts_total{cause="hung"}'

    async def replaced() -> bool:
        figures = await stage.figures()
        return bool(figures.get(hung)) and figures.get("nearbucket_workers") == 2

    await stage.until(replaced)
    took = time.monotonic() - stopped
    await stage.until(whole(stage, stage.verdicts[Verdict.WHOLE] + 100))
    over.set()
    stage.notes.append(f"replaced after {took:.0f} s, longest download {await going:.0f} s")
    assert not stage.verdicts[Verdict.REFUSED]
    assert stage.verdicts[Verdict.BROKEN] <= CLIENTS


async def connecting(stage: Stage, wanted: Wanted, over: asyncio.Event) -> float:
    """Have clients connect, download and connect again until ``over``; the longest of all, in s."""

    async def one(number: int) -> float:
        lane, longest = [*LANES][number % len(LANES)], 0.0
        while not over.is_set():
            began = time.monotonic()
            await stage.download(stage.client(lane=lane), wanted)
            longest = max(longest, time.monotonic() - began)
            await asyncio.sleep(0.02)
        return longest

    return max(await asyncio.gather(*map(one, range(CLIENTS))))


def whole(stage: Stage, times: int) -> Callable[[], Awaitable[bool]]:
    """Whether so many downloads of the scene were whole."""

    async def enough() -> bool:
        return stage.verdicts[Verdict.WHOLE] >= times

    return enough
