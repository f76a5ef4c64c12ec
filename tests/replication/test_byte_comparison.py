"""Bytes of copies are compared with the origin's, between two folders of a real S3 server."""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

import pytest
from botocore.exceptions import ClientError, HTTPClientError

from nearbucket.replication import byte_comparison
from nearbucket.replication.byte_comparison import ByteComparison
from nearbucket.replication.multipart_copy import head_of_part
from nearbucket.s3.bucket_location import CopyEndpoints
from nearbucket.s3.listing.list_page import ListedObject
from tests.replication.conftest import MIB
from tests.replication.objects import some

if TYPE_CHECKING:
    from nearbucket.s3.bucket_location import BucketLocation
    from tests.replication.conftest import World
    from tests.replication.watched import Asked

KEY = "a.tar.xz"
PARTS = [some(5 * MIB), some(1000, 1)]
BODY = b"".join(PARTS)
OTHER_PART = 5 * MIB + 500


class Both:
    """An object of the origin and its copy."""

    def __init__(self, world: World, clients: tuple[Any, Any], parallel: int = 4) -> None:
        self.world = world
        self.comparison = ByteComparison(
            CopyEndpoints(world.origin, world.target, *clients), parallel
        )
        self.counted = 0
        self.most = 0

    async def listed(self, place: BucketLocation) -> ListedObject:
        """The object as a listing has it."""
        head = await self.world.client.head_object(**place.arguments(KEY))
        etag = head["ETag"].strip('"')
        return ListedObject(KEY, head["ContentLength"], etag, head["LastModified"])

    async def equal(self) -> bool:
        """Whether the bytes are found to be equal."""

        def count(size: int) -> None:
            self.counted += size
            self.most = max(self.most, self.counted)

        origin, copy = await self.listed(self.world.origin), await self.listed(self.world.target)
        assert origin.etag != copy.etag
        self.world.watched.forget()
        return await self.comparison.equal(origin, copy, count)

    def read_of(self, place: BucketLocation) -> int:
        """How often a range of the object there was read."""
        return sum(
            asked.name == "GET" and asked.bucket == place.entry.bucket
            for asked in self.world.watched.asked
        )


@pytest.fixture
def both(world: World, clients: tuple[Any, Any]) -> Both:
    return Both(world, clients)


@pytest.fixture(params=[{"PartsCount": None}, {"ServerSideEncryption": "aws:kms"}],
                ids=["a server that names no parts", "KMS"])  # fmt: skip
def unknown(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The origin's ETag does not tell which bytes it is made of."""

    async def changed(*arguments: Any) -> dict[str, Any]:
        return {**await head_of_part(*arguments), **request.param}

    monkeypatch.setattr(byte_comparison, "head_of_part", changed)


@pytest.mark.parametrize(
    ("parts", "part"),
    [
        pytest.param([some(5 * MIB), *PARTS], 6 * MIB, id="other parts"),
        pytest.param(PARTS, 20 * MIB, id="one part"),
    ],
)
async def test_a_copy_in_other_parts_is_equal_and_the_origin_is_not_read(
    both: Both, parts: list[bytes], part: int
) -> None:
    await both.world.put_in_parts(KEY, *parts)
    await both.world.put_by_another_tool(KEY, b"".join(parts), part)
    assert await both.equal()
    assert both.read_of(both.world.target) == len(parts)
    assert both.read_of(both.world.origin) == 0
    assert both.counted == both.most == len(b"".join(parts))


async def test_an_object_of_one_piece_is_read_in_one(both: Both) -> None:
    await both.world.put(KEY, BODY)
    await both.world.put_by_another_tool(KEY, BODY, OTHER_PART)
    assert await both.equal()
    assert (both.read_of(both.world.target), both.read_of(both.world.origin)) == (1, 0)


async def test_a_copy_of_one_piece_is_read_in_the_origins_parts(both: Both) -> None:
    await both.world.put_in_parts(KEY, *PARTS)
    await both.world.client.put_object(**both.world.target.arguments(KEY), Body=BODY)
    assert await both.equal()
    assert (both.read_of(both.world.target), both.read_of(both.world.origin)) == (2, 0)


@pytest.mark.parametrize(
    "where",
    [
        pytest.param(0, marks=pytest.mark.long),
        5 * MIB + 100,
        pytest.param(len(BODY) - 1, marks=pytest.mark.long),
    ],
)
async def test_one_other_byte_is_found_wherever_it_is(both: Both, where: int) -> None:
    other = bytearray(BODY)
    other[where] ^= 1
    await both.world.put_in_parts(KEY, *PARTS)
    await both.world.put_by_another_tool(KEY, bytes(other), OTHER_PART)
    assert not await both.equal()
    assert both.counted <= len(BODY)


@pytest.mark.parametrize("same", [pytest.param(True, marks=pytest.mark.long), False])
async def test_where_the_origins_etag_does_not_tell_both_are_read(
    both: Both,
    unknown: None,  # noqa: ARG001  # changes what the server says
    monkeypatch: pytest.MonkeyPatch,
    same: bool,  # noqa: FBT001  # a value of the parameter
) -> None:
    monkeypatch.setattr(byte_comparison, "_SPAN", 2 * MIB)
    await both.world.put_in_parts(KEY, *PARTS)
    await both.world.put_by_another_tool(KEY, BODY if same else BODY[::-1], OTHER_PART)
    assert await both.equal() is same
    assert both.read_of(both.world.target) == both.read_of(both.world.origin) == 3
    assert both.most <= len(BODY)


async def test_a_body_that_breaks_off_goes_on_where_it_ended(
    world: World, clients: tuple[Any, Any]
) -> None:
    both = Both(world, clients, parallel=1)
    await both.world.put_in_parts(KEY, *PARTS)
    await both.world.put_by_another_tool(KEY, BODY, OTHER_PART)
    times = iter([MIB, 2 * MIB, 0])
    both.world.watched.cut = lambda asked: next(times, None) if asked.name == "GET" else None
    assert await both.equal()
    assert both.read_of(both.world.target) == 2 + 3
    assert both.counted == both.most == len(BODY)


async def test_a_body_that_always_breaks_off_is_an_error(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(byte_comparison, "_PAUSE", 0.0)
    await both.world.put_in_parts(KEY, *PARTS)
    await both.world.put_by_another_tool(KEY, BODY, OTHER_PART)
    both.world.watched.cut = lambda asked: 0 if asked.name == "GET" else None
    with pytest.raises(HTTPClientError, match="response stream"):
        await both.equal()


async def test_a_body_that_is_always_empty_is_an_error(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a server that ends a chunked body before its first byte."""
    monkeypatch.setattr(byte_comparison, "_PAUSE", 0.0)
    times = itertools.count(1)

    class Empty:
        async def head_object(self, **_: Any) -> dict[str, Any]:
            return {"ContentLength": 1}

        async def get_object(self, **_: Any) -> dict[str, Any]:
            assert next(times) <= 20, "it is read without end"
            return {"Body": self}

        async def read(self, _most: int) -> bytes:
            return b""

        async def __aenter__(self) -> Self:
            return self

        async def __aexit__(self, *_: object) -> None:
            return

    client, what = Empty(), ListedObject(KEY, 1, "e", datetime.now(UTC))
    sides = CopyEndpoints(world.origin, world.target, client, client)
    with pytest.raises(HTTPClientError, match="response stream"):
        await ByteComparison(sides, 1).equal(what, what, lambda _: None)


async def test_a_copy_that_is_replaced_while_it_is_read_is_an_error(both: Both) -> None:
    await both.world.put_in_parts(KEY, *PARTS)
    await both.world.put_by_another_tool(KEY, BODY, OTHER_PART)

    async def replace(asked: Asked) -> None:
        if asked.name == "GET":
            both.world.watched.before = None
            await both.world.put_by_another_tool(KEY, BODY[::-1], OTHER_PART)

    both.world.watched.before = replace
    with pytest.raises(ClientError, match="PreconditionFailed"):
        await both.equal()


async def test_no_more_requests_than_allowed_are_under_way(
    world: World,
    clients: tuple[Any, Any],
    unknown: None,  # noqa: ARG001  # as above
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(byte_comparison, "_SPAN", MIB)
    both = Both(world, clients, parallel=2)
    await world.put_in_parts(KEY, *PARTS)
    await world.put_by_another_tool(KEY, BODY, OTHER_PART)
    under_way, most = 0, 0
    passed_on = world.watched._passed_on

    async def counted(request: Any, asked: Asked) -> Any:
        nonlocal under_way, most
        under_way += asked.name == "GET"
        most = max(most, under_way)
        await asyncio.sleep(0.05)  # longer than it takes to send the next one
        try:
            return await passed_on(request, asked)
        finally:
            under_way -= asked.name == "GET"

    world.watched._passed_on = counted  # type: ignore[method-assign]
    assert await both.equal()
    assert most == 2
