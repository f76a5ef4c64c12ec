"""Messages between supervisor and worker arrive whole and in order, until one end is closed."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from nearbucket.regions.ip_ranges import Ranges, read_ranges
from nearbucket.regions.prefix_tree import groups
from nearbucket.replicas.object_version import ObjectVersion, VersionReport
from nearbucket.supervisor.ipc import (
    LAST_STATS,
    Channel,
    Drain,
    Message,
    Ready,
    SnapshotRefused,
    Stats,
    StatsRequest,
    encoded,
)
from nearbucket.supervisor.snapshot import Snapshot, snapshot_of
from tests.build import settings, snapshot
from tests.made_ranges import made_list
from tests.ranges_lists import RangesList, each_list

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PATIENCE = 10.0
BIG = Stats(
    LAST_STATS,
    {"nearbucket_redirects_total": {(f"site {n}", "us-east-1"): n for n in range(50_000)}},
)


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[Channel, Channel]]:
    """Both ends of a channel."""
    ours, theirs = socket.socketpair()
    first, second = await Channel.over(ours), await Channel.over(theirs)
    try:
        async with asyncio.timeout(PATIENCE):
            yield first, second
    finally:
        await first.close()
        await second.close()


@asynccontextmanager
async def raw_end() -> AsyncIterator[tuple[socket.socket, Channel]]:
    """A channel, and a plain socket as its other end."""
    ours, theirs = socket.socketpair()
    channel = await Channel.over(theirs)
    try:
        with ours:
            async with asyncio.timeout(PATIENCE):
                yield ours, channel
    finally:
        await channel.close()


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(StatsRequest(3), id="ask"),
        pytest.param(Drain(25.0, 5.0), id="drain"),
        pytest.param(Ready(), id="ready"),
        pytest.param(SnapshotRefused("broken"), id="refused snapshot"),
        pytest.param(VersionReport("u", "k", ObjectVersion(1, "e"), 2.0, 1.0), id="version"),
        pytest.param(Stats(1, {}), id="empty report"),
        pytest.param(Stats(2, {"nearbucket_connections": {(): 1}}), id="report"),
        pytest.param(snapshot(settings(), workers=3), id="snapshot"),
        pytest.param(BIG, id="more than the socket's buffer"),
    ],
)
async def test_a_message_arrives_as_it_was_sent(message: Message) -> None:
    async with pair() as (supervisor, worker):
        supervisor.send(message)
        assert await worker.receive() == message


async def test_messages_arrive_in_order_each_whole_also_both_ways_at_once() -> None:
    down: list[Message] = [
        snapshot(settings()),
        StatsRequest(1),
        BIG,
        StatsRequest(2),
        Drain(25.0, 5.0),
    ]
    up: list[Message] = [Ready(), *(Stats(n, {"n": {(): n}}) for n in range(500)), BIG]
    async with pair() as (supervisor, worker):
        for message in down:
            supervisor.send(message)
        for message in up:
            worker.send(message)
        assert [await worker.receive() for _ in down] == down
        assert [await supervisor.receive() for _ in up] == up


async def test_what_was_queued_before_the_end_still_arrives_then_none_for_ever() -> None:
    async with pair() as (supervisor, worker):
        worker.send(BIG)
        worker.send(Ready())
        closing = asyncio.create_task(worker.close())
        assert await supervisor.receive() == BIG
        assert await supervisor.receive() == Ready()
        assert await supervisor.receive() is None
        assert await supervisor.receive() is None
        await closing


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\0\0", id="half a length"),
        pytest.param(struct.pack("!I", 100), id="a length alone"),
        pytest.param(struct.pack("!I", 100) + b"half", id="half a message"),
        pytest.param(encoded(snapshot(settings()))[:-1], id="the last part of a snapshot cut"),
        pytest.param(encoded(snapshot(settings()))[:2000], id="the first parts of a snapshot"),
    ],
)
async def test_an_end_that_dies_while_speaking_is_an_end(sent: bytes) -> None:
    async with raw_end() as (end, channel):
        end.sendall(sent)
        end.close()
        assert await channel.receive() is None


async def test_a_message_in_single_bytes_is_still_one_message() -> None:
    async with raw_end() as (wire, sender), raw_end() as (end, channel):
        sender.send(Stats(7, {"n": {(): 1}}))
        receiving = asyncio.create_task(channel.receive())
        for byte in wire.recv(4096):
            end.sendall(bytes((byte,)))
            await asyncio.sleep(0)
        assert await receiving == Stats(7, {"n": {(): 1}})


async def test_sending_to_and_closing_towards_an_end_that_is_gone_raises_nothing() -> None:
    async with raw_end() as (end, channel):
        end.close()
        channel.send(BIG)
        channel.send(StatsRequest(1))
        assert await channel.receive() is None
        await channel.close()


@each_list
async def test_while_a_snapshot_is_read_the_loop_goes_on_between_its_parts(
    ranges_list: RangesList,
) -> None:
    sent = snapshot_of(settings(), ranges_list.ranges)
    turns = 0
    async with pair() as (supervisor, worker):
        supervisor.send(sent)
        receiving = asyncio.create_task(worker.receive())
        while not receiving.done():
            await asyncio.sleep(0)
            turns += 1
        assert await receiving == sent
    assert turns > len([*sent.table.parts()]) > 30


@each_list
def test_no_part_of_a_snapshot_is_large(ranges_list: RangesList) -> None:
    no_part_is_large(ranges_list.ranges)


def test_no_part_of_a_snapshot_grows_with_the_list() -> None:
    no_part_is_large(read_ranges(made_list(scale=4)))


def no_part_is_large(ranges: Ranges) -> None:
    data, sizes = encoded(snapshot_of(settings(), ranges)), list[int]()
    while data:
        size = struct.unpack_from("!I", data)[0] & ~(1 << 31)
        sizes.append(size)
        data = data[4 + size :]
    assert max(sizes) < 64 << 10


@each_list
async def test_a_snapshot_in_parts_is_as_large_as_in_one(ranges_list: RangesList) -> None:
    sent = snapshot_of(settings(), ranges_list.ranges)
    async with pair() as (supervisor, worker):
        supervisor.send(sent)
        got = await worker.receive()
    assert isinstance(got, Snapshot)
    for one, other in zip(
        (sent.table._tree4, sent.table._tree6), (got.table._tree4, got.table._tree6), strict=True
    ):  # what stands in many places is one object still
        assert sum(map(len, groups(one))) == sum(map(len, groups(other)))


async def test_a_channel_knows_when_the_other_end_has_stopped_reading() -> None:
    async with raw_end() as (_, channel):
        channel.send(Ready())
        assert not channel.is_behind
        for _ in range(20):
            channel.send(BIG)
        assert channel.is_behind
