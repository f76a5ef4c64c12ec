"""An origin that speaks TLS: the same answers on every way to it, and none where it is not S3."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.build import FORWARDED, OUTSIDE, open_bucket, settings
from tests.certificates import make_certificate
from tests.scripteds3 import ETAG, Say, ScriptedS3, reply, rest
from tests.serving import PATIENCE, client_at, head_of, trusting

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.certificates import Tls
    from tests.serving import Serve

FROM = client_at(OUTSIDE)
LARGE = bytes(range(256)) * 12_288  # 3 MiB: taken in larger pieces
WHOLE = reply("200 OK", LARGE, f"ETag: {ETAG}")
HEAD = WHOLE[: -len(LARGE)]
LARGER = LARGE * 7  # in pieces that grow, for a client that keeps up


@pytest.fixture
def certificate(tmp_path: Path) -> Iterator[Tls]:
    """One that this process trusts, and no other."""
    made = make_certificate(tmp_path, "s3.example")
    with trusting(made.certificate):
        yield made


def scripted(server: ScriptedS3) -> Any:
    return settings(
        site={"origin": open_bucket(server.endpoint)},
        client_address=FORWARDED,
        limits={"drain_timeout": "1s"},
    )


async def test_objects_of_any_size_arrive_whole_over_one_connection(
    serve: Serve, certificate: Tls
) -> None:
    bodies = [b"", b"x", b"y" * 70_000, LARGE, LARGER, b"z"]
    script = [Say(reply("200 OK", body)) for body in bodies]
    async with ScriptedS3(*script, tls=certificate) as server, serve(scripted(server)) as served:
        client = await served.connect()
        for body in bodies:
            assert (await client.get("/a.txt", FROM)).body == body
        assert len(server.asked) == len(bodies)
        assert served.count("nearbucket_handovers_total", "stream") in {0, len(bodies)}


async def test_a_part_is_asked_for_and_answered_as_a_part(serve: Serve, certificate: Tls) -> None:
    script = Say(rest(b"0123456789", 5))
    async with ScriptedS3(script, tls=certificate) as server, serve(scripted(server)) as served:
        answer = await served.get("/a.txt", FROM, "Range: bytes=5-")
        assert (answer.status, answer.body) == (206, b"56789")
        assert server.asked[0].headers["range"] == "bytes=5-"


@pytest.mark.parametrize("sent", [100, 300_000, len(LARGE) - 1])
async def test_a_body_that_ends_early_is_asked_for_from_there(
    serve: Serve, certificate: Tls, sent: int
) -> None:
    script = (Say(HEAD + LARGE[:sent], then="close"), Say(rest(LARGE, sent)))
    async with ScriptedS3(*script, tls=certificate) as server, serve(scripted(server)) as served:
        assert (await served.get("/a.txt", FROM)).body == LARGE
        assert server.asked[1].headers["range"] == f"bytes={sent}-{len(LARGE) - 1}"
        assert server.asked[1].headers["if-match"] == ETAG


async def test_what_a_slow_origin_has_sent_is_not_kept_back(serve: Serve, certificate: Tls) -> None:
    script = Say(HEAD + LARGE[:70_000], then="hang")
    async with ScriptedS3(script, tls=certificate) as server, serve(scripted(server)) as served:
        client = await (await served.connect()).send(head_of("/a.txt", FROM))
        await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), PATIENCE)
        body = await asyncio.wait_for(client.reader.readexactly(70_000), PATIENCE)
        assert body == LARGE[:70_000]


async def test_an_origin_that_is_not_trusted_is_not_listened_to(
    serve: Serve, certificate: Tls, tmp_path: Path
) -> None:
    folder = tmp_path / "stranger"
    folder.mkdir()
    stranger = make_certificate(folder, "s3.example")
    assert certificate != stranger
    async with (
        ScriptedS3(Say(WHOLE), tls=stranger) as server,
        serve(scripted(server)) as served,
    ):
        answer = await served.get("/a.txt", FROM)
        assert answer.status == 502
        assert server.asked == []
