"""Requests of one byte of an object, as a redirected client sends them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from nearbucket.s3.client_request import ClientAnswer, request_byte
from tests.scripteds3 import Say, ScriptedS3, reply
from tests.serving import PATIENCE

if TYPE_CHECKING:
    from aiohttp import ClientSession

    from tests.conftest import LocalS3


@pytest.mark.parametrize(
    ("bucket", "key", "status"),
    [
        ("us-west-2-downloads", "a%2Bb%20c%25.txt", 206),
        ("us-west-2-downloads", "%C3%BCn%C3%AF.tar.gz", 206),
        ("downloads", "text.txt", 403),
    ],
)
async def test_a_key_is_asked_as_it_is_encoded_and_without_a_signature(
    s3: LocalS3, session: ClientSession, bucket: str, key: str, status: int
) -> None:
    answer = await request_byte(session, f"{s3.server.endpoint}/{bucket}/{key}", PATIENCE)
    assert not isinstance(answer, Exception)
    assert answer.status == status


async def test_a_redirect_is_an_answer_and_not_followed(session: ClientSession) -> None:
    said = Say(reply("302 Found", b"", "Location: http://127.0.0.1:1/"))
    async with ScriptedS3(said) as server:
        answer = await request_byte(session, server.endpoint, PATIENCE)
    assert not isinstance(answer, Exception)
    assert answer.status == 302


async def test_silence_ends_after_the_time_given(session: ClientSession) -> None:
    async with ScriptedS3(Say(b"", "hang")) as server:
        assert isinstance(await request_byte(session, server.endpoint, 0.1), TimeoutError)


async def test_one_byte_is_asked_for_and_the_size_of_the_whole_is_known(
    s3: LocalS3, session: ClientSession
) -> None:
    for key, size in (("text.txt", len(s3.objects["text.txt"])), ("one.bin", 1)):
        url = f"{s3.server.endpoint}/{s3.public}/{key}"
        answer = await request_byte(session, url, PATIENCE)
        assert isinstance(answer, ClientAnswer)
        assert (answer.is_readable, answer.size) == (True, size)
        assert answer.fields["content-length"] == "1"


async def test_an_empty_object_can_be_read(s3: LocalS3, session: ClientSession) -> None:
    url = f"{s3.server.endpoint}/{s3.public}/empty.bin"
    answer = await request_byte(session, url, PATIENCE)
    assert isinstance(answer, ClientAnswer)
    assert answer.is_readable


async def test_a_server_that_knows_no_ranges_is_not_read_to_the_end(
    session: ClientSession,
) -> None:
    endless = Say(reply("200 OK", length=1 << 40), "hang")
    async with ScriptedS3(endless) as server:
        answer = await request_byte(session, server.endpoint, PATIENCE)
        assert isinstance(answer, ClientAnswer)
        assert (answer.is_readable, answer.size) == (True, 1 << 40)
        await asyncio.wait_for(server.left.wait(), PATIENCE)


@pytest.mark.parametrize(
    ("status", "readable"),
    [(200, True), (206, True), (416, True), (301, False), (400, False), (401, False),
     (403, False), (404, False), (429, None), (500, None), (503, None)],
)  # fmt: skip
def test_what_may_pass_by_itself_tells_nothing(status: int, readable: bool | None) -> None:  # noqa: FBT001
    assert ClientAnswer(status, {}).is_readable is readable
