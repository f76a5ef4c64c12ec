"""What clients get while the origin fails and its site has failover buckets."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.behaviour.failing_origin import (
    BODY,
    FROM,
    SLOW_DOWN,
    begun,
    entry,
    failovers,
    site,
    whole,
)
from tests.conftest import BIG
from tests.scripteds3 import Say, ScriptedS3, error
from tests.serving import PATIENCE
from tests.tuning import shorten_patience

if TYPE_CHECKING:
    from tests.conftest import LocalS3
    from tests.serving import Serve


def refused() -> str:
    """An endpoint at which nothing listens."""
    with closing(socket.socket()) as sock:
        sock.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{sock.getsockname()[1]}"


@pytest.mark.parametrize("rounds", [10, pytest.param(50, marks=pytest.mark.long)])
async def test_no_request_fails_while_the_origin_is_dead(
    serve: Serve, s3: LocalS3, rounds: int
) -> None:
    chosen = site(entry(refused()), s3.entry(s3.private).model_dump(exclude={"query"}))
    requests = [
        ("/text.txt", "GET", ()), ("/text.txt", "HEAD", ()),
        ("/text.txt", "GET", ("Range: bytes=2-4",)), ("/text.txt", "GET", ('If-None-Match: "x"',)),
        ("/big/pack-1.0.tar.xz", "GET", ()), ("/packed.json", "GET", ("Origin: https://a.example",)),
    ]  # fmt: skip
    text = s3.objects["text.txt"]
    bodies = [text, b"", text[2:5], text, BIG, s3.objects["packed.json"]]
    async with serve(chosen) as served:
        for _ in range(rounds):
            asked = (served.get(path, FROM, *more, method=how) for path, how, more in requests)
            assert [answer.body for answer in await asyncio.gather(*asked)] == bodies
        await served.settled()
        assert failovers(served) == 6 * rounds
        assert served.count("nearbucket_stream_ends_total", "complete") == 6 * rounds
        assert served.origins_down().keys() == {("*", "origin")}


async def test_a_silent_origin_costs_one_request_its_timeout_and_later_ones_nothing(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten_patience(monkeypatch, 1.0)
    async with (
        ScriptedS3(Say(b"", then="hang")) as first,
        ScriptedS3(*[whole()] * 21) as second,
        serve(site(entry(first), entry(second, bucket="second"))) as served,
    ):
        asking = asyncio.create_task(served.get("/a.txt", FROM))
        await first.arrived.wait()
        served.pass_time(0)
        served.pass_time(2)
        assert (await asking).body == BODY
        began = asyncio.get_running_loop().time()
        for _ in range(20):
            assert (await served.get("/a.txt", FROM)).body == BODY
        assert asyncio.get_running_loop().time() - began < PATIENCE
        assert first.connections == 1
        assert failovers(served) == 21


async def test_an_origin_that_takes_no_connection_costs_one_request_its_timeout(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten_patience(monkeypatch, 0.2)
    with closing(socket.socket()) as full, closing(socket.socket()) as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting.setblocking(False)  # noqa: FBT003  # the standard library's signature
        waiting.connect_ex(full.getsockname())  # it has room for one connection
        dead = f"http://127.0.0.1:{full.getsockname()[1]}"
        async with (
            ScriptedS3(*[whole()] * 3) as second,
            serve(site(entry(dead), entry(second, bucket="second"))) as served,
        ):
            answers = [await served.get("/a.txt", FROM) for _ in range(3)]
            assert [answer.body for answer in answers] == [BODY] * 3
            assert served.count("nearbucket_origin_requests_total", "*", "0") == 1


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(SLOW_DOWN, id="SlowDown"),
        pytest.param(Say(error("500 Oops", "InternalError")), id="500"),
        pytest.param(Say(error("404 Not Found", "NoSuchBucket")), id="no bucket"),
        pytest.param(Say(error("403 Forbidden", "InvalidAccessKeyId")), id="keys"),
        pytest.param(Say(b"", then="close"), id="closed"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_the_next_origin_answers_when_one_fails(
    serve: Serve, failure: Say, method: str
) -> None:
    headers = Say(whole().raw.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
    answer_of_second = whole() if method == "GET" else headers
    bare = Say(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
    script = [failure] if method == "GET" or failure.then == "close" else [bare, failure]
    if method == "HEAD" and b" 50" in failure.raw[:13]:
        script = [Say(failure.raw.partition(b"\r\n\r\n")[0] + b"\r\n\r\n", then="close")]
    async with (
        ScriptedS3(*script, *script) as first,
        ScriptedS3(answer_of_second) as second,
        serve(site(entry(first), entry(second, bucket="second"))) as served,
    ):
        answer = await served.get("/a.txt", FROM, method=method)
        assert (answer.status, answer.headers["content-length"]) == (200, str(len(BODY)))
        assert answer.headers["x-nearbucket"].startswith("stream; ")
        assert failovers(served) == 1


@pytest.mark.parametrize(
    ("said", "status"),
    [
        pytest.param(error("404 Not Found", "NoSuchKey"), 404, id="404"),
        pytest.param(error("403 Forbidden", "AccessDenied"), 404, id="403 for a missing key"),
        pytest.param(error("403 Forbidden", "InvalidObjectState"), 403, id="archived"),
        pytest.param(error("416 Range Not Satisfiable", "InvalidRange"), 416, id="no such range"),
    ],
)
async def test_that_the_origin_has_no_such_object_is_an_answer(
    serve: Serve, said: bytes, status: int
) -> None:
    async with (
        ScriptedS3(Say(said)) as first,
        ScriptedS3(whole()) as second,
        serve(site(entry(first), entry(second, bucket="second"))) as served,
    ):
        assert (await served.get("/a.txt", FROM, "Range: bytes=9-")).status == status
        assert second.connections == 0
        assert failovers(served) == 0


@pytest.mark.parametrize(
    "lacking",
    [
        pytest.param(error("404 Not Found", "NoSuchKey"), id="404"),
        pytest.param(error("403 Forbidden", "AccessDenied"), id="403"),
        pytest.param(error("412 Precondition Failed", "PreconditionFailed"), id="412"),
    ],
)
async def test_that_a_failover_bucket_lacks_an_object_is_no_answer(
    serve: Serve, lacking: bytes
) -> None:
    async with (
        ScriptedS3(*[SLOW_DOWN] * 4) as first,
        ScriptedS3(*[Say(lacking)] * 2) as second,
        ScriptedS3(whole(), Say(lacking)) as third,
        serve(
            site(entry(first), entry(second, bucket="second"), entry(third, bucket="third"))
        ) as served,
    ):
        assert (await served.get("/a.txt", FROM)).body == BODY
        answer = await served.get("/a.txt", FROM)
        assert (answer.status, "retry-after" in answer.headers) == (503, True)


async def test_an_origin_that_is_down_is_asked_for_what_no_other_has(serve: Serve) -> None:
    lacks = Say(error("404 Not Found", "NoSuchKey"))
    async with (
        ScriptedS3(*[SLOW_DOWN] * 5, whole(b"only here")) as first,
        ScriptedS3(*[whole()] * 5, *[lacks] * 2) as second,
        serve(site(entry(first), entry(second, bucket="second"))) as served,
    ):
        for _ in range(5):
            assert (await served.get("/a.txt", FROM)).body == BODY
        assert ("*", "origin") in served.origins_down()
        assert (await served.get("/b.txt", FROM)).body == b"only here"


async def test_five_failures_in_a_row_are_the_end_of_requests_to_an_origin(serve: Serve) -> None:
    in_between = [*[SLOW_DOWN] * 4, whole(), *[SLOW_DOWN] * 5]
    async with (
        ScriptedS3(*in_between) as first,
        ScriptedS3(*[whole()] * 12) as second,
        serve(site(entry(first), entry(second, bucket="second"))) as served,
    ):
        for _ in range(12):
            assert (await served.get("/a.txt", FROM)).body == BODY
        assert len(first.asked) == 10
        assert failovers(served) == 11


async def test_an_origin_is_used_again_when_it_answers_a_head_for_its_bucket(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    fails = Say(b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\n\r\n")
    denies = Say(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
    caplog.set_level("INFO")
    async with (
        ScriptedS3(*[SLOW_DOWN] * 5, fails, denies, whole()) as first,
        ScriptedS3(*[whole(BODY)] * 5) as second,
        serve(site(entry(first), entry(second, bucket="second"))) as served,
    ):
        for _ in range(5):
            assert (await served.get("/a.txt", FROM)).body == BODY
        served.pass_time(4)
        assert len(first.asked) == 5, "too early for a probe"
        async with asyncio.timeout(PATIENCE):
            while served.origins_down():
                served.pass_time(6)
                await asyncio.sleep(0.01)
        assert [(each.method, each.target) for each in first.asked[5:]] == [
            ("HEAD", "/downloads/")
        ] * 2
        assert (await served.get("/a.txt", FROM)).body == BODY
        assert len(first.asked) == 8
    lines = [line.getMessage() for line in caplog.records if "origin " in line.getMessage()]
    assert [line.partition(":")[0] for line in lines] == [
        "origin down, the next one is asked",
        "origin up again",
    ]


async def test_an_origin_that_is_down_stays_down_over_a_reload_that_keeps_it(
    serve: Serve,
) -> None:
    async with (
        ScriptedS3(*[SLOW_DOWN] * 5) as first,
        ScriptedS3(*[whole()] * 7) as second,
        serve(site(entry(first), entry(second, bucket="second"))) as served,
    ):
        for _ in range(5):
            assert (await served.get("/a.txt", FROM)).body == BODY
        served.reload(site(entry(first), entry(second, bucket="second", prefix="copies")))
        assert (await served.get("/a.txt", FROM)).body == BODY
        assert second.asked[-1].target == "/second/copies/a.txt"
        assert ("*", "origin") in served.origins_down()
        served.reload(site(entry(second, bucket="second")))
        assert (await served.get("/a.txt", FROM)).body == BODY
        assert not served.origins_down()
        assert len(first.asked) == 5


async def test_a_failure_that_comes_after_a_reload_changes_nothing(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten_patience(monkeypatch, 1.0)
    async with (
        ScriptedS3(Say(b"", then="hang")) as first,
        ScriptedS3(*[whole()] * 2) as second,
        serve(site(entry(first), entry(second, bucket="second"))) as served,
    ):
        asking = asyncio.create_task(served.get("/a.txt", FROM))
        await first.arrived.wait()
        served.reload(site(entry(second, bucket="second")))
        for seconds in (0, 2):
            served.pass_time(seconds)
        assert (await asking).body == BODY
        assert not served.origins_down()


async def test_each_origin_has_its_own_folder_and_owner(serve: Serve) -> None:
    async with ScriptedS3(SLOW_DOWN) as first, ScriptedS3(whole()) as second:
        further = entry(second, bucket="second", prefix="copies", expected_owner="111122223333")
        async with serve(site(entry(first, prefix="files"), further)) as served:
            assert (await served.get("/a.txt", FROM)).body == BODY
        assert first.asked[0].target == "/downloads/files/a.txt"
        assert second.asked[0].target == "/second/copies/a.txt"
        assert second.asked[0].headers["x-amz-expected-bucket-owner"] == "111122223333"
        assert "x-amz-expected-bucket-owner" not in first.asked[0].headers


async def test_the_access_log_names_the_failover_bucket_of_an_answer(serve: Serve) -> None:
    reader, writer = os.pipe()
    async with (
        ScriptedS3(whole(), *[SLOW_DOWN] * 5, begun(10)) as first,
        ScriptedS3(*[whole()] * 6) as second,
        serve(site(entry(first), entry(second, bucket="second")), log=writer) as served,
    ):
        for _ in range(7):
            client = await served.connect()
            await client.get("/a.txt", FROM)
            await client.close()
        await served.write_log()
    os.close(writer)
    lines = [json.loads(line) for line in os.read(reader, 1 << 16).splitlines()]
    os.close(reader)
    assert [line.get("failover") for line in lines] == [None, *["second"] * 6]
    assert all(line["status"] == 200 and "complete" not in line for line in lines)
