"""The client of sync: its own requests and their answers are those of the SDK."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from nearbucket.cli.demo.seaweedfs import make_bucket
from nearbucket.config.buckets import Bucket
from nearbucket.errors import ConfigError, OriginError
from nearbucket.s3.bucket_location import BucketLocation
from nearbucket.s3.sdk import sdk_client
from nearbucket.s3.sdk.bucket_listing import pages_of
from nearbucket.s3.sdk.light_client import opened_light
from nearbucket.s3.sdk.sdk_client import PAGE, identified, is_unreachable, meaning, opened
from tests.scripteds3 import Say, ScriptedS3

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.conftest import LocalS3

BUCKET = "light-client"
ODD = ("a b", "a+b", "%2B", "é/😀", "<b>&amp;", "~!*'();:@$,[]", "x//y")
MANY: dict[str, Any] = {
    "ContentType": "application/gzip",
    "ContentEncoding": "gzip",
    "CacheControl": "public",
    "Metadata": {"build": "42"},
    "Tagging": "team=core&note=a%20b%2Bc",
    "ChecksumAlgorithm": "CRC32",
}
ASKED = {"ChecksumMode": "ENABLED", "PartNumber": 1}


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have attempts follow at once: pauses are shorter than so many seconds, by chance."""
    monkeypatch.setattr(random, "random", lambda: 0.0)


@pytest.fixture(scope="session")  # a module's may be made again in another order of tests
def place(s3: LocalS3) -> BucketLocation:
    async def fill() -> None:
        async with s3.server.client() as client:
            await make_bucket(client, BUCKET)
            for key in ODD:
                await client.put_object(Bucket=BUCKET, Key=f"dl/{key}", Body=key.encode(), **MANY)

    asyncio.run(fill())
    return BucketLocation("x", s3.entry(BUCKET, prefix="dl"), s3.files, owner="123456789012")


def compared(answer: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """The members of the SDK's answer that the other has, too, without date and id."""
    found = {name: known[name] for name in answer if name != "ResponseMetadata"}
    told = {name: known["ResponseMetadata"][name] for name in ("HTTPStatusCode", "HTTPHeaders")}
    return found | {"ResponseMetadata": told}


def plain(answer: dict[str, Any]) -> dict[str, Any]:
    for name in ("date", "x-amz-request-id"):
        answer["ResponseMetadata"]["HTTPHeaders"].pop(name, None)
    return answer


async def test_objects_are_described_as_by_the_sdk(place: BucketLocation) -> None:
    async with opened_light(place) as light, opened(place) as sdk:
        for key in ODD:
            asked = place.arguments(key)
            head = plain(await light.head_object(**asked, **ASKED))
            assert head == compared(head, plain(await sdk.head_object(**asked, **ASKED)))
            assert head.keys() >= {"ETag", "LastModified", "ContentEncoding", "ContentLength"}
            tags = plain(await light.get_object_tagging(**asked))
            assert tags == compared(tags, plain(await sdk.get_object_tagging(**asked)))
            assert len(tags["TagSet"]) == 2


@pytest.mark.parametrize("key", ODD[:4])
async def test_a_copy_has_all_of_its_source_or_the_fields_that_are_sent(
    place: BucketLocation, key: str
) -> None:
    copy = {**place.arguments(f"copy/{key}"), **place.copy_source(key)}
    async with opened_light(place) as light:
        head = await light.head_object(**place.arguments(key))
        made = await light.copy_object(
            CopySourceIfMatch=head["ETag"],
            MetadataDirective="COPY",
            TaggingDirective="COPY",
            **copy,
        )
        assert made["CopyObjectResult"]["ETag"].strip('"') == head["ETag"].strip('"')
        arguments = place.arguments(f"copy/{key}")
        fields = (await light.head_object(**arguments))["ResponseMetadata"]["HTTPHeaders"]
        assert (fields["x-amz-meta-build"], fields["cache-control"]) == ("42", "public")
        assert len((await light.get_object_tagging(**arguments))["TagSet"]) == 2
        sent = {"x-amz-meta-build": "43", "content-type": "text/plain"}
        await light.copy_object(sent, MetadataDirective="REPLACE", **copy)
        fields = (await light.head_object(**arguments))["ResponseMetadata"]["HTTPHeaders"]
        assert fields.items() >= sent.items()
        with pytest.raises(ClientError, match="PreconditionFailed"):
            await light.copy_object(CopySourceIfMatch='"other"', MetadataDirective="COPY", **copy)


async def test_a_listing_is_that_of_the_sdk(place: BucketLocation) -> None:
    asked = {**place.arguments(), "Prefix": "dl/", "MaxKeys": 3}
    async with opened_light(place) as light, opened(place) as sdk:
        page = (await light.list_objects_v2(**asked))[PAGE]
        assert page == (await sdk.list_objects_v2(**asked))[PAGE]
        assert len(page.objects) == 3
        asked["ContinuationToken"] = page.next_token
        rest = (await light.list_objects_v2(**asked))[PAGE]
    assert rest.objects[0] not in page.objects


async def test_all_other_requests_are_those_of_the_sdk(place: BucketLocation) -> None:
    async with opened_light(place) as light:
        await light.put_object(**place.arguments("other"), Body=b"by the SDK")
        answer = await light.get_object(**place.arguments("other"))
        assert await answer["Body"].read() == b"by the SDK"


@pytest.mark.parametrize(
    "request_of",
    [
        lambda client: client.head_object(Bucket=BUCKET, Key="dl/nowhere"),
        lambda client: client.head_object(Bucket=BUCKET, Key="dl/a b", IfMatch='"x"'),
        lambda client: client.get_object_tagging(Bucket=BUCKET, Key="dl/nowhere"),
        lambda client: client.copy_object(
            Bucket=BUCKET, Key="c", CopySource={"Bucket": BUCKET, "Key": "nowhere"}
        ),
    ],
)
async def test_an_error_has_the_code_and_the_text_of_the_sdk(
    place: BucketLocation, request_of: Callable[[Any], Awaitable[Any]]
) -> None:
    found = []
    async with opened_light(place) as light, opened(place) as sdk:
        for client in (light, sdk):
            with pytest.raises(ClientError) as caught:
                await request_of(client)
            found.append((caught.value.response["Error"]["Code"], str(caught.value)))
    assert found[0] == found[1]


# ---- what no real server does on demand

COPIED = b"<CopyObjectResult><ETag>&quot;e&quot;</ETag></CopyObjectResult>"
SLOW = b"<?xml version='1.0'?>\n<Error><Code>SlowDown</Code><Message>m</Message></Error>"
COPY: dict[str, Any] = {"Bucket": "bkt", "Key": "k", "CopySource": {"Bucket": "o", "Key": "k"}}


def reply(status: str, body: bytes = b"", *fields: str) -> Say:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields, "", ""]
    return Say("\r\n".join(lines).encode() + body)


def at(server: ScriptedS3, **more: Any) -> BucketLocation:
    entry = Bucket(bucket="bkt", region="us-east-1", endpoint=server.endpoint, **more)
    return BucketLocation("sites.0.targets.x", entry, entry.credentials)


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(reply("503 Slow Down", SLOW), id="busy"),
        pytest.param(reply("200 OK", SLOW), id="an error after the head"),
        pytest.param(reply("500 Oops", b"no XML"), id="an error without a document"),
        pytest.param(Say(b"", then="close"), id="no answer"),
        pytest.param(
            Say(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n<Cop", then="close"), id="broken off"
        ),
        pytest.param(reply("200 OK", b"<?xml version='1.0'?>\n  "), id="cut document"),
        pytest.param(reply("200 OK", COPIED[:-9]), id="cut element"),
        pytest.param(
            reply("200 OK", b"<?xml version='1.0' encoding='shift_jis'?><html/>"), id="no copy"
        ),
        pytest.param(
            reply("400 Bad", b"<Error><Code>RequestTimeout</Code></Error>"), id="too slow"
        ),
    ],
)
async def test_what_may_pass_is_asked_again(first: Say) -> None:
    async with ScriptedS3(first, first, reply("200 OK", COPIED)) as server:
        async with opened_light(at(server, credentials="anonymous")) as light:
            answer = await light.copy_object(**COPY)
        assert answer["CopyObjectResult"]["ETag"] == '"e"'
        assert len(server.asked) == 3


LISTED = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"


@pytest.mark.parametrize("first", [LISTED[:40], b"", b"<html/>", b"<html>"])
async def test_a_listing_that_is_none_is_asked_for_again(first: bytes) -> None:
    cut = reply("200 OK", first)
    async with ScriptedS3(
        cut, cut, reply("200 OK", b"\n  <?xml version='1.0'?>" + LISTED)
    ) as server:
        async with opened_light(at(server, credentials="anonymous")) as light:
            assert (await light.list_objects_v2(Bucket="bkt"))[PAGE].objects == []
        assert len(server.asked) == 3


async def test_a_listing_that_does_not_come_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sdk_client, "READ_SECONDS", 0.1)
    async with ScriptedS3(Say(b"", then="hang"), reply("200 OK", LISTED)) as server:
        async with opened_light(at(server, credentials="anonymous")) as light:
            assert (await light.list_objects_v2(Bucket="bkt"))[PAGE].objects == []
        assert len(server.asked) == 2


async def test_a_large_copy_is_waited_for_and_a_small_one_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """S3 gives no byte until a copy is done."""
    monkeypatch.setattr(sdk_client, "READ_SECONDS", 0.1)
    late = replace(reply("200 OK", COPIED), after=0.4)
    async with ScriptedS3(late, Say(b"", then="hang"), reply("200 OK", COPIED)) as server:
        async with opened_light(at(server, credentials="anonymous")) as light:
            await light.copy_object(**COPY, size=10**9)
            assert len(server.asked) == 1
            await light.copy_object(**COPY, size=1)
        assert len(server.asked) == 3


async def test_a_server_that_never_lists_is_an_error_of_the_server() -> None:
    async with ScriptedS3(*[reply("200 OK", b"<html/>")] * 2) as server:
        location = at(server, credentials="anonymous")
        async with opened_light(location, attempts=2) as light:
            with pytest.raises(
                OriginError,
                match=r"x: bucket bkt.*: the document is not a listing; is the endpoint",
            ):
                await anext(pages_of(light, location))
        assert len(server.asked) == 2


async def test_after_all_attempts_the_error_counts() -> None:
    async with ScriptedS3(*[reply("200 OK", SLOW)] * 3) as server:
        async with opened_light(at(server, credentials="anonymous"), attempts=2) as light:
            with pytest.raises(ClientError, match=r"SlowDown.* CopyObject"):
                await light.copy_object(**COPY)
        assert len(server.asked) == 2


async def test_what_will_not_pass_is_asked_once() -> None:
    refused = reply("403 Forbidden", b"<Error><Code>AccessDenied</Code></Error>")
    async with ScriptedS3(refused, refused) as server:
        async with opened_light(at(server, credentials="anonymous")) as light:
            with pytest.raises(ClientError, match="AccessDenied"):
                await light.copy_object(**COPY)
        assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("document", "lacks", "attempts"),
    [
        (b"<html/>", "no CopyObjectResult", 2),
        (b"<CopyObjectResult/>", "no 'ETag'; update the server", 1),
    ],
)
async def test_a_copy_without_its_document_is_an_error(
    document: bytes, lacks: str, attempts: int
) -> None:
    """And what a whole document lacks, another copy would lack too."""
    async with (
        ScriptedS3(*[reply("200 OK", document)] * 2) as server,
        opened_light(at(server, credentials="anonymous"), attempts=2) as light,
    ):
        with pytest.raises(BotoCoreError, match=lacks):
            await light.copy_object(**COPY)
        assert len(server.asked) == attempts


@pytest.mark.parametrize(
    ("field", "lacking"),
    [("Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT", "ETag"), ('ETag: "x"', "Last-Modified")],
)
async def test_a_response_that_does_not_identify_the_version_says_what_to_update(
    field: str, lacking: str
) -> None:
    """Only where the version matters; and no other attempt would find more."""
    async with (
        ScriptedS3(reply("200 OK", b"", field)) as server,
        opened_light(at(server, credentials="anonymous")) as light,
    ):
        head = await light.head_object(Bucket="bkt", Key="k")
    with pytest.raises(BotoCoreError, match=f"no {lacking}; update the server"):
        identified(head)


@pytest.mark.parametrize(
    ("date", "read"),
    [
        ("Thu, 01 Jan 2026 00:00:00 GMT", datetime(2026, 1, 1, tzinfo=UTC)),
        ("Thu, 01 Jan 2026 00:00:00 -0000", datetime(2026, 1, 1, tzinfo=UTC)),
        ("yesterday", None),
    ],
)
async def test_a_date_of_a_head_is_in_utc_or_none(date: str, read: datetime | None) -> None:
    async with (
        ScriptedS3(reply("200 OK", b"", 'ETag: "x"', f"Last-Modified: {date}")) as server,
        opened_light(at(server, credentials="anonymous")) as light,
    ):
        head = await light.head_object(Bucket="bkt", Key="k")
    assert head.get("LastModified") == read


async def test_a_listing_that_is_not_found_is_no_missing_object() -> None:
    """As of a web server, whose responses have no code of S3."""
    async with (
        ScriptedS3(reply("404 Not Found", b"<html/>")) as server,
        opened_light(at(server, credentials="anonymous")) as light,
    ):
        with pytest.raises(ClientError) as caught:
            await light.list_objects_v2(Bucket="bkt")
    assert meaning(caught.value) == ("404: there is no such bucket; create it, or correct the name")


async def test_a_bucket_is_asked_in_the_region_that_s3_names(s3: LocalS3) -> None:
    moved = reply("301 Moved", SLOW, "x-amz-bucket-region: eu-west-1")
    done = reply("200 OK", COPIED)
    async with ScriptedS3(moved, done, done) as server:
        async with opened_light(at(server, credentials=s3.files)) as light:
            await light.copy_object(**COPY)
            await light.copy_object(**COPY)
        scopes = [asked.headers["authorization"].split("/")[2] for asked in server.asked]
    assert scopes == ["us-east-1", "eu-west-1", "eu-west-1"]


async def test_requests_under_way_are_all_sent_again_to_the_region_that_s3_names(
    s3: LocalS3,
) -> None:
    moved = reply("301 Moved", b"", "x-amz-bucket-region: eu-west-1")
    # each is under way before the first response comes
    script = [replace(moved, after=0.5)] * 8 + [reply("200 OK", COPIED)] * 8
    async with ScriptedS3(*script) as server:
        async with opened_light(at(server, credentials=s3.files)) as light:
            await asyncio.gather(*(light.copy_object(**COPY) for _ in range(8)))
        scopes = [asked.headers["authorization"].split("/")[2] for asked in server.asked]
    assert scopes == ["us-east-1"] * 8 + ["eu-west-1"] * 8


async def test_a_server_that_cannot_be_reached_is_named_as_by_the_sdk() -> None:
    async with ScriptedS3() as server:
        location = at(server, credentials="anonymous")
    found = []
    for open_client in (opened_light, opened):
        async with open_client(location, attempts=1) as client:
            with pytest.raises(BotoCoreError) as caught:
                await client.head_object(Bucket="bkt", Key="k")
        assert is_unreachable(caught.value)
        found.append(meaning(caught.value).partition('"')[0])
    assert found[0] == found[1] != ""


async def test_files_without_keys_are_named(tmp_path: Path) -> None:
    files = {"access_key_file": tmp_path / "none", "secret_key_file": tmp_path / "none"}
    async with ScriptedS3() as server, opened_light(at(server, credentials=files)) as light:
        with pytest.raises(ConfigError, match=r"^sites\.0\.targets\.x\.credentials\.access_key"):
            await light.copy_object(**COPY)


async def test_the_account_that_pays_and_the_owner_are_sent(s3: LocalS3) -> None:
    async with ScriptedS3(reply("200 OK", COPIED)) as server:
        location = at(server, credentials=s3.files, request_payer=True, expected_owner="1" * 12)
        async with opened_light(location) as light:
            await light.copy_object(**COPY, ExpectedSourceBucketOwner="2" * 12)
        headers = server.asked[0].headers
    assert headers["x-amz-request-payer"] == "requester"
    assert headers["x-amz-expected-bucket-owner"] == "1" * 12
    assert headers["x-amz-source-expected-bucket-owner"] == "2" * 12
    assert headers["x-amz-copy-source"] == "o/k"


async def test_the_account_that_pays_for_the_origin_is_sent_to_the_target(s3: LocalS3) -> None:
    async with ScriptedS3(reply("200 OK", COPIED)) as server:
        origin = at(server, credentials=s3.files, request_payer=True)
        async with opened_light(at(server, credentials=s3.files)) as light:
            await light.copy_object(Bucket="bkt", Key="k", **origin.copy_source("k"))
        assert server.asked[0].headers["x-amz-request-payer"] == "requester"
