"""The clients' verdicts and the proxy's faults are right: otherwise no scene could fail."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from tests.chaos.downloads import Client, Outcome, Verdict, Wanted, download
from tests.chaos.fault_proxy import FaultProxy
from tests.chaos.faults import Act, Fault, Kind, always, bursts, drawn
from tests.chaos.objects import content
from tests.e2e.running import free_port
from tests.scripteds3 import Say, ScriptedS3

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SIZE = 100_000
OLD, NEW = content("a", 1, SIZE), content("a", 2, SIZE)
WANTED = Wanted("a", SIZE, versions=(1, 2))
PART = Wanted("a", SIZE, (10, 30))
WHOLE, BROKEN, REFUSED, WRONG = Verdict.WHOLE, Verdict.BROKEN, Verdict.REFUSED, Verdict.WRONG


def said(body: bytes, length: int | None = None, status: str = "200 OK", more: str = "") -> bytes:
    announced = len(body) if length is None else length
    return f"HTTP/1.1 {status}\r\nContent-Length: {announced}\r\n{more}\r\n".encode() + body


@asynccontextmanager
async def server(raw: bytes) -> AsyncIterator[int]:
    """A server that says this to a request, and closes; its port."""
    async with ScriptedS3(Say(raw, then="close")) as server:
        yield int(server.endpoint.rpartition(":")[2])


@pytest.mark.parametrize(
    ("raw", "wanted", "verdict"),
    [
        (said(NEW), WANTED, WHOLE),
        (said(NEW[10:30], status="206 Partial"), Wanted("a", SIZE, (10, 30), (2,)), WHOLE),
        (said(OLD[:-1], SIZE), WANTED, BROKEN),
        (b"", WANTED, BROKEN),
        (b"HTTP/1.1 200 OK\r\n", WANTED, BROKEN),
        (said(b"later", status="503 Busy", more="Retry-After: 1\r\n"), WANTED, REFUSED),
        (said(b"never", status="503 Busy"), WANTED, WRONG),
        (said(OLD[:-1]), WANTED, WRONG),
        (said(OLD[:500] + NEW[500:]), WANTED, WRONG),
        (said(OLD[:500] + NEW[500:-9], SIZE), WANTED, WRONG),
        (said(OLD[11:31], status="206 Partial"), PART, WRONG),
        (said(OLD), PART, WRONG),
        (said(b"", status="404 Not Found"), WANTED, WRONG),
        (b"HTTP/1.1 200 OK\r\n\r\n" + OLD, WANTED, WRONG),
    ],
    ids=["right", "right range", "one byte less", "no answer", "half a head", "try again later",
         "never", "short and whole", "two versions", "two versions and broken", "shifted range",
         "all for a part", "not there", "no length"],
)  # fmt: skip
async def test_a_verdict_is_by_length_and_digest(
    raw: bytes, wanted: Wanted, verdict: Verdict
) -> None:
    async with server(raw) as port:
        assert (await download(Client(port, "h"), wanted)).verdict is verdict


async def test_without_a_server_a_download_is_refused() -> None:
    assert (await download(Client(free_port(), "h"), WANTED)).verdict is REFUSED


async def spoilt(fault: Fault) -> Outcome:
    """A download through a proxy with this fault."""
    async with server(said(OLD)) as behind:
        between = FaultProxy(f"http://127.0.0.1:{behind}", free_port(), always(fault))
        async with between:
            outcome = await download(Client(between.port, "h"), Wanted("bucket/folder/a", SIZE))
    assert between.done == {fault.act: 1}
    return outcome


@pytest.mark.parametrize(
    ("fault", "verdict", "why"),
    [
        (Fault(Act.NONE), WRONG, "other bytes"),
        (Fault(Act.LATENCY, seconds=0.01), WRONG, "other bytes"),
        (Fault(Act.DRIP, 30_000, 0.001), WRONG, "other bytes"),
        (Fault(Act.STALL, 5000, 0.01), WRONG, "other bytes"),
        (Fault(Act.HALF_OPEN), WRONG, "other bytes"),
        (Fault(Act.FIN, 10), BROKEN, "no answer"),
        (Fault(Act.RST, 10), BROKEN, "no answer"),
        (Fault(Act.SLOW_DOWN), WRONG, "no Content-Length"),
    ],
    ids=lambda value: value.act.value if isinstance(value, Fault) else "",
)
async def test_a_fault_does_what_it_says(fault: Fault, verdict: Verdict, why: str) -> None:
    outcome = await spoilt(fault)  # of other bytes than those of its name: all came, if WRONG
    assert outcome.verdict is verdict
    assert why in outcome.why


@pytest.mark.parametrize("act", [Act.FIN, Act.TRUNCATED])
async def test_a_cut_leaves_the_first_bytes(act: Act) -> None:
    head = len(said(OLD)) - SIZE
    at = head + 700 if act is Act.FIN else SIZE - 700
    assert "other bytes among the first 700" in (await spoilt(Fault(act, at))).why


@pytest.mark.parametrize("seed", range(20))
def test_of_each_ten_responses_the_share_is_spoilt(seed: int) -> None:
    plan = drawn(seed, Kind(Act.SLOW_DOWN), share=0.2)
    for _ in range(3):
        assert [plan().act for _ in range(10)].count(Act.SLOW_DOWN) == 2


def test_a_seed_repeats_its_faults() -> None:
    kinds = Kind(Act.RST, at=(0, 10**6)), Kind(Act.STALL, seconds=(0, 1))
    one, two, other = (drawn(seed, *kinds, share=0.5) for seed in (1, 1, 2))
    first = [one() for _ in range(50)]
    assert [two() for _ in range(50)] == first
    assert [other() for _ in range(50)] != first
    assert {each.act for each in first} == {Act.NONE, Act.RST, Act.STALL}


def test_bursts_come_in_turn() -> None:
    plan = bursts(Fault(Act.SLOW_DOWN), 2, 1)
    assert [plan().act for _ in range(4)] == [Act.SLOW_DOWN, Act.SLOW_DOWN, Act.NONE, Act.SLOW_DOWN]
