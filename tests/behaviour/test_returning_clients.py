"""Clients that come back after a redirect: crowds are redirected, failing clients are streamed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.behaviour.two_buckets import FROM, JUDGED, OBJECTS, PATH, SAVED, copies, reason
from tests.bucketserver import until
from tests.build import WEST
from tests.serving import head_of
from tests.tuning import recheck_at_once

if TYPE_CHECKING:
    from tests.serving import Serve

WATCHED = {**JUDGED, "watch": True}


@pytest.mark.parametrize("pause", [1.0, 11.0, 21.0, 30.0])
async def test_a_client_that_does_not_follow_has_its_object_at_the_third_try(
    serve: Serve, pause: float, caplog: pytest.LogCaptureFixture
) -> None:
    objects = {**OBJECTS, "b.tar.gz": b"another"}
    async with copies(serve, objects, redirect=JUDGED) as world:
        assert await world.ask() == "in-region"
        for expected in ("in-region", "came-back"):
            world.served.age_redirects(pause)
            assert await world.ask() == expected
        assert await world.ask("/b.tar.gz") == "came-back"  # and the next one at once
        assert await world.ask("/b.tar.gz", "User-Agent: another") == "in-region"
        labels = ("*", "us-west-2", "came-back")
        assert world.served.count("nearbucket_bypasses_total", *labels) == 2
        assert world.served.count(*SAVED) == len(b"another")  # of the other client
        assert world.served.stuck_clients() == [WEST]
        lines = [each.getMessage() for each in caplog.records if WEST in each.getMessage()]
        assert len(lines) == 1
        assert "opt_out.networks" in lines[0]


async def test_a_client_that_asks_again_after_a_second_is_not_taken_for_a_crowd(
    serve: Serve,
) -> None:
    async with copies(serve, OBJECTS, redirect=JUDGED) as world:
        reasons = [await world.ask()]
        for _ in range(2):
            await asyncio.sleep(1)  # the client's own pause
            reasons.append(await world.ask())
        assert reasons == ["in-region", "in-region", "came-back"]


async def test_many_clients_that_do_not_get_through_take_the_target_down(serve: Serve) -> None:
    async with copies(serve, OBJECTS, redirect=WATCHED) as world:
        agents = [f"User-Agent: agent-{number}" for number in range(21)]
        for _ in range(2):
            assert {await world.ask(PATH, agent) for agent in agents} == {"in-region"}
            world.served.age_redirects(11)
        *reasons, _, last = [await world.ask(PATH, agent) for agent in agents]
        assert reasons == ["came-back"] * 19
        assert last == "target-down"
        assert world.served.count(*SAVED) == 0


async def test_clients_that_go_on_after_a_redirect_keep_the_target_up(serve: Serve) -> None:
    async with copies(serve, {**OBJECTS, "b.tar.gz": b"b"}, redirect=WATCHED) as world:
        for number in range(30):
            assert await world.ask(PATH, f"User-Agent: through-{number}") == "in-region"
            assert await world.ask("/b.tar.gz", f"User-Agent: through-{number}") == "in-region"
        agents = [f"User-Agent: agent-{number}" for number in range(25)]
        for expected in ("in-region", "in-region", "came-back"):
            assert {await world.ask(PATH, agent) for agent in agents} == {expected}
            world.served.age_redirects(11)


async def test_a_stuck_client_that_gets_an_object_again_and_again_is_a_crowd(serve: Serve) -> None:
    async with copies(serve, OBJECTS, redirect=JUDGED) as world:
        reasons = []
        for _ in range(7):
            reasons.append(await world.ask())
            await world.served.settled()
            world.served.age_redirects(11)
        assert reasons == ["in-region"] * 2 + ["came-back"] * 3 + ["in-region"] * 2
        assert world.served.count(*SAVED) == 4 * 10  # those of before, too
        assert not world.served.stuck_clients()


async def test_a_stuck_client_that_has_the_object_and_asks_for_changes_stays_stuck(
    serve: Serve,
) -> None:
    async with copies(serve, OBJECTS, redirect=JUDGED) as world:
        world.origin.statuses["GET", "a.tar.gz"] = 304
        for _ in range(2):
            assert await world.ask() == "in-region"
            world.served.age_redirects(11)
        for _ in range(5):
            since = "If-Modified-Since: Thu, 01 Jan 2026 00:00:00 GMT"
            answer = await world.served.get(PATH, FROM, since)
            assert (answer.status, reason(answer)) == (304, "came-back")
            await world.served.settled()
            world.served.age_redirects(11)
        assert world.served.stuck_clients() == [WEST]


async def test_a_stuck_client_that_asks_twice_at_once_is_a_crowd(serve: Serve) -> None:
    async with copies(serve, OBJECTS, redirect=JUDGED) as world:
        for _ in range(2):
            assert await world.ask() == "in-region"
            world.served.age_redirects(11)
        for expected in ("came-back", "came-back", "in-region"):
            assert await world.ask() == expected


@pytest.mark.parametrize("fields", [(), ("Range: bytes=2-5",)], ids=["whole", "range"])
async def test_a_redirect_to_a_copy_that_is_gone_is_not_saved(
    serve: Serve, fields: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    recheck_at_once(monkeypatch)
    async with copies(serve, OBJECTS, redirect=JUDGED) as world:
        assert await world.ask(PATH, *fields) == "in-region"
        del world.target.objects["a.tar.gz"]
        world.served.age_redirects(2)
        assert await world.ask(PATH, *fields) == "in-region"
        await until(lambda: world.target.asked["HEAD", "a.tar.gz"] == 2)
        assert world.served.count(*SAVED) == (4 if fields else 10)
        world.served.age_redirects(2)
        for _ in range(2):
            assert await world.ask(PATH, *fields) == "not-replicated"
            assert world.served.count(*SAVED) == 0


async def test_a_redirect_to_a_withdrawn_object_is_not_saved(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    recheck_at_once(monkeypatch)
    async with copies(serve, OBJECTS, redirect=JUDGED) as world:
        assert await world.ask() == "in-region"
        del world.origin.objects["a.tar.gz"], world.target.objects["a.tar.gz"]
        world.served.age_redirects(2)
        assert await world.ask() == "in-region"
        await until(lambda: world.target.asked["HEAD", "a.tar.gz"] == 2)
        world.served.age_redirects(2)
        answer = await world.served.get(PATH, FROM)
        assert (answer.status, reason(answer)) == (404, "absent")
        assert world.served.count(*SAVED) == 0


async def test_a_download_that_is_resumed_is_saved_once(serve: Serve) -> None:
    async with copies(serve, OBJECTS, redirect=JUDGED) as world:
        for fields in ((), ("Range: bytes=4-",), ("Range: bytes=7-",)):
            assert await world.ask(PATH, *fields) == "in-region"
            assert world.served.count(*SAVED) == 10
        assert await world.ask(PATH, "Range: bytes=7-8") == "in-region"
        assert world.served.count(*SAVED) == 12


async def test_an_object_that_is_streamed_after_its_redirect_is_not_saved(serve: Serve) -> None:
    async with copies(serve, OBJECTS, redirect=JUDGED) as world:
        for agent in ("one", "other"):
            assert await world.ask(PATH, f"User-Agent: {agent}") == "in-region"
        opted_out = f"{PATH}?redirect=no"
        assert await world.ask(opted_out, "User-Agent: one") == "opt-out"  # at the same moment
        assert world.served.count(*SAVED) == 20
        world.served.age_redirects(2)
        assert await world.ask(opted_out, "User-Agent: one", method="HEAD") == "opt-out"
        assert world.served.count(*SAVED) == 20
        for _ in range(2):
            assert await world.ask(opted_out, "User-Agent: one") == "opt-out"
            assert world.served.count(*SAVED) == 10
        world.served.age_redirects(600)
        assert await world.ask(opted_out, "User-Agent: other") == "opt-out"
        assert world.served.count(*SAVED) == 10


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"targets": {}}, "no-target"),
        ({"paths": ["b*"]}, "path"),
        ({"exclude": ["a*"]}, "path"),
        ({"mutable": ["a*"]}, "mutable"),
        ({"mode": "off"}, "off"),
    ],
    ids=lambda each: next(iter(each)) if isinstance(each, dict) else "",
)
async def test_a_redirect_is_not_saved_if_a_reload_has_the_object_streamed(
    serve: Serve, change: dict[str, Any], expected: str
) -> None:
    async with copies(serve, OBJECTS, redirect=JUDGED) as world:
        for agent in ("one", "other"):
            assert await world.ask(PATH, f"User-Agent: {agent}") == "in-region"
        world.reload(**change)
        world.served.age_redirects(2)
        for _ in range(2):
            assert await world.ask(PATH, "User-Agent: one") == expected
            assert world.served.count(*SAVED) == 10


async def test_a_redirect_is_not_saved_if_a_reload_has_the_client_sent_to_the_cdn(
    serve: Serve,
) -> None:
    cdn = {"bypass": {"mode": "redirect", "to": "https://cdn.example"}}
    async with copies(serve, OBJECTS, site=cdn, redirect=JUDGED) as world:
        for agent in ("one", "other"):
            assert await world.ask(PATH, f"User-Agent: {agent}") == "in-region"
        world.reload(exclude=["a*"])
        world.served.age_redirects(2)
        for _ in range(2):
            answer = await world.served.get(PATH, FROM, "User-Agent: one")
            assert answer.headers["location"] == f"https://cdn.example{PATH}"
            assert world.served.count(*SAVED) == 10


async def test_a_redirect_is_not_saved_if_the_client_gets_the_object_with_a_cookie(
    serve: Serve,
) -> None:
    async with copies(serve, OBJECTS, redirect=JUDGED) as world:
        assert await world.ask() == "in-region"
        world.served.age_redirects(2)
        assert await world.ask(PATH, "Cookie: session=1") == "credentials"
        assert world.served.count(*SAVED) == 0


async def test_a_client_that_gets_several_objects_by_turns_is_redirected(serve: Serve) -> None:
    redirect = JUDGED | {"head": "redirect"}
    async with copies(serve, {**OBJECTS, "b.tar.gz": b"b"}, redirect=redirect) as world:
        for _ in range(5):
            for path in (PATH, "/b.tar.gz"):
                assert await world.ask(path) == "in-region"
                assert await world.ask(path, method="HEAD") == "in-region"
                world.served.age_redirects(11)


async def test_another_range_of_an_object_is_not_the_same_request(serve: Serve) -> None:
    async with copies(serve, OBJECTS, redirect=JUDGED) as world:
        for first in range(6):
            assert await world.ask(PATH, f"Range: bytes={first}-{first}") == "in-region"
            world.served.age_redirects(11)


async def test_of_a_crowd_behind_one_address_all_are_redirected(serve: Serve) -> None:
    async with copies(serve, {"a.tar.gz": bytes(1 << 20)}, redirect=JUDGED) as world:
        crowd = await world.served.crowd(100, head_of(PATH, FROM, "Connection: close"))
        assert {reason(answer) for answer in crowd} == {"in-region"}
        for _ in range(5):  # also those that come later
            world.served.age_redirects(30)
            assert await world.ask() == "in-region"
        assert world.served.count(*SAVED) == 105 << 20
        assert not world.served.stuck_clients()


async def test_who_came_back_and_was_not_served_is_still_who_came_back(serve: Serve) -> None:
    async with copies(serve, OBJECTS, redirect=JUDGED) as world:
        for _ in range(2):
            assert await world.ask() == "in-region"
            world.served.age_redirects(11)
        world.origin.mode = "failing"
        assert (await world.served.get(PATH, FROM)).status == 503
        world.origin.mode = "fine"
        assert await world.ask() == "came-back"


async def test_who_does_not_come_back_casts_no_doubt_on_a_copy(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    recheck_at_once(monkeypatch)
    async with copies(serve, OBJECTS, redirect=JUDGED) as world:
        for number in range(5):
            assert await world.ask(PATH, f"User-Agent: {number}") == "in-region"
            world.served.age_redirects(11)
        assert world.target.asked == {("HEAD", "a.tar.gz"): 1}


async def test_who_comes_back_makes_the_copy_be_asked_for_again(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    recheck_at_once(monkeypatch)
    async with copies(serve, OBJECTS, redirect=JUDGED) as world:
        assert await world.ask() == "in-region"
        del world.target.objects["a.tar.gz"]
        world.served.age_redirects(11)
        assert await world.ask() == "in-region"
        await until(lambda: world.served.count("nearbucket_checks_total", "absent") == 1)
        assert await world.ask() == "not-replicated"
        assert await world.ask(PATH, "User-Agent: another") == "not-replicated"
