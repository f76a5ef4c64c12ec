"""Copies that are there but that clients could not read, and objects that nothing can read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.behaviour.two_buckets import FROM, OBJECTS, PATH, copies, reason
from tests.build import OUTSIDE
from tests.serving import client_at

if TYPE_CHECKING:
    from tests.serving import Serve

KEY = PATH.removeprefix("/")
CLASS, RESTORE = "x-amz-storage-class", "x-amz-restore"
SSE = "x-amz-server-side-encryption"
GLACIER = {CLASS: "GLACIER"}


def restored(**left: float) -> dict[str, str]:
    """The field of a restored copy that expires after this time."""
    expiry = format_datetime(datetime.now(UTC) + timedelta(**left), usegmt=True)
    return {RESTORE: f'ongoing-request="false", expiry-date="{expiry}"'}


READABLE = [
    (GLACIER, False),
    ({CLASS: "DEEP_ARCHIVE"}, False),
    ({CLASS: "INTELLIGENT_TIERING", "x-amz-archive-status": "ARCHIVE_ACCESS"}, False),
    (GLACIER | {RESTORE: 'ongoing-request="true"'}, False),
    (GLACIER | restored(days=2), True),
    (GLACIER | restored(minutes=65), False),  # a result may be used for 10 minutes
    (GLACIER | restored(minutes=-1), False),
    (GLACIER | {RESTORE: 'ongoing-request="false", expiry-date="Fri"'}, False),
    ({CLASS: "GLACIER_IR"}, True),
    ({SSE: "aws:kms"}, False),
    ({SSE: "aws:kms:dsse"}, False),
    ({SSE: "AES256"}, True),
]
"""Fields of a copy's HEAD, and whether a client can read the copy."""


@pytest.mark.parametrize("verify", ["match", "exists"])
async def test_a_client_is_only_redirected_to_a_copy_that_it_can_read(
    serve: Serve, verify: str
) -> None:
    rows = {f"{number}.tar.gz": row for number, row in enumerate(READABLE)}
    objects = dict.fromkeys(rows, b"the object")
    async with copies(serve, objects, redirect={"verify": verify}) as world:
        world.target.headers |= {key: fields for key, (fields, _) in rows.items()}
        for key, (fields, readable) in rows.items():
            found = {await world.ask(f"/{key}") for _ in range(3)}
            assert found == {"in-region" if readable else "unreadable"}, fields
        assert world.target.asked == dict.fromkeys((("HEAD", key) for key in rows), 1)
        assert world.served.count("nearbucket_checks_total", "absent") == 0
        labels = ("*", "us-west-2", "unreadable")
        unreadable = sum(not readable for _, readable in rows.values())
        assert world.served.count("nearbucket_bypasses_total", *labels) == 3 * unreadable


async def test_a_copy_that_only_its_uploader_can_decrypt_is_unreadable(serve: Serve) -> None:
    async with copies(serve, OBJECTS) as world:
        world.target.statuses["HEAD", KEY] = 400
        world.target.errors["GET", KEY] = 400, "InvalidRequest"
        assert await world.ask() == "unreadable"
        assert world.served.count("nearbucket_checks_total", "failed") == 0


async def test_redirects_to_a_copy_end_when_it_is_archived(serve: Serve) -> None:
    async with copies(serve, OBJECTS, redirect={"verify_ttl": "200ms"}) as world:
        assert await world.ask() == "in-region"
        world.target.headers[KEY] = GLACIER
        await world.ends("in-region", within=5)
        assert await world.ask() == "unreadable"
        world.target.headers[KEY] = GLACIER | {RESTORE: 'ongoing-request="false"'}
        await world.ends("unreadable", within=5)
        assert await world.ask() == "in-region"


async def test_an_archived_object_of_the_origin_is_redirected_to_a_copy_that_can_be_read(
    serve: Serve,
) -> None:
    async with copies(serve, OBJECTS) as world:
        world.origin.headers[KEY] = GLACIER
        assert await world.ask() == "in-region"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("head", "get"),
    [
        pytest.param(None, (403, "InvalidObjectState"), id="archived"),
        pytest.param((400, ""), (400, "InvalidRequest"), id="encrypted"),
    ],
)
async def test_an_object_that_nobody_can_read_gets_a_final_answer(
    serve: Serve, method: str, head: tuple[int, str] | None, get: tuple[int, str]
) -> None:
    async with copies(serve, OBJECTS) as world:
        world.origin.errors["GET", KEY] = get
        if head is None:
            world.origin.headers[KEY] = GLACIER
        else:
            world.origin.errors["HEAD", KEY] = head
        answer = await world.served.get(PATH, client_at(OUTSIDE), method=method)
        assert (answer.status, reason(answer)) == (403, "outside-aws")
        assert answer.headers["cache-control"] == "no-store"
        assert "retry-after" not in answer.headers
        assert (b"archived or encrypted" in answer.body) is (method == "GET")
        assert world.origin.asked["GET", KEY] == 1
        assert world.served.count("nearbucket_stream_ends_total", "origin-failed") == 0
        assert answer.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize(
    "code", ["InvalidAccessKeyId", "SignatureDoesNotMatch", "AllAccessDisabled"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_while_s3_refuses_the_keys_nothing_is_said_to_be_missing(
    serve: Serve, method: str, code: str
) -> None:
    async with copies(serve, OBJECTS) as world:
        for each in ("GET", "HEAD"):
            world.origin.errors[each, KEY] = 403, code
        near = "unverified" if method == "GET" else "head"
        for named, expected in ((client_at(OUTSIDE), "outside-aws"), (FROM, near)):
            answer = await world.served.get(PATH, named, method=method)
            assert (answer.status, reason(answer)) == (502, expected)
            assert answer.headers["cache-control"] == "no-store"
        assert world.served.count("nearbucket_checks_total", "absent") == 0
        assert world.served.count("nearbucket_checks_total", "failed") == (method == "GET")


async def test_a_missing_object_that_may_not_be_listed_is_still_missing(serve: Serve) -> None:
    async with copies(serve, {}) as world:
        for each in ("GET", "HEAD"):
            world.origin.statuses[each, KEY] = 403
        for method in ("GET", "HEAD"):
            answer = await world.served.get(PATH, client_at(OUTSIDE), method=method)
            assert (answer.status, reason(answer)) == (404, "outside-aws")


@pytest.mark.parametrize("verify", ["match", "exists"])
@pytest.mark.parametrize("copied", [True, False])
async def test_a_small_object_is_small_whether_or_not_it_was_copied(
    serve: Serve,
    verify: str,
    copied: bool,  # noqa: FBT001  # a cell
) -> None:
    redirect: dict[str, Any] = {"verify": verify, "min_size": 100}
    async with copies(serve, OBJECTS | {"large.tar.gz": bytes(100)}, redirect=redirect) as world:
        if not copied:
            world.target.objects.clear()
        assert await world.ask() == "small"
        assert await world.ask("/large.tar.gz") == ("in-region" if copied else "not-replicated")
