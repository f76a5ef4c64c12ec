"""Why a request is streamed, and when credentials are used again (R6, R7, R14, R15 and S12)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.bucketserver import until
from tests.build import EAST, FORWARDED, OUTSIDE, settings
from tests.scripteds3 import Say, ScriptedS3, reply
from tests.serving import client_at

if TYPE_CHECKING:
    from tests.serving import Serve


def in_front_of(server: ScriptedS3, *, credentials: Any = "anonymous", **site: Any) -> Any:
    entry = {
        "bucket": "downloads",
        "region": "us-east-1",
        "endpoint": server.endpoint,
        "credentials": credentials,
    }
    return settings(site={"origin": entry, **site}, client_address=FORWARDED)


@pytest.mark.parametrize(
    ("target", "fields", "reason"),
    [
        pytest.param("/a.tar.gz", ["Authorization: Basic eDp5"], "credentials", id="R7 basic"),
        pytest.param("/a.tar.gz", ["Cookie: a=b"], "credentials", id="R7 cookie"),
        pytest.param("/a.tar.gz?X-Amz-Signature=1", [], "credentials", id="R7 signed query"),
        pytest.param("/a.tar.gz?redirect=no", [], "opt-out", id="R14 query"),
        pytest.param("/a.tar.gz", ["X-No-Redirect: 1"], "opt-out", id="R14 header"),
        pytest.param("/a.tar.gz", ["User-Agent: OldTool/1"], "opt-out", id="R14 agent"),
        pytest.param("/repodata/repomd.xml", [], "path", id="R15 repomd.xml"),
        pytest.param("/dists/stable/InRelease", [], "path", id="R15 InRelease"),
        pytest.param("/latest/a.tar.gz", [], "path", id="R15 excluded"),
    ],
)
async def test_a_client_in_a_target_region_is_streamed_to_for_a_reason(
    serve: Serve, target: str, fields: list[str], reason: str
) -> None:
    site = {"redirect": {"exclude": ["latest/*"]}, "opt_out": {"user_agents": ["OldTool/*"]}}
    async with (
        ScriptedS3(Say(reply("200 OK", b"x"))) as server,
        serve(in_front_of(server, **site)) as served,
    ):
        answer = await served.get(target, client_at(EAST), *fields)
        assert answer.body == b"x"
        assert answer.headers["x-nearbucket"] == f"stream; region=us-east-1; reason={reason}"
        assert served.count("nearbucket_bypasses_total", "*", "us-east-1", reason) == 1
        assert not {"authorization", "cookie"} & set(server.asked[0].headers)


SESSIONS = ["session*", "*_token"]


@pytest.mark.parametrize(
    ("cookies", "rows"),
    [
        (
            ["*"],
            [
                (["Cookie: _ga=GA1.1.2"], "credentials"),
                (["Cookie: "], "credentials"),
                (["Cookie: ;"], "credentials"),
                (["Cookie: other=1; session=2"], "credentials"),
            ],
        ),
        (
            [],
            [
                (["Cookie: session=1"], "in-region"),
                (["Cookie: session=1", "Authorization: Basic eDp5"], "credentials"),
                (["Cookie: other=1; session=2"], "in-region"),
            ],
        ),
        (
            SESSIONS,
            [
                (["Cookie: _ga=GA1.1.2; _gid=x"], "in-region"),
                (["Cookie: _ga=session; x=session_token=1"], "in-region"),
                (["Cookie: _ga=GA1.1.2; session=1"], "credentials"),
                (["Cookie: _ga=GA1.1.2;session_id=1"], "credentials"),
                (["Cookie:   a_token  = 1"], "credentials"),
                (["Cookie: session"], "credentials"),
                (["Cookie: Session=1"], "in-region"),
                (["Cookie: _ga=1", "Cookie: session=1"], "credentials"),
                (["cOOKIE: session=1"], "credentials"),
                ([], "in-region"),
                (["Cookie: other=1; session=2"], "credentials"),
            ],
        ),
    ],
    ids=["all", "none", "sessions"],
)
async def test_the_cookies_that_count_as_credentials_are_a_setting(
    serve: Serve, cookies: list[str], rows: list[tuple[list[str], str]]
) -> None:
    async with (
        ScriptedS3(*3 * len(rows) * [Say(reply("200 OK", b"x"))]) as server,
        serve(in_front_of(server, redirect={"cookies": cookies})) as served,
    ):
        for fields, reason in rows:
            for _ in range(2):  # the second one may be answered from the cache of decisions
                answer = await served.get("/a.tar.gz", client_at(EAST), *fields)
                assert answer.headers["x-nearbucket"].endswith(f"reason={reason}"), fields
        for fields, reason in reversed(rows):  # whatever was asked before
            answer = await served.get("/b.txt.tar.gz", client_at(EAST), *fields)
            assert answer.headers["x-nearbucket"].endswith(f"reason={reason}"), fields


@pytest.mark.parametrize(
    "field", ["Range: bytes=0-1", 'If-None-Match: "e"', 'If-Range: "e"', "If-Match: *"]
)
async def test_a_redirect_wins_over_ranges_and_conditions(serve: Serve, field: str) -> None:
    async with ScriptedS3() as server, serve(in_front_of(server)) as served:
        answer = await served.get("/a.tar.gz", client_at(EAST), field)
        assert server.asked == []
    assert answer.status == 301


@dataclass
class Key:
    """What botocore calls frozen credentials."""

    access_key: str
    secret_key: str = "s"
    token: str = "session-token"


class Role:
    """A task role whose credentials are renewed while requests are in flight."""

    def __init__(self) -> None:
        self.refreshes = 0
        self.renewed = asyncio.Event()

    async def get_frozen_credentials(self) -> Key:
        self.refreshes += 1
        await self.renewed.wait()
        return Key(f"key{self.refreshes}")


async def test_credentials_that_rotate_under_200_requests_are_asked_for_once(serve: Serve) -> None:
    role = Role()

    async def load() -> Role:
        return role

    async with (
        ScriptedS3(*[Say(reply("200 OK", b"x"))] * 200) as server,
        serve(in_front_of(server, credentials="ambient"), credentials=load) as served,
    ):
        asking = [asyncio.create_task(served.get("/a.txt", client_at(OUTSIDE))) for _ in range(200)]
        await until(lambda: served.open_connections() == 200)
        role.renewed.set()
        answers = await asyncio.gather(*asking)
        assert {answer.status for answer in answers} == {200}
        tokens = {asked.headers["x-amz-security-token"] for asked in server.asked}
        assert (role.refreshes, tokens) == (1, {"session-token"})
