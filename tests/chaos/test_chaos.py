"""Every scene of the chaos suite."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.chaos.play import SCENES, logged, play, table
from tests.ranges_lists import MADE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chaos.play import Result
    from tests.conftest import LocalS3


@pytest.mark.chaos
@pytest.mark.usefixtures("commands")
async def test_downloads_are_whole_or_visibly_broken_whatever_fails(
    request: pytest.FixtureRequest, s3: LocalS3, tmp_path: Path, seed: int
) -> None:
    long = bool(request.config.getoption("--long", default=False))
    words = request.config.getoption("--scene", default=None) or [""]
    chosen = [
        scene
        for scene in SCENES
        if (long or not scene.long) and any(word in scene.name for word in words)
    ]
    began = time.monotonic()

    def ended(result: Result) -> None:
        said = "; ".join(result.problems) or "ok"
        print(f"{time.monotonic() - began:4.0f} s  {result.scene.name}: {said}")  # noqa: T201

    results = await play(
        s3.server, tmp_path, chosen, ranges=MADE.path, seed=seed, ended=ended, long=long
    )
    print(f"{table(results)}\nseed {seed}, {time.monotonic() - began:.0f} s")  # noqa: T201
    failed = {result.scene.name: result.problems for result in results if result.problems}
    print(*(line for each in results if each.problems for line in each.evidence), sep="\n")  # noqa: T201
    assert failed == {}
    assert logged(results) == []
