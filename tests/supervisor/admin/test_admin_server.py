"""The admin port's server, over a socket."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from nearbucket.supervisor.admin.admin_server import AdminServer
from tests.serving import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def broken(_request: web.Request) -> web.Response:
    raise LookupError("a fault of ours")


async def large(_request: web.Request) -> web.Response:
    return web.Response(body=bytes(64 << 20))


@pytest.fixture
async def server() -> AsyncIterator[AdminServer]:
    application = web.Application()
    application.add_routes([web.get("/broken", broken), web.get("/large", large)])
    made = AdminServer(socket.create_server(("127.0.0.1", 0)), application)
    await made.start()
    yield made
    await made.close()


@pytest.fixture
def port(server: AdminServer) -> int:
    return int(server.address[1])


async def status(port: int, head: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head)
    line = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return line.split()[1]


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + 9000 * b"a" + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nno field\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
    ],
    ids=["too long", "no host", "no colon", "TLS"],
)
async def test_what_is_no_request_gets_400_and_is_no_error_of_the_log(
    port: int, head: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    assert await status(port, head) == b"400"
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_fault_of_our_own_is_logged(port: int, caplog: pytest.LogCaptureFixture) -> None:
    assert await status(port, b"GET /broken HTTP/1.1\r\nHost: localhost\r\n\r\n") == b"500"
    (record,) = (each for each in caplog.records if each.levelno == logging.ERROR)
    assert "a fault of ours" in str(record.exc_info)


async def test_a_client_that_does_not_read_does_not_hold_up_the_end(server: AdminServer) -> None:
    reader, writer = await asyncio.open_connection(*server.address)
    writer.write(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
    async with asyncio.timeout(PATIENCE):
        await server.close()
    writer.close()
