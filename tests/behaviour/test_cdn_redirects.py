"""Redirects to the CDN (``bypass.to``): when there are none, and that downloads mix no versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.behaviour.two_buckets import FROM, JUDGED, OBJECTS, PATH, SAVED, copies, reason
from tests.build import ELSEWHERE, OUTSIDE, WEST
from tests.serving import client_at

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.behaviour.two_buckets import Copies
    from tests.serving import Answer, Serve

CDN = {"bypass": {"mode": "redirect", "to": "https://cdn.example"}}
TO_CDN = "https://cdn.example/"
CLIENTS = {"outside": OUTSIDE, "another region": ELSEWHERE, "a target's region": WEST}
TWO = {**OBJECTS, "a.txt": b"the object"}


def is_for_cdn(answer: Answer) -> bool:
    return answer.headers.get("location", "").startswith(TO_CDN)


@pytest.mark.parametrize(
    ("redirect", "counted"),
    [
        pytest.param({"mode": "off"}, "off", id="off"),
        pytest.param({"mode": "shadow"}, "shadow", id="shadow"),
        pytest.param({"percent": 0}, "percent", id="percent 0"),
    ],
)
async def test_with_redirects_switched_off_everything_is_streamed(
    serve: Serve, redirect: dict[str, Any], counted: str
) -> None:
    async with copies(serve, TWO, site=CDN, redirect=redirect) as world:
        for path in (PATH, "/a.txt"):
            for client in CLIENTS.values():
                for _ in range(3):
                    answer = await world.served.get(path, client_at(client))
                    assert (answer.status, answer.body) == (200, b"the object")
        assert world.served.count("nearbucket_bypasses_total", "*", "us-west-2", counted) == 3
        await world.served.settled()
        sent = len(b"the object") * 2 * 3 * len(CLIENTS)
        assert sum(world.served.figures("nearbucket_streamed_bytes_total").values()) == sent


@pytest.mark.parametrize("mode", ["off", "shadow"])
async def test_a_target_that_is_switched_off_streams_and_the_cdn_has_the_others(
    serve: Serve, mode: str
) -> None:
    async with copies(serve, TWO) as plain:
        target = {**plain.target.entry(), "mode": mode}
        async with copies(serve, TWO, site={**CDN, "targets": {"us-west-2": target}}) as world:
            answer = await world.served.get(PATH, FROM)
            assert (answer.status, reason(answer)) == (200, mode)
            assert is_for_cdn(await world.served.get(PATH, client_at(OUTSIDE)))


async def test_a_percentage_holds_for_redirects_to_the_cdn_as_well(serve: Serve) -> None:
    objects = {f"{number}.txt": b"x" for number in range(100)}
    async with copies(serve, objects, site=CDN, redirect={"percent": 40}) as world:
        sent = {
            key: [
                is_for_cdn(await world.served.get(f"/{key}", client_at(OUTSIDE))) for _ in range(2)
            ]
            for key in objects
        }
    assert all(first == second for first, second in sent.values())
    assert 20 < sum(first for first, _ in sent.values()) < 60


@pytest.mark.parametrize("client", [OUTSIDE, ELSEWHERE])
async def test_a_client_that_does_not_follow_to_the_cdn_gets_the_object(
    serve: Serve, client: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with copies(serve, {**TWO, "b.txt": b"b"}, site=CDN, redirect=JUDGED) as world:

        async def ask(path: str, *fields: str) -> Answer:
            return await world.served.get(path, client_at(client), *fields)

        for _ in range(2):
            assert is_for_cdn(await ask("/a.txt"))
            world.served.age_redirects(2)
        answer = await ask("/a.txt")
        assert (answer.status, answer.body, reason(answer)) == (200, b"the object", "came-back")
        assert reason(await ask("/b.txt")) == "came-back"
        assert is_for_cdn(await ask("/a.txt", "User-Agent: another"))
        assert world.served.stuck_clients() == [client]
        (line,) = [each.getMessage() for each in caplog.records if client in each.getMessage()]
        assert "bypass.to" in line
        assert "opt_out.networks" in line
        assert world.served.count(*SAVED) == 0
        assert set(world.served.figures("nearbucket_redirected_bytes_total").values()) == {0}


async def test_a_crowd_that_is_sent_to_the_cdn_is_not_taken_for_one_client(serve: Serve) -> None:
    async with copies(serve, TWO, site=CDN, redirect=JUDGED) as world:
        for _ in range(40):
            assert is_for_cdn(await world.served.get("/a.txt", client_at(OUTSIDE)))
        for _ in range(5):
            world.served.age_redirects(30)
            assert is_for_cdn(await world.served.get("/a.txt", client_at(OUTSIDE)))
        assert not world.served.stuck_clients()


async def test_a_client_that_reaches_the_cdn_and_not_its_target_is_found_out(serve: Serve) -> None:
    """It asks for a checksum, which the CDN has, before each try of the archive."""
    async with copies(serve, TWO, site=CDN, redirect=JUDGED) as world:
        reasons = []
        for _ in range(3):
            assert is_for_cdn(await world.served.get("/a.txt", FROM))
            reasons.append(reason(await world.served.get(PATH, FROM)))
            world.served.age_redirects(2)
            if len(reasons) == 2:  # the CDN gets through
                assert is_for_cdn(await world.served.get("/b.txt", FROM))
        assert reasons == ["in-region", "in-region", "came-back"]
        assert is_for_cdn(await world.served.get("/b.txt", FROM))


def lost(world: Copies) -> None:
    del world.target.objects["a.tar.gz"]


def replaced(world: Copies) -> None:
    world.origin.objects["a.tar.gz"] = (b"the new one", "new")


def archived(world: Copies) -> None:
    world.target.headers["a.tar.gz"] = {"x-amz-storage-class": "GLACIER"}


def silent(world: Copies) -> None:
    world.target.statuses["HEAD", "a.tar.gz"] = 503


@pytest.mark.parametrize(
    ("happens", "why"),
    [
        (lost, "not-replicated"),
        (replaced, "not-replicated"),
        (archived, "unreadable"),
        (silent, "unverified"),
    ],
)
@pytest.mark.parametrize("part", ["", "Range: bytes=0-", "Range: bytes=4-", "If-Range: x"])
async def test_what_a_copy_gave_is_never_gone_on_with_from_the_cdn(
    serve: Serve,
    happens: Callable[[Copies], None],
    why: str,
    part: str,
) -> None:
    """The CDN may have another version, and a resumed download both."""
    fields = [part] if part else []
    async with copies(serve, OBJECTS, site=CDN) as world:
        happens(world)
        answer = await world.served.get(PATH, FROM, *fields)
        assert (answer.status, reason(answer)) == (200, why)
        assert answer.body == world.origin.objects["a.tar.gz"][0]
        assert is_for_cdn(await world.served.get(PATH, client_at(OUTSIDE), *fields))


async def test_what_the_cdn_gave_is_gone_on_with_from_the_cdn(serve: Serve) -> None:
    """Whatever happens to the buckets, and whatever part of it is asked for."""
    async with copies(serve, OBJECTS, site=CDN) as world:
        for happens in (lambda _: None, replaced, lost, lambda each: each.origin.objects.clear()):
            happens(world)
            for fields in ([], ["Range: bytes=4-"], ["Range: bytes=0-3"], ['If-Range: "e"']):
                for client in (OUTSIDE, ELSEWHERE):
                    assert is_for_cdn(await world.served.get(PATH, client_at(client), *fields))
