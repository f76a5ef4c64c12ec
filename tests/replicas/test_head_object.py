"""A HEAD of one object: what it shows of the version, its marks, and what is an error."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from nearbucket.config.buckets import Bucket, KeyFiles
from nearbucket.errors import OriginError
from nearbucket.replicas.object_version import ABSENT, LOCKED, ObjectVersion
from tests.conftest import SAMPLES
from tests.origin.test_error_response import encrypted
from tests.replicas.probing import probe_at, probe_of, scripted
from tests.scripteds3 import Say, ScriptedS3, error, reply

if TYPE_CHECKING:
    from pathlib import Path

    from aiohttp import ClientSession

    from tests.conftest import LocalS3

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


async def test_keys_that_cannot_be_read_are_not_taken_for_an_answer(
    s3: LocalS3, session: ClientSession, tmp_path: Path
) -> None:
    files = KeyFiles(access_key_file=tmp_path / "none", secret_key_file=tmp_path / "none")
    with pytest.raises(OriginError, match="access_key_file"):
        await probe_of(session, s3.entry(credentials=files)).head_object("one.bin")


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


async def test_an_object_without_a_size_is_an_error(session: ClientSession) -> None:
    async with ScriptedS3(Say(b'HTTP/1.1 200 OK\r\nETag: "e"\r\n\r\n', "close")) as server:
        with pytest.raises(OriginError, match="sent no size"):
            await scripted(session, server).head_object("a")


@pytest.mark.parametrize("endpoint", ["http://a..b:80", f"http://{'a' * 64}.example"])
async def test_a_host_that_no_name_can_have_is_a_failure_too(
    session: ClientSession, endpoint: str
) -> None:
    values = {"bucket": "bkt", "region": "us-east-1", "credentials": "anonymous"}
    asks = probe_of(session, Bucket.model_validate({"endpoint": endpoint, **values}))
    with pytest.raises(OriginError):
        await asks.head_object("a")


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
