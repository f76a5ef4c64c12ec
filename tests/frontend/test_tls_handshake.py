"""TLS connections when no file descriptor is free."""

from __future__ import annotations

import asyncio
import os
import ssl
from contextlib import closing
from errno import EMFILE
from typing import TYPE_CHECKING

from nearbucket.frontend.tls_handshake import TlsHandshake
from nearbucket.frontend.worker_context import WorkerContext
from tests.build import settings, snapshot

if TYPE_CHECKING:
    import pytest


PATIENCE = 10.0


def never() -> asyncio.Protocol:
    """No handshake is completed."""
    raise AssertionError


async def test_a_connection_for_which_no_descriptor_is_free_is_closed_without_an_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(_descriptor: int) -> int:
        raise OSError(EMFILE, "Too many open files")

    made, tls = snapshot(settings()), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context = WorkerContext(made.settings, made.table, made.cdn)
    monkeypatch.setattr(os, "dup", full)
    server = await asyncio.get_running_loop().create_server(
        lambda: TlsHandshake(context, tls, never), "127.0.0.1", 0
    )
    async with server, asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        with closing(writer):
            assert await reader.read() == b""
    assert not context.handshakes
    assert not caplog.records
