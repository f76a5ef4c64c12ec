"""Scenes with a second origin: the first one dies, in the middle of bodies too."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from tests.chaos.downloads import Verdict
from tests.chaos.faults import Act, Fault, always, drawn
from tests.chaos.scenes_of_origin import MIXED, crowd
from tests.chaos.scenes_of_processes import UNBUFFERED
from tests.chaos.world import scene

if TYPE_CHECKING:
    from tests.chaos.stage import Stage


@scene(failover=True)
async def the_origin_dies_and_failover_goes_on(stage: Stage) -> None:
    """No download notices: neither those that run, nor those that come, nor after its return."""
    wanted, large = await stage.put("a.bin"), await stage.put("large.bin", UNBUFFERED)
    gate = asyncio.Event()
    pairs = await crowd(stage, large, stage.pick(2, 30))
    waiting = [(replace(client, gate=gate), each) for client, each in pairs]
    going = asyncio.create_task(stage.downloads(waiting))
    await stage.until(partial(stage.passed, len(pairs)))
    await stage.proxy.close()
    gate.set()
    dead = await stage.downloads(await crowd(stage, wanted, stage.pick(2, 50)))
    assert dead == {Verdict.WHOLE: dead.total()}
    running = await going
    assert running == {Verdict.WHOLE: running.total()}
    await stage.proxy.open()
    back = await stage.downloads(await crowd(stage, wanted, 2))
    assert back == {Verdict.WHOLE: back.total()}
    name = f'nearbucket_origin_failovers_total{{site="{stage.host}"}}'
    stage.notes.append(f"{(await stage.figures())[name]:.0f} failovers over plain HTTP")


@scene(failover=True)
async def SlowDown_for_good_with_failover(stage: Stage) -> None:  # noqa: N802
    wanted = await stage.put("a.bin")
    stage.proxy.plan = always(Fault(Act.SLOW_DOWN))
    found = await stage.downloads(await crowd(stage, wanted, stage.pick(3, 50)))
    assert found == {Verdict.WHOLE: found.total()}


@scene(failover=True)
async def all_faults_with_failover(stage: Stage) -> None:
    """No download notices any of them."""
    wanted = await stage.put("a.bin")
    stage.proxy.plan = drawn(stage.seed, *MIXED, share=0.8)
    found = await stage.downloads(await crowd(stage, wanted, stage.pick(6, 200)))
    assert found == {Verdict.WHOLE: found.total()}
