"""Connections in their TLS handshake: counted, bounded, and closed when it takes too long."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.behaviour.test_site import over_tls
from tests.bucketserver import until
from tests.build import EAST, FORWARDED, settings
from tests.certificates import make_certificate
from tests.serving import PATIENCE, client_at

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Any

    import pytest

    from tests.serving import Client, Serve, Served

HELLO = b"\x16\x03\x01\x02\x00\x01"
"""How a ClientHello begins."""


def with_tls(folder: Path, **limits: Any) -> tuple[Any, Any]:
    """A certificate, and a configuration with it."""
    tls = make_certificate(folder, "one.example")
    listen = {"tls": tls}
    return tls, settings(client_address=FORWARDED, listen=listen, limits=limits)


async def silent(served: Served, count: int, *pieces: bytes) -> Sequence[Client]:
    """So many clients that send this, and nothing more."""
    return [await (await served.connect()).send(*pieces) for _ in range(count)]


async def test_connections_in_their_handshake_count_and_further_ones_are_closed(
    serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tls, limited = with_tls(tmp_path, max_connections=10)
    async with serve(limited) as served:
        served_one = await over_tls(served, tls, "one.example")
        assert (await served_one.get("/a.tar.gz", client_at(EAST))).status == 301
        clients = [*await silent(served, 20), *await silent(served, 10, HELLO)]
        await until(lambda: served.count("nearbucket_connections_refused_total") == 21)
        assert "10 connections are open, this worker's part of limits.max_conn" in caplog.text
        assert served.open_connections() == 10
        ended = [client for client in clients if client.reader.at_eof() or await ends(client)]
        assert len(ended) == 21
        assert (await served_one.get("/a.tar.gz", client_at(EAST))).status == 301


async def ends(client: Client) -> bool:
    """Whether the server has closed a connection."""
    try:
        return await asyncio.wait_for(client.reader.read(1), 0.05) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


async def test_a_handshake_has_the_time_of_a_request_head(serve: Serve, tmp_path: Path) -> None:
    tls, limited = with_tls(tmp_path, max_connections=2, header_timeout="0.3s")
    async with serve(limited) as served:
        for client in [*await silent(served, 1), *await silent(served, 1, HELLO)]:
            assert await asyncio.wait_for(client.rest(), PATIENCE) == b""
        await until(lambda: served.open_connections() == 0)
        client = await over_tls(served, tls, "one.example")
        assert (await client.get("/a.tar.gz", client_at(EAST))).status == 301


async def test_clients_that_leave_or_send_no_tls_are_forgotten(
    serve: Serve, tmp_path: Path
) -> None:
    _, limited = with_tls(tmp_path)
    async with serve(limited) as served:
        await silent(served, 2, b"GET / HTTP/1.1\r\n\r\n")
        for client in [*await silent(served, 2), *await silent(served, 2, HELLO)]:
            await client.close()
        await until(lambda: served.open_connections() == 0)
        assert served.count("nearbucket_connections_refused_total") == 0
