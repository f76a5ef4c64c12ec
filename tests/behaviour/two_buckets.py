"""An origin and a target that hold the same objects, and a worker in front of them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any

from tests.bucketserver import BucketServer
from tests.build import FORWARDED, WEST, settings
from tests.serving import client_at

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from tests.serving import Answer, Serve, Served

FROM = client_at(WEST)
PATH = "/a.tar.gz"
OBJECTS = {"a.tar.gz": b"the object"}
JUDGED = {"came_back": "5m"}
SAVED = "nearbucket_redirected_bytes_total", "*", "us-west-2"


def reason(answer: Answer) -> str:
    return answer.headers["x-nearbucket"].rpartition("=")[2]


class Copies:
    """An origin, a target, and a worker in front of them."""

    def __init__(
        self, origin: BucketServer, target: BucketServer, served: Served, in_use: dict[str, Any]
    ) -> None:
        self.origin, self.target, self.served = origin, target, served
        self._in_use = in_use

    def reload(self, *, targets: Mapping[str, Any] | None = None, **redirect: Any) -> None:
        """Change the targets, or the section ``redirect``."""
        site = {**self._in_use["site"], **({} if targets is None else {"targets": targets})}
        site["redirect"] = {**site["redirect"], **redirect}
        self.served.reload(settings(**{**self._in_use, "site": site}))

    async def ask(self, path: str = PATH, *fields: str, method: str = "GET") -> str:
        """The reason of one answer; what is redirected is a 301, all else the object."""
        answer = await self.served.get(path, FROM, *fields, method=method)
        assert (answer.status == 301) is (reason(answer) == "in-region")
        return reason(answer)

    async def ends(self, reason: str, *, within: float) -> None:
        """Ask until the reason is another one: no request that comes later may still have it.

        By the time before each request, so that a slow machine makes no difference.
        """
        began = asked = monotonic()
        while await self.ask() == reason:
            assert asked - began < within
            await asyncio.sleep(0.02)
            asked = monotonic()


@asynccontextmanager
async def copies(
    serve: Serve,
    objects: Mapping[str, bytes],
    *,
    site: Mapping[str, Any] | None = None,
    redirect: Mapping[str, Any] | None = None,
    **sections: Any,
) -> AsyncIterator[Copies]:
    """A target that holds what the origin holds."""
    async with BucketServer(**objects) as origin, BucketServer(**objects) as target:
        entry = {"targets": {"us-west-2": target.entry()}, **(site or {})}
        in_use = {
            "site": {
                "origin": origin.entry(),
                **entry,
                "redirect": {"verify": "match", "scheme": "http", **(redirect or {})},
            },
            "client_address": FORWARDED,
            "catalog": {"wait": "5s"},
            **sections,
        }
        async with serve(settings(**in_use)) as served:
            yield Copies(origin, target, served, in_use)
