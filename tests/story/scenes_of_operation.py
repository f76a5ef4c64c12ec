"""Scenes about what operators do: roll-outs, reloads, lost workers, other copying tools."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import yaml

from tests.storing import put_in_parts
from tests.story.versions import body
from tests.story.world import scene

if TYPE_CHECKING:
    from tests.story.stage import Stage

LARGE = "large.tar.xz"
FILES = [f"{number}.tar.xz" for number in range(6)]
PART = 5 << 20

REDIRECTED = {"in-region", "unverified"}
"""Reasons when all are redirected; on a busy machine S3 may take longer than ``catalog.wait``."""


@scene(product="operated", redirect={"percent": 0}, exact=False)
async def a_roll_out_by_percent_with_a_worker_killed(stage: Stage) -> None:
    """0, 50 and 100 percent by reload, a reload that is refused, and a worker that is killed."""
    await stage.publish(*FILES)
    config = yaml.safe_load(stage.product.config.read_text(encoding="utf-8"))
    stage.start(stage.busy(stage.cluster(40), FILES, 1))
    await stage.answered(0, 40)
    assert stage.share() == 0
    half = await _reload(stage, config, 1, percent=50)
    await stage.answered(half, 80)
    assert 0.2 <= stage.share(since=half) <= 0.8
    stage.product.config.write_text("sites: [{hosts: []}]", encoding="utf-8")
    await _counted(stage, "refused", 1)
    full = await _reload(stage, config, 2, percent=100)
    await stage.answered(full, 80)
    assert set(stage.reasons(since=full)) <= REDIRECTED
    os.kill(stage.product.workers()[0], signal.SIGKILL)
    killed = time.monotonic()
    await asyncio.to_thread(stage.product.ready)
    ready = time.monotonic()
    await stage.answered(ready, 80)
    lost = [each.answer.began for each in stage.downloads if not each.answer.host_status]
    stage.notes.append(f"{len(lost)} connections lost with the worker")
    assert all(abs(began - killed) < 5 for began in lost)
    assert set(stage.reasons(since=ready)) <= REDIRECTED


async def _reload(stage: Stage, config: dict[str, Any], number: int, **redirect: object) -> float:
    """Write other settings, and wait until they are in use; when that was."""
    changed = deepcopy(config)
    for site in changed["sites"]:
        if site["hosts"] == [stage.host]:
            site["redirect"] |= redirect
    stage.product.write(changed)
    await _counted(stage, "applied", number)
    return time.monotonic()


async def _counted(stage: Stage, result: str, number: int) -> None:
    wanted = f'nearbucket_config_reloads_total{{result="{result}"}} {float(number)}'
    await asyncio.to_thread(stage.product.until, "/metrics", lambda _, text: wanted in text)


@scene(one_door=True)
async def copies_made_by_another_tool(stage: Stage) -> None:
    """``aws s3 sync`` copies in parts of its own: another ETag, the same bytes."""
    await stage.upload(LARGE, PART + (1 << 20))
    await _upload_in_parts(stage, LARGE)
    before = await stage.fetch(stage.client(), LARGE)
    assert (before.good, before.reason) == (True, "not-replicated")
    code, said = await stage.run("sync", "--adopt", "--site", stage.host)
    assert code == 0, said
    assert not stage.target.copied, f"nothing is copied again: {said}"
    await stage.until(lambda: _redirected(stage, LARGE), 35)


async def _upload_in_parts(stage: Stage, key: str) -> None:
    data = body(key, 1, stage.histories[key].size)
    parts = (data[first : first + PART] for first in range(0, len(data), PART))
    await put_in_parts(stage.s3, parts, Bucket=stage.target_bucket, Key=stage.folder + key)


async def _redirected(stage: Stage, key: str) -> bool:
    await asyncio.sleep(1)
    return (await stage.fetch(stage.client(), key)).redirected
