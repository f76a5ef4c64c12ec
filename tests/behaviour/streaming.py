"""Configurations for streams, from a real server or a scripted one, and a stream that is stuck."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tests.build import FORWARDED, OUTSIDE, open_bucket, settings
from tests.serving import PATIENCE, client_at

if TYPE_CHECKING:
    from tests.conftest import LocalS3
    from tests.scripteds3 import ScriptedS3
    from tests.serving import Served

FROM = client_at(OUTSIDE)


def in_front_of(s3: LocalS3, **sections: Any) -> Any:
    """A configuration with the real server as origin."""
    return settings(
        site={"origin": s3.entry(s3.private).model_dump()},
        client_address=FORWARDED,
        **sections,
    )


def scripted(server: ScriptedS3, **more: Any) -> Any:
    """A configuration with a scripted server as origin, and ``more`` sections."""
    return settings(
        site={"origin": open_bucket(server.endpoint), "redirect": {"head": "redirect"}},
        client_address=FORWARDED,
        **more,
    )


async def full(served: Served) -> None:
    """Wait until everything between server and client that can hold bytes is full."""
    held, same = -1, 0
    async with asyncio.timeout(PATIENCE):
        while same < 20:
            await asyncio.sleep(0.01)
            now = served.unsent()
            same = same + 1 if now and now == held else 0
            held = now
