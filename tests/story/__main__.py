"""``python -m tests.story [WORD…]``: plays all scenes, long ones too, or those named by a word."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.command_server import command_server
from tests.ranges_lists import MADE, PUBLISHED
from tests.s3server import SeaweedFS
from tests.story.play import SCENES, play, table

if TYPE_CHECKING:
    from tests.story.world import Scene


def main(words: list[str]) -> int:
    """Play, and print the table; 1 if a scene failed."""
    began = time.monotonic()

    def ended(scene: Scene, failure: str) -> None:
        seconds = round(time.monotonic() - began)
        print(f"{seconds:4} s  {scene.name}: {failure or 'ok'}", file=sys.stderr, flush=True)  # noqa: T201

    chosen = [scene for scene in SCENES if not words or any(word in scene.name for word in words)]
    ranges = PUBLISHED if PUBLISHED.path.is_file() else MADE
    with tempfile.TemporaryDirectory(prefix="story-") as name:
        folder = Path(name)
        with command_server(), SeaweedFS(folder / "s3") as server:
            results = asyncio.run(play(server, folder, ranges.path, chosen, ended))
    print(table(results))  # noqa: T201
    return 1 if any(result.problems for result in results) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
