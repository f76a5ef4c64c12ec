"""Probes of buckets, on a real server and on one that misbehaves: which bucket is good."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from nearbucket.config.buckets import Bucket, KeyFiles
from nearbucket.errors import OriginError
from nearbucket.replicas import bucket_probe as module
from nearbucket.replicas.bucket_probe import BucketHealth, BucketProbe, ProbeResult
from nearbucket.replicas.health.canaries import Canaries
from nearbucket.replicas.object_version import ABSENT
from nearbucket.s3.credentials import SdkCredentials
from tests.replicas.probing import OWNER, knowing, probe_at, probe_of, scripted
from tests.s3server import key_files
from tests.scripteds3 import Say, ScriptedS3, error, reply

if TYPE_CHECKING:
    from pathlib import Path

    from aiohttp import ClientSession

    from tests.conftest import LocalS3


@pytest.fixture
def wrong_keys(tmp_path: Path) -> KeyFiles:
    return key_files(tmp_path, "nobody", "nobody")


# the real server


async def test_keys_are_below_the_folder(s3: LocalS3, session: ClientSession) -> None:
    folder = probe_of(session, s3.entry(prefix="/big/"))
    assert (await folder.head_object("pack-1.0.tar.xz")).size > 0
    assert await folder.head_object("big/pack-1.0.tar.xz") == ABSENT
    assert (await folder.probe(knowing("pack-1.0.tar.xz"))).health is BucketHealth.GOOD


async def test_what_may_not_be_read_is_absent(
    s3: LocalS3, session: ClientSession, wrong_keys: KeyFiles
) -> None:
    for credentials in ("anonymous", wrong_keys):
        asks = probe_of(session, s3.entry(credentials=credentials))
        if credentials == "anonymous":
            assert await asks.head_object("one.bin") == ABSENT
        else:
            with pytest.raises(OriginError, match="answered 403 InvalidAccessKeyId"):
                await asks.head_object("one.bin")
        for canaries in (knowing(), knowing("one.bin")):
            found = await asks.probe(canaries)
            if credentials == "anonymous":
                assert found.health is BucketHealth.FORBIDDEN
            else:  # no request can be answered, so no client can be redirected
                assert found.health is BucketHealth.REFUSED
                assert found.text.endswith(": the keys are not accepted (InvalidAccessKeyId)")


async def test_a_good_bucket_is_good(s3: LocalS3, session: ClientSession) -> None:
    for keys in ((), ("one.bin",), ("deleted.bin",)):
        found = await probe_of(session, s3.entry()).probe(knowing(*keys))
        assert found == ProbeResult(BucketHealth.GOOD)
    public = s3.entry(s3.public, region="us-west-2", credentials="anonymous")
    assert (await probe_of(session, public).probe(knowing("one.bin"))).health is BucketHealth.GOOD


async def test_an_object_that_a_head_has_shown_is_unchanged_to_a_probe(
    s3: LocalS3, session: ClientSession
) -> None:
    asks, canaries = probe_of(session, s3.entry()), Canaries()
    canaries.note("one.bin", await asks.head_object("one.bin"))
    assert await asks.probe(canaries) == ProbeResult(BucketHealth.GOOD)


async def test_a_bucket_that_is_not_there_is_wrong(s3: LocalS3, session: ClientSession) -> None:
    found = await probe_of(session, s3.entry("no-such-bucket")).probe(knowing())
    assert found == ProbeResult(
        BucketHealth.WRONG, "there is no bucket no-such-bucket in us-east-1"
    )


async def test_nobody_there_is_a_failure(session: ClientSession) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        asks = probe_at(session, f"http://127.0.0.1:{held.getsockname()[1]}")
        with pytest.raises(OriginError, match="cannot be reached"):
            await asks.head_object("a")
        found = await asks.probe(knowing())
    assert found.health is BucketHealth.FAILED
    assert "cannot be reached" in found.text


@pytest.mark.parametrize("needed", [True, False])
async def test_without_credentials_a_bucket_fails_if_redirects_to_it_need_them(
    session: ClientSession,
    monkeypatch: pytest.MonkeyPatch,
    needed: bool,  # noqa: FBT001  # a cell
) -> None:
    health = BucketHealth.FAILED if needed else BucketHealth.UNASKED
    monkeypatch.setattr(module, "HEAD_TIMEOUT", 0.05)
    go = asyncio.Event()

    async def load() -> None:
        await go.wait()

    async with ScriptedS3() as server:
        values = {"endpoint": server.endpoint, "bucket": "bkt", "region": "us-east-1"}
        entry = Bucket.model_validate(values)
        asks = BucketProbe(entry, session, SdkCredentials(load), needs_credentials=needed)
        found = await asks.probe(knowing())
        assert found.health is health
        assert found.text.endswith("cannot be asked: no credentials within 0.05 s")
        go.set()
        found = await asks.probe(knowing())  # and now there are none
    assert found.health is health
    assert "bucket bkt in us-east-1 cannot be asked: no AWS credentials found" in found.text


# what AWS would say

EAST, WEST = "x-amz-bucket-region: us-east-1", "x-amz-bucket-region: us-west-2"


@pytest.mark.parametrize(
    ("says", "health"),
    [
        (("200 OK", EAST), BucketHealth.GOOD),
        (("200 OK",), BucketHealth.GOOD),
        (("301 Moved Permanently", WEST), BucketHealth.WRONG),
        (("307 Temporary Redirect", "location: http://x.example/"), BucketHealth.WRONG),
        (("400 Bad Request", WEST), BucketHealth.WRONG),
        (("403 Forbidden", WEST), BucketHealth.WRONG),
        (("403 Forbidden", EAST), BucketHealth.FORBIDDEN),
        (("404 Not Found", EAST), BucketHealth.WRONG),
        (("500 Internal Server Error",), BucketHealth.FAILED),
        (("503 Slow Down",), BucketHealth.FAILED),
    ],
)
async def test_a_bucket_of_aws_is_judged_by_status_and_region(
    session: ClientSession, says: tuple[str, ...], health: BucketHealth
) -> None:
    status, *fields = says
    async with ScriptedS3(Say(reply(status, b"", *fields))) as server:
        asks = scripted(session, server)
        asks._on_aws = True  # no endpoint: AWS's own, which names regions
        found = await asks.probe(knowing())
    assert found.health is health
    assert bool(found.text) is (health is not BucketHealth.GOOD)
    assert [(one.method, one.target) for one in server.asked] == [("HEAD", "/bkt/")]


@pytest.mark.parametrize("status", ["302 Found", "303 See Other"])
async def test_a_server_that_redirects_to_another_url_is_not_called_another_region(
    session: ClientSession, status: str
) -> None:
    moved = reply(status, b"", "location: https://s3.example/bkt/")
    async with ScriptedS3(Say(moved)) as server:
        found = await scripted(session, server).probe(knowing())
    text = f"redirects to another URL ({status[:3]}); correct its endpoint, or its region"
    assert (found.health, text in found.text) == (BucketHealth.WRONG, True)


@pytest.mark.parametrize("status", ["400 Bad Request", "401 Unauthorized", "429 Too Many Requests"])
async def test_what_refuses_us_in_any_way_is_not_good(session: ClientSession, status: str) -> None:
    async with ScriptedS3(Say(reply(status))) as server:
        assert (await scripted(session, server).probe(knowing())).health is not BucketHealth.GOOD


@pytest.mark.parametrize(
    ("object_says", "asked", "health"),
    [("200 OK", 2, BucketHealth.GOOD), ("404 Not Found", 2, BucketHealth.GOOD),
     ("403 Forbidden", 2, BucketHealth.FORBIDDEN), ("503 Slow Down", 1, BucketHealth.FAILED)],
)  # fmt: skip
async def test_a_bucket_that_we_may_not_list_is_judged_by_an_object(
    session: ClientSession, object_says: str, asked: int, health: BucketHealth
) -> None:
    script = Say(reply(object_says)), Say(reply("403 Forbidden"))
    async with ScriptedS3(*script) as server:
        assert (await scripted(session, server).probe(knowing("a b"))).health is health
        assert [one.target for one in server.asked] == ["/bkt/a%20b", "/bkt/"][:asked]


async def test_keys_that_were_requested_show_that_a_bucket_can_be_read(
    session: ClientSession,
) -> None:
    script = [Say(reply(status)) for status in (*["403 Forbidden"] * 3, "200 OK")]
    canaries = knowing("deleted")
    for key in ("requested", "before"):
        canaries.note_key(key)
    async with ScriptedS3(*script) as server:
        assert (await scripted(session, server).probe(canaries)).health is BucketHealth.GOOD
        targets = [one.target for one in server.asked]
    assert targets == ["/bkt/deleted", "/bkt/", "/bkt/before", "/bkt/requested"]
    assert canaries.keys == ("requested",)


async def test_a_bucket_of_another_account_is_forbidden_and_the_text_says_why(
    session: ClientSession,
) -> None:
    async with ScriptedS3(Say(reply("403 Forbidden"))) as server:
        found = await scripted(session, server, expected_owner=OWNER).probe(knowing())
    assert found.health is BucketHealth.FORBIDDEN
    assert f"or does not belong to account {OWNER}" in found.text


@pytest.mark.parametrize(
    ("head", "code", "health"),
    [
        ("403 Forbidden", "AccessDenied", BucketHealth.FORBIDDEN),
        ("403 Forbidden", "AllAccessDisabled", BucketHealth.FORBIDDEN),
        ("403 Forbidden", "SignatureDoesNotMatch", BucketHealth.REFUSED),
        ("403 Forbidden", "RequestTimeTooSkewed", BucketHealth.REFUSED),
        ("400 Bad Request", "ExpiredToken", BucketHealth.REFUSED),
    ],
)
@pytest.mark.parametrize("needed", [True, False])
async def test_a_bucket_that_refuses_the_keys_fails_if_redirects_need_them(
    session: ClientSession,
    head: str,
    code: str,
    health: BucketHealth,
    needed: bool,  # noqa: FBT001  # a cell
) -> None:
    async with ScriptedS3(Say(reply(head)), Say(error(head, code))) as server:
        values = {"bucket": "bkt", "region": "us-east-1", "credentials": "anonymous"}
        entry = Bucket.model_validate({"endpoint": server.endpoint, **values})
        asks = probe_of(session, entry, needs_credentials=needed)
        found = await asks.probe(knowing())
    assert found.health is (health if needed else BucketHealth.FORBIDDEN)
    assert (code in found.text) is (found.health is BucketHealth.REFUSED)


async def test_who_says_nothing_is_not_waited_for(
    session: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HEAD_TIMEOUT", 0.05)
    async with ScriptedS3(Say(b"", "hang"), Say(b"", "hang")) as server:
        asks = scripted(session, server)
        with pytest.raises(OriginError, match=r"did not answer within 0\.05 s") as caught:
            await asks.head_object("a")
        assert caught.value.status == 504
        assert (await asks.probe(knowing())).health is BucketHealth.FAILED


async def test_the_owner_is_named_and_checksums_are_asked_for(
    s3: LocalS3, session: ClientSession
) -> None:
    async with ScriptedS3(Say(reply("200 OK")), Say(reply("200 OK"))) as server:
        asks = scripted(session, server, expected_owner=OWNER, credentials=s3.files)
        await asks.head_object("a")
        await asks.probe(knowing())
    for asked in server.asked:
        assert asked.headers["x-amz-expected-bucket-owner"] == OWNER
        assert asked.headers["x-amz-checksum-mode"] == "ENABLED"
        signed = asked.headers["authorization"]
        assert "x-amz-checksum-mode;x-amz-content-sha256;x-amz-date;x-amz-expected" in signed
