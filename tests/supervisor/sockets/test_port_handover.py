"""The way of listening sockets from a running instance to the next."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest

from nearbucket.errors import ConfigError
from nearbucket.supervisor.sockets.port_handover import Handover, open_door, take_sockets
from tests.build import settings

if TYPE_CHECKING:
    from nearbucket.config.settings import Settings


class Running:
    """An instance that runs, as far as its sockets go."""

    def __init__(self, stack: ExitStack) -> None:
        opened = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        self.admin, *self.public = opened
        listen, admin = ({"port": each.getsockname()[1]} for each in (opened[1], self.admin))
        self.settings: Settings = settings(listen=listen, admin=admin)
        door = open_door(self.settings)
        assert door is not None
        self.door = stack.enter_context(closing(door))
        self.fewer = 0
        self.handover = Handover(self.door, self.admin, self.public, self.on_fewer)

    def on_fewer(self) -> None:
        self.fewer += 1


async def test_the_next_instance_gets_the_sockets_and_says_when_it_is_ready() -> None:
    with ExitStack() as stack:
        running = Running(stack)
        done = asyncio.create_task(running.handover.done())
        taken = await asyncio.to_thread(take_sockets, running.settings)
        assert taken is not None
        named = [each.getsockname() for each in (taken.admin, *taken.public)]
        assert named == [each.getsockname() for each in (running.admin, *running.public)]
        assert not any(each.get_inheritable() for each in (taken.door, taken.admin, *taken.public))
        assert running.handover.shared
        assert not done.done()
        await taken.confirm(taken.public[1:])
        await asyncio.wait_for(done, 5)
        assert running.fewer == 1
        for each in (taken.door, taken.admin, taken.public[0]):
            each.close()


async def test_an_instance_that_goes_on_takes_connections_on_all_its_sockets() -> None:
    with ExitStack() as stack:
        running = Running(stack)
        done = asyncio.create_task(running.handover.done())
        taken = await asyncio.to_thread(take_sockets, running.settings)
        assert taken is not None
        confirming = asyncio.create_task(taken.confirm(taken.public))
        async with asyncio.timeout(5):
            while not running.fewer:  # noqa: ASYNC110  # no event tells of it
                await asyncio.sleep(0)
            confirming.cancel()  # the next instance ends while it closes sockets
            for each in (taken.running, taken.door, taken.admin, *taken.public):
                each.close()
            while running.handover.shared:  # noqa: ASYNC110  # nor of this
                await asyncio.sleep(0)
            for each in running.public:
                with socket.socket() as client:
                    client.setblocking(False)  # noqa: FBT003  # the standard library's signature
                    await asyncio.get_running_loop().sock_connect(client, each.getsockname())
        done.cancel()


async def test_without_an_instance_there_is_nothing_to_take() -> None:
    assert take_sockets(settings(listen={"port": 1}, admin={"port": 2})) is None


async def test_another_user_gets_no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    with ExitStack() as stack:
        running = Running(stack)
        done = asyncio.create_task(running.handover.done())
        monkeypatch.setattr(os, "geteuid", lambda: 4711)
        with pytest.raises(ConfigError, match=r"--take-over: .* belongs to another user"):
            await asyncio.to_thread(take_sockets, running.settings)
        with socket.socket(socket.AF_UNIX) as other:
            other.connect(running.door.getsockname())
            other.settimeout(5)
            assert await asyncio.to_thread(other.recv, 1) == b""
        assert not running.handover.shared
        done.cancel()


async def test_an_instance_that_stops_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nearbucket.supervisor.sockets.port_handover.TIMEOUT", 0.1)
    with ExitStack() as stack:
        running = Running(stack)  # which does not answer
        with pytest.raises(ConfigError, match="does not hand its port over"):
            take_sockets(running.settings)
