"""The short run of the story: every scene but the long ones, at the same time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.ranges_lists import MADE
from tests.story.play import SCENES, play, table

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import LocalS3


async def test_the_story_goes_as_promised(s3: LocalS3, tmp_path: Path) -> None:
    scenes = [scene for scene in SCENES if not scene.long]
    results = await play(s3.server, tmp_path, MADE.path, scenes)
    print(table(results))  # noqa: T201  # shown if it fails, and with -s
    failed = {result.scene.name: result.problems for result in results if result.problems}
    assert failed == {}
