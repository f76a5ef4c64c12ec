"""Signed requests are equal in both lanes, and used again for a minute."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nearbucket.config.buckets import KeyFiles
from nearbucket.config.buckets import Origin as Entry
from nearbucket.origin.client import OriginClient
from nearbucket.origin.pool import signed_requests as module
from nearbucket.origin.pool.connection_pool import ConnectionPool
from nearbucket.origin.pool.read_buffer import ReadBuffers
from nearbucket.origin.pool.response_head import read_response
from nearbucket.origin.pool.signed_requests import SignedRequestCache
from nearbucket.s3 import credentials as credentials_module
from nearbucket.s3.http_session import client_session
from tests.s3server import key_files
from tests.scripteds3 import Say, ScriptedS3, reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

POOL = ConnectionPool("h", 1, tls=None, buffers=ReadBuffers.new())
NOW = 1000.0


@pytest.fixture
def keys(tmp_path: Path) -> KeyFiles:
    return key_files(tmp_path, "access-1", "secret-1")


@pytest.fixture
async def server() -> AsyncIterator[ScriptedS3]:
    async with ScriptedS3(*[Say(reply("200 OK", b"x", 'ETag: "e"'))] * 4) as running:
        yield running


def entry(server: ScriptedS3, keys: KeyFiles) -> Entry:
    bucket = {"bucket": "downloads", "region": "us-east-1", "endpoint": server.endpoint}
    more = {"prefix": "p/", "credentials": keys, "expected_owner": "123456789012"}
    return Entry.model_validate(bucket | more)


def fields(request: bytes) -> dict[str, str]:
    _, *lines = request.decode().removesuffix("\r\n\r\n").split("\r\n")
    return dict(line.split(": ", 1) for line in lines)


async def test_a_request_is_the_one_that_the_other_way_sends(
    server: ScriptedS3, keys: KeyFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nearbucket.s3.sigv4.time.time", lambda: 1_790_000_000.0)
    async with client_session() as session:
        origin = OriginClient(entry(server, keys), session)
        made = SignedRequestCache(origin, POOL).get("a b", NOW)
        async with await origin.open("GET", "a b", {}):
            pass
    assert made is not None
    (asked,) = server.asked
    assert made.request.startswith(f"GET {asked.target} HTTP/1.1\r\n".encode())
    assert made.path == asked.target
    assert fields(made.request) == asked.headers


async def test_a_signature_serves_every_part_until_its_time_or_its_keys_are_over(
    server: ScriptedS3, keys: KeyFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [NOW]
    monkeypatch.setattr(credentials_module, "_HOLD", -1.0)
    async with client_session() as session:
        origin = OriginClient(entry(server, keys), session)
        direct = SignedRequestCache(origin, POOL)

        def signed(part: str | None = None) -> tuple[str, str | None]:
            found = direct.get("a", now[0])
            assert found is not None
            made = fields(found.request if part is None else found.for_range(part))
            monkeypatch.setattr("nearbucket.s3.sigv4.time.time", lambda: now[0])
            return made["authorization"] + made["x-amz-date"], made.get("range")

        first, whole = signed()
        assert whole is None
        assert signed("bytes=0-1") == (first, "bytes=0-1")
        now[0] += module.SIGNATURE_REUSE + 1
        second, _ = signed()
        assert second != first
        keys.access_key_file.write_text("access-2")
        third, _ = signed()
        assert "access-2" in third


async def test_without_usable_keys_the_other_way_is_taken(
    server: ScriptedS3, keys: KeyFiles
) -> None:
    keys.secret_key_file.unlink()
    async with client_session() as session:
        origin = OriginClient(entry(server, keys), session)
        assert SignedRequestCache(origin, POOL).get("a", NOW) is None


async def test_no_request_is_made_for_a_key_that_no_object_can_have(
    server: ScriptedS3, keys: KeyFiles
) -> None:
    async with client_session() as session:
        origin = OriginClient(entry(server, keys), session)
        direct = SignedRequestCache(origin, POOL)
        assert direct.get("k" * 1024, NOW) is None


async def test_a_head_is_a_template_from_the_second_time_on(
    server: ScriptedS3, keys: KeyFiles
) -> None:
    async with client_session() as session:
        bucket = SignedRequestCache(OriginClient(entry(server, keys), session), POOL)
        made = bucket.get("a b", NOW)
    assert made is not None
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n"
    response = read_response(head)
    assert response is not None
    made.remember_head(head, response)
    assert made.head_template is None
    made.remember_head(head, response)
    assert made.head_template is not None
