"""Listings: every page comes once, and the next one is fetched meanwhile."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from nearbucket.cli.demo.seaweedfs import make_bucket
from nearbucket.config.buckets import Bucket
from nearbucket.errors import ConfigError, OriginError, ProxyError
from nearbucket.s3.bucket_location import BucketLocation
from nearbucket.s3.listing.list_page import ListedObject, ListPage
from nearbucket.s3.sdk.bucket_listing import objects_of, pages_of
from nearbucket.s3.sdk.sdk_client import PAGE, opened
from tests.bucketserver import BucketServer

if TYPE_CHECKING:
    from tests.conftest import LocalS3

WRITTEN = datetime(2026, 1, 1, tzinfo=UTC)
ENTRY = Bucket(bucket="downloads", region="us-east-1", prefix="dl")
PLACE = BucketLocation("sites.0.origin", ENTRY, "anonymous", owner="123456789012")


class Pages:
    """Stands for a client: lists so many pages of one object, the last perhaps with an error."""

    def __init__(self, number: int, code: str | None = None) -> None:
        self.number, self.code = number, code
        self.asked: list[dict[str, str]] = []
        self.cancelled = 0

    async def list_objects_v2(self, **asked: str) -> dict[str, Any]:
        self.asked.append(asked)
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        page = int(asked.get("ContinuationToken", 0))
        last = page == self.number - 1
        if last and self.code:
            raise ClientError({"Error": {"Code": self.code}}, "ListObjectsV2")
        objects = [ListedObject(f"dl/{page}", page, "e", WRITTEN)]
        return {PAGE: ListPage(objects, [], "" if last else str(page + 1))}


async def test_all_pages_come_in_order() -> None:
    client = Pages(3)
    found = [objects_of(page, PLACE) async for page in pages_of(client, PLACE)]
    assert found == [[ListedObject(page, int(page), "e", WRITTEN)] for page in "012"]
    same = {"Bucket": "downloads", "Prefix": "dl/", "ExpectedBucketOwner": "123456789012"}
    assert client.asked == [same, *({**same, "ContinuationToken": page} for page in "12")]


async def test_the_next_page_is_fetched_meanwhile_and_no_other() -> None:
    client = Pages(9)
    async with aclosing(pages_of(client, PLACE)) as pages:
        await anext(pages)
        await asyncio.sleep(0)
        assert len(client.asked) == 2
        await asyncio.sleep(0.01)
        assert len(client.asked) == 2


async def test_a_caller_that_stops_early_leaves_no_request_behind() -> None:
    client = Pages(9)
    async with aclosing(pages_of(client, PLACE)) as pages:
        await anext(pages)
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (len(client.asked), client.cancelled) == (2, 1)


async def test_arguments_of_the_caller_win() -> None:
    client = Pages(1)
    async for page in pages_of(client, PLACE, Prefix="reports/", Delimiter="/"):
        assert page.objects
    assert client.asked[0].items() >= {"Prefix": "reports/", "Delimiter": "/"}.items()


async def test_pages_before_an_error_come_and_the_caller_words_the_error() -> None:
    def worded(error: Exception, location: BucketLocation) -> ProxyError:
        return ProxyError(f"{location.name} said {error}")

    pages = pages_of(Pages(2, "SlowDown"), PLACE, worded)
    await anext(pages)
    with pytest.raises(ProxyError, match=r"^sites\.0\.origin said .*SlowDown"):
        await anext(pages)
    with pytest.raises(ConfigError, match=r"^sites\.0\.origin: bucket downloads/dl: NoSuchBucket"):
        _ = [page async for page in pages_of(Pages(1, "NoSuchBucket"), PLACE)]


@pytest.mark.parametrize("own_tokens", [False, True])
async def test_a_server_that_ignores_the_token_of_the_next_page_is_an_error(
    own_tokens: bool,  # noqa: FBT001  # whether each page has a token of its own
) -> None:
    class Same(Pages):
        async def list_objects_v2(self, **asked: str) -> dict[str, Any]:
            asked.pop("ContinuationToken", None)
            page = (await super().list_objects_v2(**asked))[PAGE]
            token = str(len(self.asked)) if own_tokens else "1"
            return {PAGE: page._replace(next_token=token, objects=page.objects[:own_tokens])}

    pages = pages_of(Same(3), PLACE)
    assert (await anext(pages)).next_token == "1"
    with pytest.raises(OriginError, match=r"sites.0.origin: .* same page of the listing twice"):
        await anext(pages)


def test_the_folders_own_entry_is_no_object() -> None:
    page = ListPage([ListedObject("dl/", 0, "e", WRITTEN)], [], "")
    assert objects_of(page, PLACE) == []


ODD = ("a b", "a+b", "a%20b", "%2B", "é/😀", "<b>&amp;", "tab\tand\nfeed", "~!*'();:@$,[]", "x//y")


async def test_keys_of_a_real_server_are_those_that_the_sdk_reads(s3: LocalS3) -> None:
    bucket = "odd-keys"
    async with s3.server.client() as client:
        await make_bucket(client, bucket)
        for key in ODD:
            await client.put_object(Bucket=bucket, Key=f"dl/{key}", Body=key.encode())
        page = await client.list_objects_v2(Bucket=bucket, Prefix="dl/")
    location = BucketLocation("x", s3.entry(bucket, prefix="dl"), s3.files)
    async with opened(location) as client:
        found = [
            each async for page in pages_of(client, location) for each in objects_of(page, location)
        ]
    assert found == [
        ListedObject(
            item["Key"].removeprefix("dl/"),
            item["Size"],
            item["ETag"].strip('"'),
            item["LastModified"],
            item["StorageClass"],
        )
        for item in page["Contents"]
    ]
    assert {each.key for each in found} >= {"a b", "é/😀", "<b>&amp;"}


async def test_a_document_that_is_no_listing_is_an_error_with_the_name_of_the_bucket() -> None:
    async with BucketServer() as server:  # whose answer for the bucket itself is empty
        location = BucketLocation("sites.0.origin", Bucket(**server.entry()), "anonymous")
        async with opened(location) as client:
            with pytest.raises(OriginError) as raised:
                _ = [page async for page in pages_of(client, location)]
    assert "sites.0.origin: bucket bucket: the listing is not XML" in raised.value.detail
