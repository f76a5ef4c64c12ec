"""Plays scenes, all at the same time, and makes the table of their results."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.story import scenes_of_buckets, scenes_of_clients, scenes_of_day, scenes_of_operation
from tests.story.books import keep_books
from tests.story.failures import failure_of
from tests.story.world import SCENES, world

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from tests.s3server import SeaweedFS
    from tests.story.books import Books
    from tests.story.stage import Stage
    from tests.story.world import Scene

__all__ = ["SCENES", "Result", "play", "scenes_of_buckets", "scenes_of_clients", "scenes_of_day",
           "scenes_of_operation", "table"]  # fmt: skip


@dataclass(frozen=True)
class Result:
    """What came of a scene.

    Attributes:
        scene: The scene.
        stage: Its stage, with all that clients got.
        books: What the product counted and logged.
        problems: Why it failed; empty if it did not.
    """

    scene: Scene
    stage: Stage
    books: Books
    problems: list[str]

    @property
    def row(self) -> list[str]:
        """Its row of the table."""
        stage = self.stage
        share = stage.byte_share()
        doors = stage.origin, stage.target
        asked = [f"{door.requests('HEAD')}+{door.requests('GET')}" for door in doors]
        agree = "; ".join(self.books.differences()) or "agree"
        return [
            self.scene.name,
            str(len(stage.downloads)),
            "-" if share is None else f"{share:.1%}",
            f"{stage.wrong()}/{len(stage.mixed)}/{stage.old()}",
            str(stage.dead()),
            " ".join(asked),
            agree,
            ", ".join([*stage.notes, *_reasons(stage)]),
            "; ".join(self.problems) or "ok",
        ]


HEADINGS = ["scene", "requests", "near", "wrong/mixed/old", "dead", "S3: HEAD+GET origin, target",
            "counters, log, truth", "notes", "result"]  # fmt: skip


def _reasons(stage: Stage) -> list[str]:
    return [f"{count} {reason}" for reason, count in stage.reasons().most_common()]


def table(results: Iterable[Result]) -> str:
    """The results, one scene a line."""
    rows = [HEADINGS, *(result.row for result in results)]
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    return "\n".join(
        "  ".join(
            [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
            + [" | ".join(row[6:])]
        )
        for row in rows
    )


async def play(
    server: SeaweedFS,
    folder: Path,
    ranges: Path,
    scenes: Iterable[Scene],
    ended: Callable[[Scene, str], None] = lambda _scene, _failure: None,
) -> list[Result]:
    """Play scenes.

    Args:
        server: An S3 server that runs.
        folder: A folder for files.
        ranges: A list of prefixes.
        scenes: The scenes.
        ended: Called with each one when it has ended, and why it failed.
    """
    chosen = list(scenes)
    async with world(server, folder, ranges) as made:
        stages = await made.stages(chosen)
        failures = await _all(list(zip(chosen, stages, strict=True)), ended)
        books = await keep_books(stages)
    return [
        _result(scene, stage, books[stage.host], failure)
        for scene, stage, failure in zip(chosen, stages, failures, strict=True)
    ]


async def _all(scenes: list[tuple[Scene, Stage]], ended: Callable[[Scene, str], None]) -> list[str]:
    """Play scenes; why each failed, in their order."""
    turn = asyncio.Lock()

    async def one(number: int, scene: Scene, stage: Stage) -> str:
        if scene.brief:
            async with turn:
                failure = await _one(scene, stage)
        else:
            await asyncio.sleep(number / 5)
            failure = await _one(scene, stage)
        ended(scene, failure)
        return failure

    return await asyncio.gather(*(one(number, *each) for number, each in enumerate(scenes)))


async def _one(scene: Scene, stage: Stage) -> str:
    """Play one scene; why it failed."""
    try:
        return await failure_of(scene.play(stage))
    finally:
        await stage.end()


def _result(scene: Scene, stage: Stage, books: Books, failure: str) -> Result:
    problems = [failure] if failure else []
    if scene.exact and not failure and (differ := books.differences()):
        problems.append("books: " + "; ".join(differ))
    unanswered = sum(not each.answer.host_status for each in stage.downloads)
    if scene.exact and unanswered:
        problems.append(f"{unanswered} requests without an answer")
    strange = stage.wrong() - stage.foreign()
    if strange:
        problems.append(f"{strange} answers with wrong bytes")
    return Result(scene, stage, books, problems)
