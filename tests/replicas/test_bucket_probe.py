"""Probes of objects and buckets, on a real server and on one that misbehaves."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import pytest

from nearbucket.config.buckets import Bucket, KeyFiles
from nearbucket.errors import OriginError
from nearbucket.replicas import bucket_probe as module
from nearbucket.replicas.bucket_probe import BucketHealth, BucketProbe, ProbeResult
from nearbucket.replicas.health.canaries import Canaries
from nearbucket.replicas.object_version import ABSENT, LOCKED, ObjectVersion
from nearbucket.s3.credentials import SdkCredentials
from tests.conftest import SAMPLES
from tests.origin.test_error_response import encrypted
from tests.scripteds3 import Say, ScriptedS3, error, reply

if TYPE_CHECKING:
    from pathlib import Path

    from aiohttp import ClientSession

    from tests.conftest import LocalS3

OWNER = "123456789012"


def probe_of(session: ClientSession, entry: Bucket, **more: Any) -> BucketProbe:
    return BucketProbe(entry, session, SdkCredentials(), **more)


def probe_at(
    session: ClientSession, endpoint: str, *, reads_marks: bool = False, **more: Any
) -> BucketProbe:
    values = {"bucket": "bkt", "region": "us-east-1", "credentials": "anonymous", **more}
    entry = Bucket.model_validate({"endpoint": endpoint, **values})
    return probe_of(session, entry, reads_marks=reads_marks)


def knowing(*keys: str) -> Canaries:
    """Canaries that know these keys, from a listing."""
    canaries = Canaries()
    for key in keys:
        canaries.note(key, None)
    return canaries


def scripted(session: ClientSession, server: ScriptedS3, **more: Any) -> BucketProbe:
    return probe_at(session, server.endpoint, **more)


@pytest.fixture
def wrong_keys(tmp_path: Path) -> KeyFiles:
    for name in ("access", "secret"):
        (tmp_path / name).write_text("nobody\n")
    return KeyFiles(access_key_file=tmp_path / "access", secret_key_file=tmp_path / "secret")


# the real server


@pytest.mark.parametrize("key", SAMPLES)
async def test_what_a_listing_says_a_head_says_too(
    s3: LocalS3, session: ClientSession, key: str
) -> None:
    async with s3.server.client() as client:
        listing = await client.list_objects_v2(Bucket=s3.private, Prefix=key)
    listed = {one["Key"]: (one["Size"], one["ETag"].strip('"')) for one in listing["Contents"]}
    held = await probe_of(session, s3.entry()).head_object(key)
    assert (held.size, held.etag) == listed[key]
    assert held.size == len(s3.objects[key])


async def test_both_buckets_hold_the_same(s3: LocalS3, session: ClientSession) -> None:
    east = probe_of(session, s3.entry())
    west = probe_of(session, s3.entry(s3.public, region="us-west-2", credentials="anonymous"))
    for key in SAMPLES:
        assert (await east.head_object(key)).equals(await west.head_object(key))
    assert not (await east.head_object("one.bin")).equals(await west.head_object("text.txt"))


@pytest.mark.parametrize("key", ["nothing.bin", "one.bin/", "ONE.BIN", "", "x" * 1025, "ü" * 513])
async def test_what_is_not_there_is_absent(s3: LocalS3, session: ClientSession, key: str) -> None:
    assert await probe_of(session, s3.entry()).head_object(key) == ABSENT


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
                assert found.health is BucketHealth.FAILED
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


async def test_keys_that_cannot_be_read_are_not_taken_for_an_answer(
    s3: LocalS3, session: ClientSession, tmp_path: Path
) -> None:
    files = KeyFiles(access_key_file=tmp_path / "none", secret_key_file=tmp_path / "none")
    with pytest.raises(OriginError, match="access_key_file"):
        await probe_of(session, s3.entry(credentials=files)).head_object("one.bin")


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


async def tagged(s3: LocalS3, key: str, **tags: str) -> ObjectVersion:
    """Make a copy with these tags, in which COPY stands for its ETag; the origin's object."""
    async with s3.server.client() as client:
        made = await client.put_object(Bucket=s3.private, Key=key, Body=b"copy")
        etag = made["ETag"].strip('"')
        values = {name: value.replace("COPY", etag) for name, value in tags.items()}
        pairs = [{"Key": name.replace("_", "-"), "Value": value} for name, value in values.items()]
        await client.put_object_tagging(Bucket=s3.private, Key=key, Tagging={"TagSet": pairs})
    return ObjectVersion(4, "origin-2")


@pytest.mark.parametrize(
    ("tags", "equal"),
    [
        pytest.param({"nearbucket_origin_etag": "origin-2 COPY"}, True, id="marked"),
        pytest.param({"a": "b = @ /", "nearbucket_origin_etag": "origin-2 COPY", "z": "ü"}, True,
                     id="among other tags"),
        pytest.param({"nearbucket_origin_etag": "other-2 COPY"}, False, id="for another object"),
        pytest.param({"nearbucket_origin_etag": "origin-2 0cc1"}, False, id="of another copy"),
        pytest.param({"nearbucket_origin_etag": "origin-2"}, False, id="of no copy"),
        pytest.param({"nearbucket_origin_etag": ""}, False, id="empty"),
        pytest.param({"nearbucket_origin": "origin-2 COPY"}, False, id="another tag"),
    ],
)  # fmt: skip
async def test_a_mark_makes_a_copy_equal_to_what_it_names(
    s3: LocalS3,
    session: ClientSession,
    tags: dict[str, str],
    equal: bool,  # noqa: FBT001  # a cell
) -> None:
    origin = await tagged(s3, "marks/a.bin", **tags)
    version = await probe_of(session, s3.entry(), reads_marks=True).head_object("marks/a.bin")
    assert origin.equals(version) is equal
    assert origin.equals(await probe_of(session, s3.entry()).head_object("marks/a.bin")) is False


@pytest.mark.parametrize(("etag", "equal"), [("origin-2", True), ("other-2", False), ("", False)])
async def test_a_mark_in_metadata_makes_a_copy_equal_without_reading_its_tags(
    s3: LocalS3,
    session: ClientSession,
    etag: str,
    equal: bool,  # noqa: FBT001  # a cell
) -> None:
    key, metadata = "marks/m.bin", {"nearbucket-origin-etag": etag}
    async with s3.server.client() as client:
        await client.put_object(Bucket=s3.private, Key=key, Body=b"copy", Metadata=metadata)
    origin = ObjectVersion(4, "origin-2")
    version = await probe_of(session, s3.entry(), reads_marks=True).head_object(key)
    assert origin.equals(version) is equal
    assert origin.equals(await probe_of(session, s3.entry()).head_object(key)) is False


async def test_a_copy_that_is_overwritten_has_no_mark(s3: LocalS3, session: ClientSession) -> None:
    origin = await tagged(s3, "marks/b.bin", nearbucket_origin_etag="origin-2 COPY")
    asks = probe_of(session, s3.entry(), reads_marks=True)
    assert origin.equals(await asks.head_object("marks/b.bin"))
    async with s3.server.client() as client:
        await client.put_object(Bucket=s3.private, Key="marks/b.bin", Body=b"copy")
    assert origin.equals(await asks.head_object("marks/b.bin")) is False


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


@pytest.mark.parametrize("status", ["301 Moved Permanently", "503 Slow Down"])
async def test_an_object_of_which_s3_does_not_say_is_an_error(
    session: ClientSession, status: str
) -> None:
    async with ScriptedS3(Say(reply(status))) as server:
        with pytest.raises(OriginError, match=f"bucket bkt in us-east-1 answered {status[:3]}"):
            await scripted(session, server).head_object("a")


@pytest.mark.parametrize(
    ("head", "get", "found"),
    [
        ("403 Forbidden", error("403 Forbidden", "AccessDenied"), ABSENT),
        ("403 Forbidden", error("404 Not Found", "NoSuchKey"), ABSENT),
        ("400 Bad Request", encrypted(), LOCKED),
        (
            "403 Forbidden",
            error("403 Forbidden", "InvalidObjectState"),
            LOCKED._replace(unreadable="archived"),
        ),
    ],
)
async def test_a_get_of_one_byte_tells_what_a_refused_head_means(
    session: ClientSession, head: str, get: bytes, found: ObjectVersion
) -> None:
    async with ScriptedS3(Say(reply(head)), Say(get)) as server:
        assert await scripted(session, server).head_object("a") == found


@pytest.mark.parametrize(
    "barriers", [frozenset(), frozenset({"archived"})], ids=["origin", "target"]
)
async def test_a_copy_is_gone_with_its_bucket_but_of_an_origin_that_is_an_error(
    session: ClientSession, barriers: frozenset[str]
) -> None:
    no_bucket = Say(reply("404 Not Found")), Say(error("404 Not Found", "NoSuchBucket"))
    async with ScriptedS3(*no_bucket) as server:
        values = {"bucket": "bkt", "region": "us-east-1", "credentials": "anonymous"}
        entry = Bucket.model_validate({"endpoint": server.endpoint, **values})
        probe = probe_of(session, entry, barriers=barriers)
        if barriers:
            assert await probe.head_object("a") == ABSENT
        else:
            with pytest.raises(OriginError, match="NoSuchBucket"):
                await probe.head_object("a")


@pytest.mark.parametrize(
    ("head", "get", "why"),
    [
        ("403 Forbidden", error("403 Forbidden", "InvalidAccessKeyId"), "403 InvalidAccessKeyId"),
        ("403 Forbidden", error("403 Forbidden", "AllAccessDisabled"), "403 AllAccessDisabled"),
        ("403 Forbidden", error("404 Not Found", "NoSuchBucket"), "404 NoSuchBucket"),
        ("403 Forbidden", reply("403 Forbidden"), "403 for an object"),
        ("403 Forbidden", reply("206 Partial Content", b"x"), "403 to a HEAD of a readable"),
        ("400 Bad Request", error("400 Bad Request", "ExpiredToken"), "400 ExpiredToken"),
    ],
)
async def test_a_head_is_an_error_if_s3_refuses_more_than_the_object(
    session: ClientSession, head: str, get: bytes, why: str
) -> None:
    async with ScriptedS3(Say(reply(head)), Say(get)) as server:
        named = f"bucket bkt in us-east-1 answered {why}"
        with pytest.raises(OriginError, match=named) as raised:
            await scripted(session, server).head_object("a")
    assert raised.value.status == 502


@pytest.mark.parametrize(
    ("head", "code", "health"),
    [
        ("403 Forbidden", "AccessDenied", BucketHealth.FORBIDDEN),
        ("403 Forbidden", "AllAccessDisabled", BucketHealth.FORBIDDEN),
        ("403 Forbidden", "SignatureDoesNotMatch", BucketHealth.FAILED),
        ("403 Forbidden", "RequestTimeTooSkewed", BucketHealth.FAILED),
        ("400 Bad Request", "ExpiredToken", BucketHealth.FAILED),
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
    assert (code in found.text) is (found.health is BucketHealth.FAILED)


async def test_an_object_without_a_size_is_an_error(session: ClientSession) -> None:
    async with ScriptedS3(Say(b'HTTP/1.1 200 OK\r\nETag: "e"\r\n\r\n', "close")) as server:
        with pytest.raises(OriginError, match="sent no size"):
            await scripted(session, server).head_object("a")


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


@pytest.mark.parametrize("endpoint", ["http://a..b:80", f"http://{'a' * 64}.example"])
async def test_a_host_that_no_name_can_have_is_a_failure_too(
    session: ClientSession, endpoint: str
) -> None:
    values = {"bucket": "bkt", "region": "us-east-1", "credentials": "anonymous"}
    asks = probe_of(session, Bucket.model_validate({"endpoint": endpoint, **values}))
    with pytest.raises(OriginError):
        await asks.head_object("a")


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


HEAD = reply("200 OK", b"", 'etag: "e-2"', "x-amz-tagging-count: 1")


async def test_tags_are_asked_for_only_where_there_are_some(session: ClientSession) -> None:
    async with ScriptedS3(Say(reply("200 OK", b"", 'etag: "e-2"'))) as server:
        await scripted(session, server, reads_marks=True).head_object("a b")
        assert [one.method for one in server.asked] == ["HEAD"]
    async with ScriptedS3(Say(HEAD), Say(reply("403 Forbidden"))) as server:
        version = await scripted(session, server, reads_marks=True).head_object("a b")
        assert [one.target for one in server.asked] == ["/bkt/a%20b", "/bkt/a%20b?tagging="]
    assert version.checksums == ""


@pytest.mark.parametrize("status", ["429 Too Many Requests", "500 Internal", "503 Slow Down"])
async def test_tags_of_which_s3_does_not_say_are_an_error(
    session: ClientSession, status: str
) -> None:
    async with ScriptedS3(Say(HEAD), Say(reply(status))) as server:
        with pytest.raises(OriginError, match="for an object's tags"):
            await scripted(session, server, reads_marks=True).head_object("a")


async def test_a_bucket_behind_an_ipv6_address_is_asked_by_it(session: ClientSession) -> None:
    asked: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 7\r\nETag: "e"\r\n\r\n')
        writer.close()

    server = await asyncio.start_server(answer, "::1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        asks = probe_at(session, f"http://[::1]:{port}")
        assert (await asks.head_object("a")).size == 7
    head = asked[0].lower()
    assert head.startswith("head /bkt/a http/1.1\r\n")
    assert f"\r\nhost: [::1]:{port}\r\n" in head
