"""Requests to targets and the CDN as a redirected client sends them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nearbucket.cli.check.client_probe import ProbeAnswer, cdn_finding, head, target_finding
from tests.scripteds3 import Say, ScriptedS3, reply

if TYPE_CHECKING:
    from aiohttp import ClientSession

    from tests.conftest import LocalS3

OWN = {"dl.example", "*"}


@pytest.mark.parametrize(
    ("bucket", "key", "status"),
    [
        ("us-west-2-downloads", "a%2Bb%20c%25.txt", 200),
        ("us-west-2-downloads", "%C3%BCn%C3%AF.tar.gz", 200),
        ("downloads", "text.txt", 403),
    ],
)
async def test_a_key_is_asked_as_it_is_encoded_and_without_a_signature(
    s3: LocalS3, session: ClientSession, bucket: str, key: str, status: int
) -> None:
    answer = await head(session, f"{s3.server.endpoint}/{bucket}/{key}")
    assert not isinstance(answer, Exception)
    assert answer[0] == status


async def test_a_redirect_is_an_answer_and_not_followed(session: ClientSession) -> None:
    said = Say(reply("302 Found", b"", "Location: http://127.0.0.1:1/"))
    async with ScriptedS3(said) as server:
        answer = await head(session, server.endpoint)
    assert not isinstance(answer, Exception)
    assert answer[0] == 302


async def test_silence_ends_after_the_time_given(session: ClientSession) -> None:
    async with ScriptedS3(Say(b"", "hang")) as server:
        assert isinstance(await head(session, server.endpoint, 0.1), TimeoutError)


@pytest.mark.parametrize(
    ("answer", "level", "text"),
    [
        ((200, {"content-length": "5"}), "ok", "can be read without a signature"),
        (
            (200, {"content-length": "6"}),
            "wrong",
            "has 6 bytes, but the object in the bucket has 5",
        ),
        ((403, {}), "warning", "answers 403 to a request without a signature"),
        ((404, {}), "wrong", "answers 404, but the object is in the bucket"),
        ((301, {}), "wrong", "answers 301"),
        (TimeoutError(), "warning", "cannot be reached from here: no answer in time"),
    ],
    ids=str,
)
def test_what_clients_would_get_is_judged(
    answer: ProbeAnswer | Exception, level: str, text: str
) -> None:
    finding = target_finding("t", "https://b.example/a", 5, answer)
    assert finding.level == level
    assert text in finding.text


@pytest.mark.parametrize(("status", "level"), [(200, "ok"), (403, "wrong"), (404, "wrong")])
def test_a_signed_url_has_no_excuse_for_a_refusal(status: int, level: str) -> None:
    finding = target_finding("t", "https://b.example/a", 5, (status, {}), signed=True)
    assert finding.level == level


@pytest.mark.parametrize(
    ("answer", "level"),
    [
        ((200, {}), "ok"),
        ((200, {"x-nearbucket": "stream"}), "ok"),
        ((302, {"location": "https://other.example/a"}), "ok"),
        ((302, {"location": "https://dl.example/a"}), "wrong"),
        ((301, {"location": "/b", "x-nearbucket": "redirect"}), "wrong"),
        ((404, {}), "warning"),
        (OSError("refused"), "warning"),
    ],
    ids=str,
)
def test_a_bypass_answers_and_does_not_lead_back(
    answer: ProbeAnswer | Exception, level: str
) -> None:
    assert cdn_finding("b", "https://cdn.example/a", OWN, answer).level == level
