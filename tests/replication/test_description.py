"""Header fields, metadata and tags of copies: the same bytes as at the origin."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from nearbucket.config.buckets import Bucket
from nearbucket.replication.multipart_copy import MultipartCopy
from nearbucket.replication.replicator import Replicator, SyncOptions
from nearbucket.replication.sync_progress import SyncProgress
from nearbucket.s3.bucket_location import BucketLocation, CopyEndpoints
from nearbucket.s3.listing.list_page import ListedObject
from nearbucket.s3.sdk.light_client import opened_light
from tests.scripteds3 import Say, ScriptedS3, reply

if TYPE_CHECKING:
    from tests.replication.conftest import World
    from tests.replication.watched import Asked

KEY = "a.tar.xz"
STARTED = b"<InitiateMultipartUploadResult><UploadId>7</UploadId></InitiateMultipartUploadResult>"


async def put_with(world: World, key: str, fields: dict[str, str]) -> None:
    """An object of the origin, of one part, with fields that the SDK would refuse or change."""

    def add(params: dict[str, Any], **_: Any) -> None:
        params["headers"].update(fields)

    events, name = world.client.meta.events, "before-call.s3.CreateMultipartUpload"
    events.register(name, add)
    try:
        await world.put_in_parts(key, b"x")
    finally:
        events.unregister(name, add)


FIELDS = {
    "metadata in UTF-8": {"x-amz-meta-name": "ünï ☃"},
    "metadata as S3 sends it": {"x-amz-meta-name": "=?UTF-8?Q?=C3=BC?="},
    "an odd name": {"x-amz-meta-Name_1.x": "a,  b; c"},
    "a file name": {"Content-Disposition": 'attachment; filename="ü.xz"'},
    "directives with spaces": {"Cache-Control": "max-age=60 ,public"},
    "two encodings": {"Content-Encoding": "gzip,aws-x"},
}
"""Key to the fields of its object."""


async def test_a_copy_in_parts_has_the_fields_of_its_original(world: World) -> None:
    for key, fields in FIELDS.items():
        await put_with(world, key, fields)
    progress = await world.run()
    assert (progress.copied, progress.other_etag, progress.failures) == (len(FIELDS), 0, [])
    assert world.watched.count("UploadPartCopy") == len(FIELDS)
    assert await world.in_step()
    for key, fields in FIELDS.items():
        theirs, ours = [
            (await world.client.head_object(**place.arguments(key)))["ResponseMetadata"][
                "HTTPHeaders"
            ]
            for place in (world.origin, world.target)
        ]
        for name in fields:
            assert ours[name.lower()] == theirs[name.lower()], key
    assert (await world.run()).same == len(FIELDS)


@pytest.mark.parametrize(
    "expires",
    [
        "0",
        "-1",
        "never",
        "Wed, 21 Oct 12037 07:28:00 GMT",
        "Thu, 99 Jan 2037",
        "1e9",
        "253402300800",
    ],
)
async def test_an_expires_that_is_no_date_is_sent_as_it_came(expires: str) -> None:
    """SeaweedFS refuses what is not in the form of RFC 9110; S3 takes any text."""
    async with ScriptedS3(Say(reply("200 OK", STARTED))) as server:
        entry = Bucket(bucket="copies", region="us-east-1", endpoint=server.endpoint)
        location = BucketLocation("target", entry, "anonymous")
        async with opened_light(location) as client:
            what = ListedObject(KEY, 2, "e-2", datetime.now(UTC))
            upload = MultipartCopy(CopyEndpoints(location, location, client, client), what, (1, 1))
            await upload.begin({"expires": expires, "x-amz-meta-a": "b"}, {"tag": "c d"})
    headers = server.asked[0].headers
    assert (headers["expires"], headers["x-amz-meta-a"]) == (expires, "b")
    assert headers["x-amz-tagging"] == "tag=c%20d"


async def test_the_same_bytes_with_another_description_are_copied_again(world: World) -> None:
    usual: dict[str, Any] = {"ContentType": "application/gzip"}
    changes: dict[str, dict[str, Any]] = {
        "type.tar.gz": {"ContentType": "text/plain"},
        "metadata.tar.gz": {"Metadata": {"a": "b"}},
        "tags.tar.gz": {"Tagging": "a=b"},
        "untouched.tar.gz": {},
    }
    for key in changes:
        await world.put(key, **usual)
    await world.run()
    await world.next_second()
    for key, change in changes.items():
        await world.put(key, **{**usual, **change})
    progress = await world.run()
    assert (progress.copied, progress.same, progress.objects) == (3, 1, 3)
    assert await world.in_step()


async def test_a_redirect_of_a_website_which_s3_does_not_copy_makes_no_difference(
    world: World,
) -> None:
    """Else an object that is written again each night would be copied each night."""

    def redirect(asked: Asked, fields: dict[str, str]) -> None:
        if asked.name == "HEAD" and asked.bucket == world.origin.entry.bucket:
            fields["x-amz-website-redirect-location"] = "/b.tar.gz"

    world.watched.alter = redirect
    await world.put("a.tar.gz")
    await world.run()
    await world.next_second()
    await world.put("a.tar.gz")
    progress = await world.run()
    assert (progress.copied, progress.same) == (0, 1)


def listing(modified: str) -> Say:
    """A listing of one object that was written then."""
    return Say(
        reply(
            "200 OK",
            f"<ListBucketResult><Contents><Key>{KEY}</Key><LastModified>{modified}</LastModified>"
            "<ETag>e</ETag><Size>1</Size></Contents></ListBucketResult>".encode(),
        )
    )


async def test_fields_that_are_not_utf_8_fail_for_that_object_alone() -> None:
    fields = b'\r\nETag: "e"\r\nx-amz-meta-n: \xe9\r\n\r\n'
    odd = Say(reply("200 OK").replace(b"\r\n\r\n", fields))
    newer, older = listing("2026-01-02T00:00:00Z"), listing("2026-01-01T00:00:00Z")
    async with ScriptedS3(newer, newer, odd) as one, ScriptedS3(older, older) as two:
        origin, target = (
            BucketLocation(
                name, Bucket(bucket=name, region="us-east-1", endpoint=server.endpoint), "anonymous"
            )
            for name, server in (("origin", one), ("copies", two))
        )
        progress = SyncProgress()
        await Replicator((origin, target), lambda *_: True, progress, SyncOptions()).run()
    [failure] = progress.failures
    assert (failure.key, "'utf-8' codec can't decode" in failure.text) == (KEY, True)
