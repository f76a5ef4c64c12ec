"""A redirect is given to a copy that is known to be there, and to be the origin's."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.behaviour.two_buckets import FROM, OBJECTS, PATH, copies, reason
from tests.bucketserver import until
from tests.build import EAST, OUTSIDE
from tests.serving import PATIENCE, client_at, head_of
from tests.tuning import give_checks_time

if TYPE_CHECKING:
    from tests.serving import Serve


async def test_an_object_that_both_hold_is_redirected_and_asked_about_once(serve: Serve) -> None:
    async with copies(serve, OBJECTS) as world:
        for _ in range(5):
            assert await world.ask() == "in-region"
        assert world.origin.asked == {("HEAD", "a.tar.gz"): 1}
        assert world.target.asked == {("HEAD", "a.tar.gz"): 1}
        assert world.served.count("nearbucket_checks_total", "present") == 2


@pytest.mark.parametrize(
    "held",
    [
        pytest.param(None, id="absent"),
        pytest.param((b"the object", "other"), id="other ETag"),
        pytest.param((b"the object!", "etag-10"), id="other size"),
    ],
)
async def test_what_the_target_lacks_or_holds_differently_is_streamed(
    serve: Serve, held: tuple[bytes, str] | None
) -> None:
    async with copies(serve, OBJECTS) as world:
        if held is None:
            del world.target.objects["a.tar.gz"]
        else:
            world.target.objects["a.tar.gz"] = held
        answer = await world.served.get(PATH, FROM)
        assert (answer.status, answer.body) == (200, b"the object")
        assert reason(answer) == "not-replicated"
        for _ in range(3):
            assert await world.ask() == "not-replicated"
        assert world.target.asked == {("HEAD", "a.tar.gz"): 1}
        labels = ("*", "us-west-2", "not-replicated")
        assert world.served.count("nearbucket_bypasses_total", *labels) == 4


async def test_keys_that_are_nowhere_are_absent_and_cost_one_request_each(serve: Serve) -> None:
    async with copies(serve, OBJECTS) as world:
        keys = [f"{number}.tar.gz" for number in range(10)]
        for key in keys:
            for _ in range(2):
                answer = await world.served.get(f"/{key}", FROM)
                assert (answer.status, reason(answer)) == (404, "absent")
                assert answer.body == b"There is no such object.\n"
        # the GET of one key has shown that the bucket exists
        asked = {("HEAD", key): 1 for key in keys}
        assert world.origin.asked == asked | {("GET", keys[0]): 1}
        assert not world.target.asked
        labels = ("*", "us-west-2")
        assert world.served.count("nearbucket_bypasses_total", *labels, "absent") == 20
        assert world.served.count("nearbucket_bypasses_total", *labels, "not-replicated") == 0


async def test_requests_that_wait_for_one_check_get_its_404(serve: Serve) -> None:
    async with copies(serve, OBJECTS) as world:
        world.origin.gate.clear()
        first = asyncio.create_task(world.served.get("/b.tar.gz", FROM))
        await until(lambda: world.origin.asked["HEAD", "b.tar.gz"] == 1)
        second = asyncio.create_task(world.served.get("/b.tar.gz", FROM))
        await until(lambda: world.served.open_connections() == 2)
        world.origin.gate.set()
        assert [reason(each) for each in (await first, await second)] == ["absent", "absent"]
        # the GET has shown that the bucket exists
        assert world.origin.asked == {("HEAD", "b.tar.gz"): 1, ("GET", "b.tar.gz"): 1}


async def test_a_403_for_a_head_leaves_the_answer_to_the_get(serve: Serve) -> None:
    async with copies(serve, OBJECTS) as world:
        world.origin.mode = "forbidden"
        assert await world.ask("/b.tar.gz") == "absent"
        # one GET tells why the HEAD was refused
        assert world.origin.asked == {("HEAD", "b.tar.gz"): 1, ("GET", "b.tar.gz"): 2}


async def test_a_browser_gets_the_origins_own_answer_for_a_missing_key(serve: Serve) -> None:
    async with copies(serve, OBJECTS) as world:
        assert await world.ask("/b.tar.gz", "Origin: https://app.example") == "absent"
        # one GET is the browser's, one has shown that the bucket exists
        assert world.origin.asked == {("HEAD", "b.tar.gz"): 1, ("GET", "b.tar.gz"): 2}


async def test_what_is_copied_is_redirected_within_the_negative_lifetime(serve: Serve) -> None:
    async with copies(serve, OBJECTS, redirect={"verify_ttl": "300ms"}) as world:
        kept = world.target.objects.pop("a.tar.gz")
        assert await world.ask() == "not-replicated"
        world.target.objects["a.tar.gz"] = kept
        await world.ends("not-replicated", within=0.3)
        assert await world.ask() == "in-region"


@pytest.mark.parametrize("change", ["changed", "deleted"])
async def test_what_changes_at_the_origin_is_streamed_within_verify_ttl(
    serve: Serve, change: str
) -> None:
    async with copies(serve, OBJECTS, redirect={"verify_ttl": "400ms"}) as world:
        for _ in range(4):
            assert await world.ask() == "in-region"
        if change == "changed":
            world.origin.objects["a.tar.gz"] = (b"the new object", "new")
        else:
            del world.origin.objects["a.tar.gz"]
        await world.ends("in-region", within=0.4)
        assert await world.ask() == ("not-replicated" if change == "changed" else "absent")


async def test_five_hundred_first_requests_cause_one_head_a_bucket(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_checks_time(monkeypatch)
    async with copies(serve, OBJECTS, catalog={"wait": "10s"}) as world:
        world.origin.gate.clear()
        world.target.gate.clear()
        crowd = asyncio.create_task(
            world.served.crowd(500, head_of(PATH, FROM, "Connection: close"))
        )
        await until(lambda: world.served.open_connections() == 500)
        await until(lambda: world.origin.asked.total() == 1)
        world.origin.gate.set()
        await until(lambda: world.target.asked.total() == 1)
        world.target.gate.set()
        said = await crowd
        assert {reason(answer) for answer in said} == {"in-region"}
        assert world.origin.asked == world.target.asked == {("HEAD", "a.tar.gz"): 1}


async def test_who_would_wait_too_long_is_streamed_while_the_question_goes_on(
    serve: Serve,
) -> None:
    async with copies(serve, OBJECTS, catalog={"wait": "50ms"}) as world:
        world.target.gate.clear()
        answer = await world.served.get(PATH, FROM)
        assert (answer.body, reason(answer)) == (b"the object", "unverified")
        assert world.target.asked == {("HEAD", "a.tar.gz"): 1}
        world.target.gate.set()
        await until(lambda: world.served.count("nearbucket_checks_total", "present") == 2)
        assert await world.ask() == "in-region"
        assert world.target.asked == {("HEAD", "a.tar.gz"): 1}


async def test_a_question_that_fails_is_not_asked_again_at_once(serve: Serve) -> None:
    async with copies(serve, OBJECTS) as world:
        world.target.mode = "failing"
        for _ in range(5):
            assert await world.ask() == "unverified"
        assert world.target.asked == {("HEAD", "a.tar.gz"): 1}
        assert world.served.count("nearbucket_checks_total", "failed") == 1


async def test_no_bucket_is_asked_about_what_is_streamed_for_another_reason(serve: Serve) -> None:
    objects = {**OBJECTS, "a.txt": b"x"}
    async with copies(serve, objects, site={"opt_out": {"user_agents": ["old"]}}) as world:
        assert await world.ask("/a.txt") == "path"
        assert await world.ask(PATH, "User-Agent: old") == "opt-out"
        answer = await world.served.get(PATH, client_at(OUTSIDE))
        assert reason(answer) == "outside-aws"
        assert world.origin.asked == {("GET", "a.txt"): 1, ("GET", "a.tar.gz"): 2}
        assert not world.target.asked


async def test_to_exist_is_enough_where_that_is_asked_for(serve: Serve) -> None:
    async with copies(serve, OBJECTS, redirect={"verify": "exists"}) as world:
        world.target.objects["a.tar.gz"] = (b"another version", "other")
        assert await world.ask() == "in-region"
        assert not world.origin.asked
        world.origin.objects["b.tar.gz"] = (b"at the origin alone", "other")
        assert await world.ask("/b.tar.gz") == "not-replicated"
        assert await world.ask("/nowhere.tar.gz") == "absent"


async def test_equal_bytes_in_other_parts_are_equal_by_their_checksum(serve: Serve) -> None:
    async with copies(serve, {"a.tar.gz": b"x", "b.tar.gz": b"y"}) as world:
        for server, parts in ((world.origin, 2), (world.target, 3)):
            for key in ("a.tar.gz", "b.tar.gz"):
                data, _ = server.objects[key]
                server.objects[key] = (data, f"tag-{parts}")
            server.headers["a.tar.gz"] = {"x-amz-checksum-crc64nvme": "kQj3Zg=="}
        assert await world.ask() == "in-region"
        assert await world.ask("/b.tar.gz") == "not-replicated"


async def test_small_objects_are_streamed_whatever_is_verified(serve: Serve) -> None:
    for verify in ("match", "exists", "none"):
        more = {"verify": verify, "min_size": 11}
        async with copies(serve, {**OBJECTS, "b.tar.gz": b"eleven char"}, redirect=more) as world:
            assert await world.ask() == "small"
            assert await world.ask() == "small"
            assert await world.ask("/b.tar.gz") == "in-region"


async def test_a_shadow_counts_what_would_really_be_redirected(serve: Serve) -> None:
    async with copies(serve, OBJECTS, redirect={"mode": "shadow"}) as world:
        answer = await world.served.get(PATH, FROM)
        assert (answer.body, reason(answer)) == (b"the object", "shadow")
        world.origin.objects["b.tar.gz"] = (b"at the origin alone", "other")
        assert reason(await world.served.get("/b.tar.gz", FROM)) == "not-replicated"
        assert reason(await world.served.get("/nowhere.tar.gz", FROM)) == "absent"


@pytest.mark.parametrize(
    ("method", "fields", "size"),
    [
        pytest.param("GET", [], 10, id="the object"),
        pytest.param("HEAD", [], 0, id="a HEAD"),
        pytest.param("GET", ['If-None-Match: "etag-10"'], 0, id="a client that has it"),
        pytest.param("GET", ["X-No-Redirect: 1"], 0, id="a client that opts out"),
    ],
)
async def test_shadow_figures_are_the_bytes_that_redirects_would_save_and_their_price(
    serve: Serve, method: str, fields: list[str], size: int
) -> None:
    site = "*", "us-west-2"
    prices = {"cdn_per_gb": 2 * 1024**3}
    async with copies(serve, OBJECTS, redirect={"mode": "shadow"}, prices=prices) as world:
        await world.served.get(PATH, FROM, *fields, method=method)
        await world.served.settled()
        assert world.served.count("nearbucket_shadow_bytes_total", *site) == size
        assert world.served.count("nearbucket_shadow_usd_total", *site) == pytest.approx(
            2 * size, abs=1e-6
        )
        for name in ("redirects", "redirected_bytes", "saved_usd"):
            assert world.served.count(f"nearbucket_{name}_total", *site) == 0


async def test_one_target_can_be_off_or_in_the_shadow(serve: Serve) -> None:
    for mode in ("off", "shadow"):
        async with copies(serve, OBJECTS) as world:
            entry = world.target.entry()
        targets = {"us-west-2": {**entry, "mode": mode}, "us-east-1": entry}
        async with copies(
            serve, OBJECTS, site={"targets": targets}, redirect={"verify": "none"}
        ) as world:
            assert await world.ask() == mode
            assert reason(await world.served.get(PATH, client_at(EAST))) == "in-region"


async def test_bytes_and_money_are_counted_where_the_size_is_known(serve: Serve) -> None:
    big = {"a.tar.gz": bytes(1 << 20)}
    redirect = {"head": "redirect"}
    async with copies(serve, big, redirect=redirect, prices={"cdn_per_gb": 1024}) as world:
        for _ in range(4):
            assert await world.ask() == "in-region"
        for _ in range(4):
            assert await world.ask(PATH, "Range: bytes=0-1023") == "in-region"
        assert await world.ask(PATH, method="HEAD") == "in-region"
        labels = ("*", "us-west-2")
        redirected = world.served.count("nearbucket_redirected_bytes_total", *labels)
        assert redirected == 4 * (1 << 20) + 4 * 1024
        saved = world.served.count("nearbucket_saved_usd_total", *labels)
        assert saved == pytest.approx(redirected / 2**30 * 1024 - 9 * 0.0004 / 1000)


async def test_an_origin_that_fails_does_not_take_its_copies_with_it(serve: Serve) -> None:
    async with copies(serve, OBJECTS, redirect={"verify_ttl": "200ms"}) as world:
        assert await world.ask() == "in-region"
        world.origin.mode = "failing"
        async with asyncio.timeout(PATIENCE):
            while (
                world.origin.asked["HEAD", "a.tar.gz"] < 3
            ):  # the second failure is a second later
                assert await world.ask() == "in-region"
                await asyncio.sleep(0.02)
            del world.target.objects["a.tar.gz"]
            status = 301
            while status != 503:
                await asyncio.sleep(0.02)
                status = (await world.served.get(PATH, FROM)).status
