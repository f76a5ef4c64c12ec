"""An answer that fails in its middle breaks the connection, whether the client reads or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nearbucket.errors import OriginError
from nearbucket.origin.object_response import ObjectResponse
from tests.behaviour.streaming import FROM, scripted
from tests.bucketserver import until
from tests.scripteds3 import Say, ScriptedS3, reply
from tests.serving import head_of, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SIZE = 64 << 20  # more than the kernel holds between server and client


@pytest.mark.parametrize(
    "error", [OriginError(502, "S3 dropped the body"), ValueError("a fault of ours")], ids=repr
)
async def test_a_client_that_takes_nothing_does_not_keep_a_failed_answer_open(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    said = Say(reply("200 OK", length=SIZE))
    async with ScriptedS3(said) as server, serving(scripted(server), relay=False) as served:

        async def body(_answer: ObjectResponse) -> AsyncIterator[bytes]:
            (lane,) = served.client_connections()
            while not lane._transport.get_write_buffer_size():
                yield bytes(1 << 14)
            raise error

        monkeypatch.setattr(ObjectResponse, "body", body)
        client = await (await served.connect()).send(head_of("/a.txt", FROM))
        await client.reader.readuntil(b"\r\n\r\n")
        await until(lambda: not served.client_connections())
        assert len(await client.rest()) < SIZE
