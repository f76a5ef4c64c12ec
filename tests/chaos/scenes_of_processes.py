"""Scenes about the product's processes: killed, reloaded."""

from __future__ import annotations

import asyncio
import os
import signal
from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import yaml

from tests.chaos.downloads import Verdict
from tests.chaos.faults import MIB, Act, Kind, drawn
from tests.chaos.scenes_of_origin import crowd
from tests.chaos.world import scene

if TYPE_CHECKING:
    from collections import Counter

    from tests.chaos.downloads import Client, Wanted
    from tests.chaos.stage import Stage

UNBUFFERED = 12 * MIB
"""Bytes of a body that the kernel does not buffer at both ends (tcp(7), tcp_rmem, tcp_wmem)."""


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
