"""A TLS transport whose connection is lost has no socket until it learns of that itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from nearbucket.frontend.limits.client_pace import LEAST, ClientPace
from nearbucket.frontend.limits.connection_timeouts import ConnectionTimeouts
from nearbucket.frontend.limits.minimum_rate import ClientCredit
from nearbucket.s3.receive_buffer import fix_receive_buffer
from tests.certificates import Tls, client_side, make_certificate, server_side
from tests.serving import LOOPS, PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

GRACE, RATE = 150.0, 1024


class Waiting(asyncio.Transport):
    """A transport with bytes that wait for its client."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._transport = transport

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def get_write_buffer_size(self) -> int:
        return 1

    def is_closing(self) -> bool:
        return True


async def lost_transport(tls: Tls) -> asyncio.Transport:
    """The transport of a client, in the turn of the loop in which it has no socket."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0, ssl=server_side(tls))
    transport, _ = await loop.create_connection(
        asyncio.Protocol, *server.sockets[0].getsockname(), ssl=client_side(tls)
    )
    server.close()
    transport.abort()
    async with asyncio.timeout(PATIENCE):
        while transport.get_extra_info("socket") is not None:  # noqa: ASYNC110  # turn by turn
            await asyncio.sleep(0)
    return transport


@pytest.mark.parametrize("loop", LOOPS)
def test_nothing_that_concerns_its_socket_fails(loop: str, tmp_path: Path) -> None:
    async def ask() -> None:
        transport = Waiting(await lost_transport(make_certificate(tmp_path, "localhost")))
        assert not ConnectionTimeouts().stalled(transport, 0.0, GRACE)
        assert ClientPace(transport).limit == LEAST
        credit = ClientCredit(transport, 0.0, GRACE)
        assert not credit.used_up(transport, 2 * GRACE, RATE, GRACE)
        fix_receive_buffer(transport.get_extra_info("socket"), fixed=True)

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(ask())
