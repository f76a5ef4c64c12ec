"""Checks of one bucket: on a local S3 server, and on one with scripted answers of AWS."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    ProfileNotFound,
    SSLError,
)

from nearbucket.cli.check.bucket_inspection import (
    BucketInquiry,
    InspectedBucket,
    cors_finding,
    inspect,
    trouble,
)
from nearbucket.cli.check.finding import Level
from nearbucket.config.buckets import Bucket, KeyFiles
from nearbucket.s3.bucket_location import BucketLocation
from nearbucket.s3.sdk.sdk_client import opened
from nearbucket.s3.tls_trust import REMEDY
from tests.s3server import key_files
from tests.scripteds3 import Say, ScriptedS3, error, reply, without_tls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.conftest import LocalS3

OWNER = "123456789012"
THERE = Say(reply("200 OK"))
IN_EAST = Say(reply("200 OK", b"", "x-amz-bucket-region: us-east-1"))
IN_WEST = Say(reply("200 OK", b"", "x-amz-bucket-region: us-west-2"))
ELSEWHERE = Say(reply("301 Moved Permanently", b"", "x-amz-bucket-region: us-west-2"))
FORBIDDEN = Say(reply("403 Forbidden"))
DENIED = Say(error("403 Forbidden", "AccessDenied"))
LISTED = Say(reply("200 OK", b"<ListBucketResult><KeyCount>0</KeyCount></ListBucketResult>"))
NO_RULES = Say(error("404 Not Found", "NoSuchCORSConfiguration"))


def place(endpoint: str, **more: Any) -> BucketLocation:
    values = {"bucket": "bkt", "region": "us-east-1", "credentials": "anonymous", **more}
    entry = Bucket.model_validate({"endpoint": endpoint, **values})
    return BucketLocation("sites.0.origin", entry, entry.credentials, entry.expected_owner)


@asynccontextmanager
async def scripted(*script: Say, **more: Any) -> AsyncIterator[BucketInquiry]:
    async with (
        ScriptedS3(*script) as server,
        opened(place(server.endpoint, **more), attempts=1) as client,
    ):
        yield BucketInquiry(place(server.endpoint, **more), client)


def said(found: InspectedBucket) -> list[tuple[str, str, str, str]]:
    return [(each.level.value, each.about, each.text, each.fix) for each in found.findings]


@pytest.fixture
def wrong_keys(tmp_path: Path) -> KeyFiles:
    return key_files(tmp_path, "nothing", "nothing")


@pytest.fixture
async def downloads(s3: LocalS3) -> AsyncIterator[BucketInquiry]:
    where = place(s3.server.endpoint, bucket=s3.private, credentials=s3.files)
    async with opened(where, attempts=1) as client:
        yield BucketInquiry(where, client)


async def on(where: BucketLocation) -> InspectedBucket:
    async with opened(where, attempts=1) as client:
        return await inspect(BucketInquiry(where, client))


# the real server


async def test_a_good_bucket_is_one_finding(downloads: BucketInquiry) -> None:
    found = await inspect(downloads, ["sites.1.origin"])
    text = "bucket downloads exists, and can be listed (also sites.1.origin)"
    assert said(found) == [("ok", "bucket", text, "")]
    assert found.listable


async def test_a_bucket_that_is_not_there_is_wrong(s3: LocalS3) -> None:
    found = await on(place(s3.server.endpoint, bucket="nope", credentials=s3.files))
    assert said(found) == [
        (
            "wrong",
            "bucket",
            "bucket nope: there is no such bucket (404)",
            "create it, or correct the name",
        )
    ]
    assert found.inquiry is None


@pytest.mark.parametrize(
    ("wrong", "code"), [("access", "InvalidAccessKeyId"), ("secret", "SignatureDoesNotMatch")]
)
async def test_wrong_keys_are_told_from_missing_rights(
    s3: LocalS3, tmp_path: Path, wrong: str, code: str
) -> None:
    keys = {"access": s3.server.access_key, "secret": s3.server.secret_key, wrong: "nonsense"}
    for name, value in keys.items():
        (tmp_path / name).write_text(value)
    files = {f"{name}_key_file": str(tmp_path / name) for name in keys}
    found = await on(place(s3.server.endpoint, bucket=s3.private, credentials=files))
    text = f"bucket downloads: the keys are not accepted ({code})"
    assert said(found) == [("wrong", "credentials", text, "correct the credentials")]


async def test_a_bucket_that_all_may_read_but_not_list_is_a_warning(s3: LocalS3) -> None:
    found = await on(place(s3.server.endpoint, bucket=s3.public))
    ((level, about, text, fix),) = said(found)
    assert (level, about) == ("warning", "list")
    assert "403 for missing keys" in text
    assert fix == "allow everyone s3:ListBucket on it"
    assert found.inquiry is not None
    assert not found.listable


async def test_an_endpoint_that_is_not_reached_is_marked(unused_tcp_port: int) -> None:
    found = await on(place(f"http://127.0.0.1:{unused_tcp_port}"))
    (finding,) = found.findings
    assert (finding.level, finding.reached) == (Level.WRONG, False)
    assert finding.text.startswith("bucket bkt cannot be reached: ")


# what AWS says and SeaweedFS does not


async def test_the_region_that_s3_names_is_said() -> None:
    async with scripted(IN_EAST, LISTED, NO_RULES) as inquiry:
        (finding,) = (await inspect(inquiry)).findings
    assert finding.text == "bucket bkt exists in us-east-1, and can be listed"


@pytest.mark.parametrize(
    "script",
    [
        # botocore follows once, and what it is told then counts
        pytest.param([ELSEWHERE, IN_WEST, LISTED, NO_RULES], id="followed"),
        pytest.param([ELSEWHERE, ELSEWHERE], id="not to be followed"),
        pytest.param([IN_WEST, LISTED, NO_RULES], id="answered all the same"),
    ],
)
async def test_a_bucket_in_another_region_is_wrong_and_the_region_is_named(
    script: list[Say],
) -> None:
    async with scripted(*script) as inquiry:
        found = await inspect(inquiry)
    text = "bucket bkt is in us-west-2, not in us-east-1"
    assert said(found)[0] == ("wrong", "region", text, "set region: us-west-2")


@pytest.mark.parametrize("body", [b"", b"<html><hr></html>", b"<html><h1>Moved</h1></html>"])
async def test_a_server_that_redirects_to_another_url_says_to_correct_the_endpoint(
    body: bytes,
) -> None:
    async with ScriptedS3() as other:
        moved = Say(reply("301 Moved Permanently", body, f"Location: {other.endpoint}/bkt"))
        head = Say(reply("301 Moved Permanently", b"", f"Location: {other.endpoint}/bkt"))
        async with scripted(head, moved, head) as inquiry:  # the SDK asks for the region
            found = await inspect(inquiry)
        assert other.connections == 0
    text = "bucket bkt: the server redirects to another URL (301)"
    fix = "correct the endpoint: curl -I shows that URL"
    assert said(found) == [("wrong", "bucket", text, fix)]


async def test_a_server_that_sends_to_a_login_page_says_to_correct_the_endpoint() -> None:
    login = Say(reply("303 See Other", b"", "Location: https://login.example/"))
    async with scripted(login, login) as inquiry:
        found = await inspect(inquiry)
    fix = "correct the endpoint: curl -I shows that URL"
    assert [(each.level.name, each.fix) for each in found.findings] == [("WRONG", fix)]


async def test_a_listing_that_lacks_dates_is_no_fault_of_the_credentials() -> None:
    item = b"<Contents><Key>a</Key><Size>1</Size></Contents>"
    listing = Say(reply("200 OK", b"<ListBucketResult>" + item + b"</ListBucketResult>"))
    async with scripted(THERE, listing) as inquiry:
        (finding,) = (await inspect(inquiry)).findings
    assert finding.text == "bucket bkt: an object of the listing has no 'LastModified'"
    assert finding.fix == "correct the endpoint, or update its server"


async def test_the_owner_is_asked_for_and_named() -> None:
    async with scripted(THERE, LISTED, NO_RULES, expected_owner=OWNER) as inquiry:
        (finding,) = (await inspect(inquiry)).findings
    assert f"belongs to {OWNER}" in finding.text


async def test_a_requester_pays_bucket_is_told_from_one_that_may_not_be_listed(
    wrong_keys: KeyFiles,
) -> None:
    async with scripted(FORBIDDEN, DENIED, LISTED, credentials=wrong_keys) as inquiry:
        (finding,) = (await inspect(inquiry)).findings
    assert (finding.level, finding.about) == (Level.WRONG, "bucket")
    assert "is a Requester Pays bucket" in finding.text
    assert finding.fix == "set request_payer: true, and for a target redirect.presign too"


async def test_where_the_requester_pays_the_sdk_says_so_in_every_request(
    wrong_keys: KeyFiles,
) -> None:
    async with ScriptedS3(THERE, LISTED, NO_RULES) as server:
        where = place(server.endpoint, credentials=wrong_keys, request_payer=True)
        (finding,) = (await on(where)).findings
    assert finding.level is Level.OK
    assert [each.headers["x-amz-request-payer"] for each in server.asked] == ["requester"] * 3


async def test_a_bucket_of_another_account_is_wrong() -> None:
    script = FORBIDDEN, DENIED, THERE
    async with scripted(*script, expected_owner=OWNER) as inquiry:
        found = await inspect(inquiry)
    assert said(found) == [
        (
            "wrong",
            "owner",
            f"bucket bkt does not belong to account {OWNER}",
            "correct expected_owner, or the bucket's name",
        )
    ]


async def test_a_refusal_whatever_the_owner_leaves_it_open() -> None:
    script = FORBIDDEN, DENIED, FORBIDDEN, DENIED
    async with scripted(*script, expected_owner=OWNER) as inquiry:
        (finding,) = (await inspect(inquiry)).findings
    assert (finding.level, finding.about) == (Level.WARNING, "list")
    assert f"or it does not belong to account {OWNER}" in finding.text


@pytest.mark.parametrize("code", ["InvalidToken", "IllegalLocationConstraintException"])
async def test_a_region_that_is_not_enabled_is_explained(code: str) -> None:
    bare = Say(reply("400 Bad Request"))  # to the second, botocore asks for the bucket's region
    async with scripted(bare, Say(error("400 Bad Request", code)), bare) as inquiry:
        (finding,) = (await inspect(inquiry)).findings
    assert (finding.level, finding.about) == (Level.WRONG, "region")
    assert "not enabled" in finding.text


async def test_a_server_in_trouble_counts_as_not_reached() -> None:
    async with scripted(Say(error("503 Slow Down", "SlowDown"))) as inquiry:
        (finding,) = (await inspect(inquiry)).findings
    assert (finding.level, finding.reached) == (Level.WRONG, False)


async def test_a_server_that_says_nothing_is_not_waited_for_for_ever() -> None:
    async with scripted(Say(b"", "hang")) as inquiry:
        (finding,) = (await inspect(replace(inquiry, seconds=0.1))).findings
    assert not finding.reached
    assert finding.text == "bucket bkt cannot be reached: no answer in time"


@pytest.mark.parametrize(
    ("problem", "about", "text"),
    [
        (NoCredentialsError(), "credentials", "bucket bkt: no AWS credentials found"),
        (ProfileNotFound(profile="p"), "credentials",
         "bucket bkt: The config profile (p) could not be found"),
        (ClientError({"Error": {"Code": "ExpiredToken"}}, "HeadBucket"), "credentials",
         "bucket bkt: the credentials have expired (ExpiredToken)"),
        (ClientError({"Error": {"Code": "Odd", "Message": "so"}}, "HeadBucket"), "bucket",
         "bucket bkt: Odd: so"),
        (EndpointConnectionError(endpoint_url="u"), "bucket",
         'bucket bkt cannot be reached: Could not connect to the endpoint URL: "u"'),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)  # fmt: skip
def test_every_trouble_is_said_in_words(problem: Exception, about: str, text: str) -> None:
    finding = trouble(problem, place("http://127.0.0.1"))
    assert (finding.level, finding.about, finding.text) == (Level.WRONG, about, text)


def test_an_unknown_profile_is_an_error_about_its_variable() -> None:
    finding = trouble(ProfileNotFound(profile="p"), place("https://127.0.0.1"))
    assert finding.fix.startswith("correct AWS_PROFILE, or add the profile with `aws configure ")
    missing = trouble(NoCredentialsError(), place("https://127.0.0.1"))
    assert missing.fix.startswith("give this process a role, or keys as for the AWS CLI")


def test_a_server_that_is_not_trusted_is_said_with_what_helps_and_nothing_else() -> None:
    finding = trouble(SSLError(endpoint_url="https://u", error="x"), place("https://127.0.0.1"))
    assert (finding.about, finding.reached) == ("bucket", False)
    assert finding.text == "bucket bkt: SSL validation failed for https://u x"
    assert finding.fix == REMEDY


async def test_a_server_without_tls_is_said_to_speak_none() -> None:
    async with without_tls() as url:
        where = place(url)
        async with opened(where, attempts=1) as client:
            with pytest.raises(SSLError) as raised:
                await client.head_bucket(Bucket="bkt")
    finding = trouble(raised.value, where)
    assert f"{where.entry.endpoint}/bkt speaks no TLS (" in finding.text
    assert finding.fix == "is the endpoint http://, or its port another?"


# CORS

ANY = [{"AllowedMethods": ["GET", "HEAD"], "AllowedOrigins": ["*"]}]
ONE = [{"AllowedMethods": ["GET", "HEAD"], "AllowedOrigins": ["https://a.example"]}]
HALF = [{"AllowedMethods": ["HEAD"], "AllowedOrigins": ["*"]}]
PUT = [{"AllowedMethods": ["PUT"], "AllowedOrigins": ["*"]}]
NONE = ClientError({"Error": {"Code": "NoSuchCORSConfiguration"}}, "GetBucketCors")
CLOSED = ClientError({"Error": {"Code": "AccessDenied"}}, "GetBucketCors")


@pytest.mark.parametrize(
    ("origin", "target", "level"),
    [
        pytest.param(NONE, NONE, None, id="no rules anywhere"),
        pytest.param(NONE, ANY, None, id="rules of the target alone"),
        pytest.param(CLOSED, NONE, None, id="origin's rules unknown"),
        pytest.param(PUT, NONE, None, id="rules for uploads"),
        pytest.param(ANY, ANY, "ok", id="same"),
        pytest.param(ONE, ANY, "ok", id="target for every origin"),
        pytest.param(ONE, ONE, "warning", id="target for named origins"),
        pytest.param(ANY, NONE, "warning", id="target without"),
        pytest.param(ANY, HALF, "warning", id="target for one method"),
        pytest.param(ANY, CLOSED, "note", id="target's rules unknown"),
    ],
)
def test_a_target_needs_a_rule_for_every_origin_when_the_origin_has_rules(
    origin: Any, target: Any, level: str | None
) -> None:
    one, two = (
        InspectedBucket(None, (), cors=cors if isinstance(cors, Exception) else {"CORSRules": cors})
        for cors in (origin, target)
    )
    finding = cors_finding(one, two, "sites.0.targets.us-west-2")
    assert (finding.level.value if finding else None) == level


async def test_rules_are_read_from_the_bucket(downloads: BucketInquiry) -> None:
    assert isinstance((await inspect(downloads)).cors, ClientError)
