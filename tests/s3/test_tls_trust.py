"""Certificate authorities that are trusted for S3, and errors of servers that are not."""

from __future__ import annotations

from ssl import SSLContext
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import SSLError

from nearbucket.config.buckets import Origin as Entry
from nearbucket.errors import ConfigError, OriginError
from nearbucket.origin.client import OriginClient
from nearbucket.s3 import tls_trust as trust
from nearbucket.s3.bucket_location import BucketLocation
from nearbucket.s3.http_session import client_session
from nearbucket.s3.sdk.sdk_client import opened
from tests.certificates import make_certificate
from tests.scripteds3 import Say, ScriptedS3, reply, without_tls

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in trust.NAMES:
        monkeypatch.delenv(name, raising=False)
    trust.trusted.cache_clear()
    yield
    trust.trusted.cache_clear()


def entry(endpoint: str) -> Entry:
    return Entry(bucket="downloads", region="us-east-1", endpoint=endpoint, credentials="anonymous")


async def asked(endpoint: str) -> str:
    """The error of a request for an object; empty if there was a response."""
    async with client_session() as session:
        try:
            async with await OriginClient(entry(endpoint), session).open("GET", "a", {}):
                return ""
        except OriginError as error:
            return error.detail


@pytest.mark.parametrize("name", trust.NAMES)
async def test_whoever_is_named_is_trusted_on_every_way(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = make_certificate(tmp_path, "s3.example")
    monkeypatch.setenv(name, str(tls.certificate))
    answers = [Say(reply("200 OK", b"x")), Say(reply("200 OK"))]
    async with ScriptedS3(*answers, tls=tls) as server:
        assert await asked(server.endpoint) == ""
        place = BucketLocation("origin", entry(server.endpoint), "anonymous")
        async with opened(place, attempts=1) as client:
            await client.head_object(Bucket="downloads", Key="a")
    assert [each.method for each in server.asked] == ["GET", "HEAD"]


async def test_the_sdk_asks_no_server_that_nobody_vouches_for(tmp_path: Path) -> None:
    async with ScriptedS3(tls=make_certificate(tmp_path, "s3.example")) as server:
        place = BucketLocation("origin", entry(server.endpoint), "anonymous")
        async with opened(place, attempts=1) as client:
            with pytest.raises(SSLError):
                await client.head_object(Bucket="downloads", Key="a")
    assert not server.asked


async def test_the_sdk_reads_the_authorities_no_more_than_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(trust.NAMES[0], str(make_certificate(tmp_path, "s3.example").certificate))
    read = 0

    def count(*_: object) -> None:
        nonlocal read
        read += 1

    async with ScriptedS3(Say(reply("200 OK")), Say(reply("200 OK"))) as server:
        place = BucketLocation("origin", entry(server.endpoint), "anonymous")
        monkeypatch.setattr(SSLContext, "load_verify_locations", count)
        for _ in range(2):
            async with opened(place, attempts=1) as client:
                await client.head_object(Bucket="downloads", Key="a")
    assert (len(server.asked), read) == (2, 1)


def test_openssls_variable_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [tmp_path / "first", tmp_path / "second"]
    for name, file in zip(trust.NAMES, files, strict=True):
        file.write_text("")
        monkeypatch.setenv(name, str(file))
    assert trust.authorities() == str(files[0])
    monkeypatch.setenv(trust.NAMES[0], "")
    assert trust.authorities() == str(files[1])


@pytest.mark.parametrize("name", trust.NAMES)
def test_a_file_that_cannot_be_used_is_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, str(tmp_path / "none.pem"))
    with pytest.raises(ConfigError, match=rf"{name}: .*none\.pem cannot be read"):
        trust.trusted()
    (tmp_path / "none.pem").write_text("no certificate")
    with pytest.raises(ConfigError, match=r"none\.pem holds no certificate authorities"):
        trust.trusted()


async def test_a_server_that_nobody_vouches_for_is_said_to_be_not_trusted(tmp_path: Path) -> None:
    async with ScriptedS3(tls=make_certificate(tmp_path, "s3.example")) as server:
        said = await asked(server.endpoint)
    assert f"{server.endpoint} is not trusted (self-signed certificate); SSL_CERT_FILE or" in said


async def test_a_server_with_a_certificate_for_another_name_needs_another_endpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = make_certificate(tmp_path, "s3.example")
    monkeypatch.setenv(trust.NAMES[0], str(tls.certificate))
    async with ScriptedS3(tls=tls) as server:
        said = await asked(server.endpoint.replace("127.0.0.1", "localhost"))
    assert (
        "(Hostname mismatch, certificate is not valid for 'localhost'); write an endpoint" in said
    )


async def test_a_server_that_speaks_no_tls_is_said_to_speak_none() -> None:
    async with without_tls() as url:
        said = await asked(url)
    assert f"{url} speaks no TLS (" in said
