"""The form of the answers to bytes that are no request, and to methods that nothing knows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.behaviour.test_hostile import recorded
from tests.behaviour.vectors import fields

if TYPE_CHECKING:
    from pathlib import Path

    from tests.serving import Serve

UNPARSABLE = {
    "no Host": b"%b /a.txt HTTP/1.1\r\n\r\n",
    "two Hosts": b"%b /a.txt HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "no colon": b"%b /a.txt HTTP/1.1\r\nHost: a\r\nx\r\n\r\n",
    "a URL of 9 KiB": b"%b /" + b"a" * 9216 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "a field of 9 KiB": b"%b /a.txt HTTP/1.1\r\nHost: a\r\nX: " + b"v" * 9216 + b"\r\n\r\n",
}


@pytest.mark.parametrize("name", UNPARSABLE)
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
async def test_what_cannot_be_parsed_is_answered_in_http_1_1_and_a_head_without_a_body(
    serve: Serve, method: bytes, name: str
) -> None:
    async with recorded(serve) as (served, _):
        raw = UNPARSABLE[name] % method
        for pieces in ((raw,), (raw[:3], raw[3:12], raw[12:])):
            client = await (await served.connect()).send(*pieces)
            head, _, body = (await client.rest()).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 4")
            assert b"\r\nContent-Length: " in head
            assert (body == b"") is (method == b"HEAD")


async def test_the_answer_to_a_bad_request_behind_a_good_one_depends_on_its_own_method(
    serve: Serve,
) -> None:
    async with recorded(serve) as (served, _):
        for first, second in ((b"GET", b"HEAD"), (b"HEAD", b"GET")):
            client = await (await served.connect()).send(fields(line=first + b" /a.txt HTTP/1.1"))
            assert (await client.answer(head=first == b"HEAD")).status == 200
            await client.send(b"%b /a.txt HTTP/1.1\r\nx\r\n\r\n" % second)
            head, _, body = (await client.rest()).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 400 ")
            assert (body == b"") is (second == b"HEAD")


@pytest.mark.parametrize("method", ["EVIL", "get", "PURGE2"])
async def test_an_unknown_method_is_not_allowed_and_logged_as_it_was_sent(
    serve: Serve, tmp_path: Path, method: str
) -> None:
    with (tmp_path / "log").open("wb") as sink:
        async with recorded(serve, log=sink.fileno()) as (served, _):
            client = await (await served.connect()).send(
                fields(line=f"{method} /a.txt?q HTTP/1.1".encode())
            )
            answer = await client.answer()
            assert answer.status == 405
            assert answer.headers["allow"] == "GET, HEAD, OPTIONS"
            assert answer.headers["x-nearbucket"] == "refuse; region=UNKNOWN; reason=method"
            assert served.count("nearbucket_refusals_total", "method") == 1
            await client.rest()
    (line,) = (json.loads(line) for line in (tmp_path / "log").read_text().splitlines())
    assert (line["method"], line["path"], line["reason"]) == (method, "/a.txt", "method")
