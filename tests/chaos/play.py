"""Plays scenes, some at the same time, and makes the table of their results."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from tests.chaos import (
    scenes_of_attack,
    scenes_of_failover,
    scenes_of_origin,
    scenes_of_processes,
    scenes_of_restarts,
)
from tests.chaos.downloads import Verdict
from tests.chaos.faults import Act
from tests.chaos.world import SCENES, world
from tests.story.failures import failure_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from tests.chaos.stage import Stage
    from tests.chaos.world import Scene
    from tests.s3server import SeaweedFS

__all__ = ["SCENES", "Result", "play", "scenes_of_attack", "scenes_of_failover",
           "scenes_of_origin", "scenes_of_processes", "scenes_of_restarts", "table"]  # fmt: skip

AT_ONCE = 8
"""Scenes that play at the same time; more would wait for each other's processor time."""


@dataclass(frozen=True)
class Result:
    """What came of a scene: its stage, and why it failed, if it did."""

    scene: Scene
    stage: Stage
    failure: str

    @property
    def problems(self) -> list[str]:
        """Why it failed; empty if it did not."""
        wrong = self.stage.wrong
        return [*([self.failure] if self.failure else []),
                *([f"{len(wrong)} WRONG, such as {wrong[0]}"] if wrong else [])]  # fmt: skip

    @property
    def evidence(self) -> list[str]:
        """What helps to find why it failed: how downloads ended, and what the products logged."""
        return [f"{self.scene.name}: {line}" for line in self.stage.broken + self.stage.warnings()]

    @property
    def row(self) -> list[str]:
        """Its row of the table."""
        stage = self.stage
        faults = sum(n for act, n in stage.proxy.done.items() if act is not Act.NONE)
        return [
            self.scene.name,
            str(stage.verdicts.total()),
            *(str(stage.verdicts[each]) for each in Verdict),
            str(faults),
            "; ".join(self.problems) or ", ".join(["ok", *stage.notes]),
        ]


HEADINGS = ["fault or scene", "downloads", *(each.value for each in Verdict), "faults", "result"]


def table(results: Iterable[Result]) -> str:
    """The results, one scene a line, and their sums."""
    rows = [result.row for result in results]
    sums = [str(sum(int(row[column]) for row in rows)) for column in range(1, len(HEADINGS) - 1)]
    rows = [HEADINGS, *rows, ["all", *sums, ""]]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS) - 1)]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0])]
            + [cell.rjust(width) for cell, width in zip(row[1:-1], widths[1:], strict=True)]
            + row[-1:]
        ).rstrip()
        for row in rows
    )


async def play(  # noqa: PLR0913  # what a run is made of
    server: SeaweedFS,
    folder: Path,
    scenes: Iterable[Scene],
    *,
    ranges: Path,
    seed: int,
    ended: Callable[[Result], None] = lambda _result: None,
    long: bool = False,
) -> list[Result]:
    """Play scenes.

    Args:
        server: An S3 server that runs.
        folder: A folder for files.
        scenes: The scenes.
        ranges: A list of prefixes.
        seed: From which faults are drawn.
        ended: Called with each result when it is there.
        long: Whether to play the long forms.
    """
    chosen = sorted(scenes, key=lambda scene: not scene.waits)
    async with world(server, folder, ranges, seed, long=long) as made:
        stages = await made.stages(chosen)
        turn = asyncio.Semaphore(AT_ONCE)

        async def one(scene: Scene, stage: Stage) -> Result:
            async with turn:
                result = Result(scene, stage, await failure_of(scene.play(stage)))
            ended(result)
            return result

        return await asyncio.gather(*map(one, chosen, stages))


def logged(results: Iterable[Result]) -> list[str]:
    """What the products logged with a traceback: no fault of others should cause one."""
    running = {one for each in results for one in (each.stage.product, each.stage.secure) if one}
    texts = [each.errors.read_text(encoding="utf-8").splitlines() for each in running]
    return [
        line
        for lines in texts
        for line, following in pairwise(lines)
        if following.startswith("Traceback ")
    ]
