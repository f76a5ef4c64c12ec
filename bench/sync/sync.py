"""Bringing a bucket up to another one: CPU time, requests, and what copies keep.

All programs copy inside one local S3 server, each to a bucket of its own. The unit is s5cmd.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from bench.lib.case import BenchError
from bench.lib.frame import Figure, Row, Table, middle, ratios
from bench.sync.programs import S5CMD, installed, run_once, started
from bench.sync.stage import MIB, CountedS3, Stage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.lib.frame import Context
    from bench.sync.programs import Run

TITLE = "Copies of a bucket"
_OBJECTS, _QUICK_OBJECTS, _SIZE = 10_000, 1_000, 4096
_ROUNDS = 3
_CHANGED = 100
"""One of so many objects is changed."""

NEW, NOTHING, CHANGED = "all new", "nothing to do", "1 % changed, equal size"
AGAIN, AFTER = "all written again, equal bytes", "nothing to do after that"
_SITUATIONS = (NEW, NOTHING, CHANGED, AGAIN, AFTER)

_COLUMNS = (
    Figure("cpu_s", "CPU s"),
    Figure("cpu_ratio", "CPU to s5cmd", watched=True, noise=0.15),
    Figure("wall_s", "s"),
    Figure("requests", "S3 requests", 0, watched=True),
)

_DESCRIBED = {
    "ContentType": "application/gzip",
    "CacheControl": "public, max-age=60",
    "Metadata": {"build": "42"},
}
_TAGS = "team=core"
_PART = 8 * MIB
_PARTS, _LARGE = 2, 24
_KEPT = {**dict.fromkeys(_DESCRIBED), "Tags": None, "ETag": None}
_KEPT_COLUMNS = (
    *(Figure(name.lower(), name, 0, watched=True) for name in _KEPT),
    Figure("left", "parts after a kill", 0),
    Figure("left_after", "parts after the next run", 0, watched=True),
)
_LOOK = 0.02
_PATIENCE = 60.0


class _Scene(NamedTuple):
    stage: Stage
    programs: Mapping[str, str]
    context: Context
    objects: int


def run(context: Context) -> Sequence[Table]:
    """All programs in each situation once a round."""
    programs, lacking = installed()
    context = context._replace(rounds=1 if context.quick else min(context.rounds, _ROUNDS))
    context.steps.expect(len(programs) * (context.rounds * len(_SITUATIONS) + 1))
    notes = tuple(f"{name} is left out: not installed (see bench/README.md)" for name in lacking)
    with CountedS3(context.folder / "s3") as server:
        stage = Stage(server, context.folder)
        stage.make(stage.origin)
        objects = _QUICK_OBJECTS if context.quick else _OBJECTS
        scene = _Scene(stage, programs, context, objects)
        table = _speed(scene, notes)
        return [table, _kept(scene._replace(stage=Stage(server, context.folder, "described")))]


def _speed(scene: _Scene, notes: tuple[str, ...]) -> Table:
    samples: dict[tuple[str, str], list[Run]] = {}
    for number in range(scene.context.rounds):
        names = list(scene.programs)
        names = names[number % len(names) :] + names[: number % len(names)]
        targets = {name: f"target-{number}-{place}" for place, name in enumerate(names)}
        scene.stage.make(*targets.values())
        for situation in _SITUATIONS:
            _prepare(scene, situation, 2 * number)
            for name, target in targets.items():
                scene.context.steps.now(f"{name}: {situation}")
                path, cores = scene.programs[name], scene.context.cores
                sample = run_once(name, path, scene.stage, target, cores)
                samples.setdefault((situation, name), []).append(sample)
                scene.context.steps.done()
    rows = tuple(
        Row((situation, name), _figures(samples, situation, name))
        for situation in _SITUATIONS
        for name in scene.programs
    )
    load = {"objects": scene.objects, "bytes": _SIZE}
    title = f"A bucket of {scene.objects:,} objects of {_SIZE >> 10} KiB"
    return Table("sync", title, ("situation", "program"), _COLUMNS, rows, notes, load)


def _prepare(scene: _Scene, situation: str, version: int) -> None:
    """Write what a situation needs; dates of objects are whole seconds."""
    every, some = range(scene.objects), range(0, scene.objects, _CHANGED)
    write = scene.stage.write
    time.sleep(1.1)
    if situation == NEW and not version:
        write(every, _SIZE, 0)
    elif situation == CHANGED:
        write(some, _SIZE, version + 1)
    elif situation == AGAIN:
        write(some, _SIZE, version + 1)
        write(sorted(set(every) - set(some)), _SIZE, 0)
    time.sleep(1.1)


def _figures(
    samples: Mapping[tuple[str, str], list[Run]], situation: str, name: str
) -> dict[str, float | None]:
    runs, units = samples[situation, name], samples.get((situation, S5CMD), [])
    found = ratios((each.cpu for each in runs), (each.cpu for each in units)) if units else []
    return {
        "cpu_s": middle(each.cpu for each in runs),
        "cpu_ratio": middle(found),
        "wall_s": middle(each.wall for each in runs),
        "requests": middle(each.requests for each in runs),
    }


# ---- what copies keep


def _kept(scene: _Scene) -> Table:
    stage = scene.stage
    stage.make(stage.origin)
    keys = {"one piece": "one.tar.gz", "parts": "parts.tar.gz"}
    body = [bytes(_PART - 1) + bytes([number]) for number in range(_LARGE)]
    stage.put(keys["one piece"], [b"one"], **_DESCRIBED, Tagging=_TAGS)
    stage.put(keys["parts"], body[:_PARTS], **_DESCRIBED, Tagging=_TAGS)
    stage.put("large.tar.gz", body)
    rows = []
    for place, (name, path) in enumerate(scene.programs.items()):
        scene.context.steps.now(f"{name}: what copies keep")
        target = f"kept-{place}"
        stage.make(target)
        left = _parts_after_kill(scene, name, target)
        run_once(name, path, stage, target, scene.context.cores)
        after = stage.parts(target)
        for kind, key in keys.items():
            theirs, ours = stage.described(stage.origin, key), stage.described(target, key)
            same = {each.lower(): float(ours.get(each) == theirs[each]) for each in _KEPT}
            more = {"left": left, "left_after": after} if kind == "parts" else {}
            rows.append(Row((name, kind), {**same, **more}))
        scene.context.steps.done()
    labels = ("program", "uploaded in")
    notes = ("1: as at the origin; the kill comes while an object of 192 MiB is copied",)
    return Table("kept", "What copies keep", labels, _KEPT_COLUMNS, tuple(rows), notes)


def _parts_after_kill(scene: _Scene, name: str, target: str) -> int:
    """Kill a program when it has copied a part, or wait for its end if it copies none."""
    stage, cores = scene.stage, scene.context.cores
    deadline = time.monotonic() + _PATIENCE
    with started(name, scene.programs[name], stage, target, cores) as process:
        while process.poll() is None and not stage.parts(target):
            if time.monotonic() > deadline:
                raise BenchError(f"{name} did not end")
            time.sleep(_LOOK)
        process.kill()
        process.wait()
    return stage.parts(target)
