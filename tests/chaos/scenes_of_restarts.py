"""Scenes about instances that end, and the next ones."""

from __future__ import annotations

import asyncio
import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING

import yaml

from tests.chaos.downloads import Verdict
from tests.chaos.faults import MIB
from tests.chaos.scenes_of_processes import CLIENTS, connecting, whole
from tests.chaos.world import scene
from tests.e2e.running import Running

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chaos.stage import Stage


@scene(product="ended", settings={"limits": {"drain_grace": "3s"}})
async def SIGTERM_under_connecting_clients(stage: Stage) -> None:  # noqa: N802
    """Connections are answered until clients know by readiness; none is reset or refused."""
    wanted = await stage.put("a.bin", MIB // 4)
    over = asyncio.Event()
    going = asyncio.create_task(connecting(stage, wanted, over))
    await stage.until(whole(stage, 100))
    stage.product.signal(signal.SIGTERM)

    async def unready() -> bool:
        status, _ = await asyncio.to_thread(stage.product.admin, "/readyz")
        return status == 503

    await stage.until(unready)
    await stage.until(whole(stage, stage.verdicts[Verdict.WHOLE] + CLIENTS))
    over.set()
    await going
    assert set(stage.verdicts) == {Verdict.WHOLE}
    assert await asyncio.to_thread(stage.product.stop) == 0


@scene(product="first")
async def a_rolling_restart(stage: Stage) -> None:
    """The next instance takes over the port again and again; no client notices."""
    wanted = await stage.put("a.bin", MIB // 4)
    over = asyncio.Event()
    going = asyncio.create_task(connecting(stage, wanted, over))
    with ExitStack() as stack:
        running = stage.product
        for number in range(stage.pick(2, 20)):
            await stage.until(whole(stage, stage.verdicts[Verdict.WHOLE] + 100))
            following = stack.enter_context(_following(running, stage.work / str(number)))
            assert await asyncio.to_thread(running.wait) == 0
            running = await asyncio.to_thread(following.ready)
        await stage.until(whole(stage, stage.verdicts[Verdict.WHOLE] + 100))
        over.set()
        await going
    assert set(stage.verdicts) == {Verdict.WHOLE}


def _following(running: Running, folder: Path) -> Running:
    """The next instance, with the configuration and the ports of the one that runs."""
    folder.mkdir()
    config = yaml.safe_load(running.config.read_text(encoding="utf-8"))
    made = Running(folder, config, {})
    made.port, made.admin_port = running.port, running.admin_port
    made.environment = running.environment
    made.words = ("--take-over",)
    return made
