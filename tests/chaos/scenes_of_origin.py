"""Scenes about the way to the origin: every fault by itself, and all of them at once."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from functools import partial
from itertools import product
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from tests.chaos.downloads import LANES, Verdict
from tests.chaos.faults import MIB, NONE, Act, Fault, Kind, always, bursts, drawn
from tests.chaos.world import SCENES, Scene, scene

if TYPE_CHECKING:
    from tests.chaos.downloads import Client, Wanted
    from tests.chaos.stage import Stage

HEAD = 400
"""Bytes within which a cut is in the head of a response."""

HEALS = 30.0
"""Seconds within which all is well again when the fault is over; on a busy machine."""


class Spoilt(NamedTuple):
    """A kind of fault, and what clients get.

    Attributes:
        kind: What happens.
        share: Share of the responses to which it happens.
        least: Share of the downloads that are whole, at least.
    """

    kind: Kind
    share: float = 1.0
    least: float = 1.0


ALONE = {
    "latency": Spoilt(Kind(Act.LATENCY, seconds=(0.05, 0.5))),
    "RST at byte N": Spoilt(Kind(Act.RST, at=(MIB // 8, MIB))),
    "FIN at byte N": Spoilt(Kind(Act.FIN, at=(MIB // 8, MIB))),
    "RST in the head": Spoilt(Kind(Act.RST, at=(0, HEAD)), 0.5, 0.5),
    "FIN in the head": Spoilt(Kind(Act.FIN, at=(0, HEAD)), 0.5, 0.5),
    "truncated": Spoilt(Kind(Act.TRUNCATED, at=(1, 1000)), 0.5, 0.5),
    "stall": Spoilt(Kind(Act.STALL, at=(0, MIB), seconds=(0.5, 3))),
    "drip": Spoilt(Kind(Act.DRIP, at=(1000, 9000), seconds=(0.001, 0.01))),
    "SlowDown for one in five": Spoilt(Kind(Act.SLOW_DOWN), 0.2, 0.7),
}
"""Faults, each by itself; and how much of them clients must not notice."""

MIXED = (
    Kind(Act.LATENCY, seconds=(0.05, 0.5)),
    Kind(Act.RST, at=(0, MIB)),
    Kind(Act.FIN, at=(0, MIB)),
    Kind(Act.TRUNCATED, at=(1, 1000)),
    Kind(Act.STALL, at=(0, MIB), seconds=(0.5, 2)),
    Kind(Act.DRIP, at=(4000, 9000), seconds=(0.001, 0.005)),
    Kind(Act.SLOW_DOWN),
)


async def crowd(
    stage: Stage, wanted: Wanted, each: int, *, secure: bool = True
) -> list[tuple[Client, Wanted]]:
    """Downloads in both lanes, plain and with TLS, of the whole object and of ranges of it."""
    return [
        (stage.client(lane=lane, secure=tls), part)
        for lane, tls in product(LANES, (False, True) if secure else (False,))
        for part in (*[wanted] * each, *stage.ranges(wanted, each))
    ]


async def _alone(spoilt: Spoilt, tls: str, stage: Stage) -> None:
    wanted = await stage.put("a.bin")
    stage.proxy.plan = drawn(stage.seed, spoilt.kind, share=spoilt.share)
    found = await stage.downloads(await crowd(stage, wanted, stage.pick(2, 30)))
    assert stage.proxy.done[spoilt.kind.act] > 0
    if tls:
        assert stage.proxy.connections > 0
    assert found[Verdict.WHOLE] >= spoilt.least * found.total()


for _name, _spoilt in ALONE.items():
    SCENES.append(Scene(_name, partial(_alone, _spoilt, "")))
for _name in ("RST at byte N", "FIN at byte N", "truncated", "drip"):
    SCENES.append(Scene(f"{_name}, TLS", partial(_alone, ALONE[_name], "good"), tls="good"))


@scene()
async def every_origin_connection_is_cut(stage: Stage) -> None:
    """All are whole: in both lanes, plain and TLS, ranges too, for slow clients too."""
    size = stage.pick(2, 20) * MIB
    wanted = await stage.put("large.bin", size)
    stage.proxy.plan = drawn(
        stage.seed,
        Kind(Act.RST, at=(size // 8, size // 2)),
        Kind(Act.FIN, at=(size // 8, size // 2)),
    )
    before = await stage.figures()
    pairs = await crowd(stage, wanted, stage.pick(18, 75))
    slow = [(replace(client, piece=1 << 15, pause=0.01), each) for client, each in pairs[::12]]
    found = await stage.downloads([*pairs, *slow])
    after = await stage.figures()
    assert found == {Verdict.WHOLE: len(pairs) + len(slow)}
    handed = 'nearbucket_handovers_total{cause="stream"}'
    assert after[handed] - before.get(handed, 0) >= len(pairs) / 4, "aiohttp answers its share"
    resumes = f'nearbucket_origin_resumes_total{{site="{stage.host}"}}'
    stage.notes.append(f"{after[resumes]:.0f} resumes over plain HTTP")


@scene(tls="good")
async def every_origin_connection_is_cut_over_TLS(stage: Stage) -> None:  # noqa: N802
    await every_origin_connection_is_cut(stage)


@scene()
async def all_faults_drawn_by_seed_and_then_none(stage: Stage) -> None:
    wanted = await stage.put("a.bin")
    stage.proxy.plan = drawn(stage.seed, *MIXED, share=0.6)
    pairs = await crowd(stage, wanted, stage.pick(12, 400))
    random.Random(stage.seed).shuffle(pairs)  # noqa: S311  # a seed repeats
    found = await stage.downloads(pairs)
    assert found[Verdict.WHOLE] >= len(pairs) / 3
    stage.proxy.plan = always(NONE)
    await _healed(stage, wanted)


async def _healed(stage: Stage, wanted: Wanted) -> None:
    """Wait until one download is whole again; then all are."""

    async def whole() -> bool:
        return (await stage.download(stage.client(), wanted)).verdict is Verdict.WHOLE

    await stage.until(whole, HEALS)
    found = await stage.downloads(await crowd(stage, wanted, 2))
    assert found == {Verdict.WHOLE: found.total()}


@scene()
async def the_object_is_replaced_while_downloads_are_cut(stage: Stage) -> None:
    """No download has bytes of two versions, and none of the old one looks like the new one."""
    size = 2 * MIB
    wanted = await stage.put("changing.bin", size)
    stage.proxy.plan = drawn(stage.seed, Kind(Act.RST, at=(size // 8, size // 2)))
    either = replace(wanted, versions=(1, 2, 3, 4, 5))
    pairs = await crowd(stage, either, stage.pick(6, 60))
    slow = [(replace(client, piece=1 << 16, pause=0.02), each) for client, each in pairs]
    going = asyncio.create_task(stage.downloads([*pairs, *slow]))
    for version in (2, 3, 4, 5):
        await asyncio.sleep(0.4)
        await stage.put("changing.bin", size, version)
    await going
    stage.proxy.plan = always(NONE)
    last = await stage.download(stage.client(), replace(wanted, versions=(5,)))
    assert last.verdict is Verdict.WHOLE


@scene()
async def clients_that_leave_spoil_nothing_for_others(stage: Stage) -> None:
    """Connections to S3 with the rest of a body are not used for the next request."""
    wanted = await stage.put("a.bin", 2 * MIB)
    pairs = await crowd(stage, wanted, stage.pick(8, 100))
    leaving = [(replace(client, leaves=1 << 17), each) for client, each in pairs]
    mixed = [pair for both in zip(pairs, leaving, strict=True) for pair in both]
    found = await stage.downloads(mixed)
    assert found[Verdict.WHOLE] >= len(pairs)
    assert not found[Verdict.BROKEN]
    assert not found[Verdict.REFUSED]


@scene()
async def SlowDown_in_short_bursts_is_not_noticed(stage: Stage) -> None:  # noqa: N802
    """One request that is refused is repeated."""
    wanted = await stage.put("a.bin")
    stage.proxy.plan = bursts(Fault(Act.SLOW_DOWN), 1, 2)
    for _ in range(stage.pick(6, 60)):  # one after the other: the second attempt is never refused
        for lane in LANES:
            await stage.download(stage.client(lane=lane), wanted)
    assert set(stage.verdicts) == {Verdict.WHOLE}


@scene()
async def SlowDown_for_good_is_503(stage: Stage) -> None:  # noqa: N802
    wanted = await stage.put("a.bin")
    stage.proxy.plan = always(Fault(Act.SLOW_DOWN))
    found = await stage.downloads(await crowd(stage, wanted, stage.pick(3, 50)))
    assert set(found) == {Verdict.REFUSED}
    stage.proxy.plan = always(NONE)
    await _healed(stage, wanted)


@scene()
async def connections_refused_then_accepted(stage: Stage) -> None:
    """Downloads that run are broken, new ones are refused, and all is well when it is back."""
    wanted = await stage.put("a.bin", 4 * MIB)
    slow = [(replace(client, piece=1 << 15, pause=0.05), each)
            for client, each in await crowd(stage, wanted, 2)]  # fmt: skip
    running = asyncio.create_task(stage.downloads(slow))
    await stage.until(partial(stage.passed, len(slow)))
    await stage.proxy.close()
    found = await stage.downloads(await crowd(stage, wanted, stage.pick(3, 50)))
    assert set(found) == {Verdict.REFUSED}
    await running
    await stage.proxy.open()
    await _healed(stage, wanted)


@scene(endpoint="http://no-such-host.invalid:9")
async def DNS_failure(stage: Stage) -> None:  # noqa: N802
    """A name that cannot be resolved."""
    wanted = await stage.put("a.bin")
    found = await stage.downloads(await crowd(stage, wanted, stage.pick(3, 50)))
    assert set(found) == {Verdict.REFUSED}


async def _not_trusted(stage: Stage) -> None:
    wanted = await stage.put("a.bin")
    found = await stage.downloads(await crowd(stage, wanted, stage.pick(3, 50)))
    assert set(found) == {Verdict.REFUSED}
    assert not stage.proxy.done, "no request was sent"


for _name in ("expired", "wrong", "unknown"):
    SCENES.append(Scene(f"TLS: {_name} certificate", _not_trusted, tls=_name))


@scene(waits=True)
async def silence_for_good_in_the_body(stage: Stage) -> None:
    """After 30 s the rest is requested, and all are whole."""
    wanted = await stage.put("a.bin")
    stage.proxy.plan = bursts(Fault(Act.STALL, MIB // 2, inf), 8, 1_000_000)
    found = await stage.downloads(await crowd(stage, wanted, 2))
    assert found == {Verdict.WHOLE: found.total()}


@scene(waits=True)
async def half_open(stage: Stage) -> None:
    """The pool's connections are dead without a sign: some are refused, and then all is well."""
    wanted = await stage.put("a.bin")
    stage.proxy.plan = always(Fault(Act.HALF_OPEN))
    found = await stage.downloads(await crowd(stage, wanted, 2))
    stage.proxy.plan = always(NONE)
    found = await stage.downloads(await crowd(stage, wanted, 2))
    assert not found[Verdict.BROKEN]
    await _healed(stage, wanted)
