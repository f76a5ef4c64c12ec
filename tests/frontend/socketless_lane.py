"""A worker's lane without sockets, with or without a decision cache, before two sites."""

from __future__ import annotations

import re
from math import inf
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, cast

from nearbucket.frontend.client_connection import ClientConnection
from nearbucket.frontend.worker_context import WorkerContext
from nearbucket.policy.model import Reason, ReplicaStatus
from tests import build
from tests.build import WEST

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from nearbucket.frontend.handoff import AiohttpProtocol
    from nearbucket.replicas.replica_status import ReplicaStatuses

    Serve = Callable[..., "Serving"]

_SITES = [
    {"hosts": ["a.example"],
     "origin": {"bucket": "origin-one", "region": "us-east-1", "query": ["versionId"]},
     "targets": {"us-east-1": {"bucket": "east-one"}, "us-west-2": {"bucket": "west-one"}},
     "opt_out": {"user_agents": ["old*"], "networks": [f"{WEST}/32"]}},
    {"hosts": ["*"], "origin": {"bucket": "origin-two", "region": "us-east-1"},
     "index": "index.tar.gz",
     "targets": {"us-east-1": {"bucket": "east-two"}}, "redirect": {"exclude": ["x/*"]}},
]  # fmt: skip

_VARYING = re.compile(rb'"time":"[^"]*","seconds":[0-9.]*|\d\d:\d\d:\d\d\t|\t\d\.\d{3}\t')


class _Replicas:
    """Stands for ``ReplicaStatuses``: answers hold for a short time, some prevent a redirect."""

    def status(self, _site: str, region: str, key: str) -> ReplicaStatus:
        if key == "b c.tar.xz":
            return ReplicaStatus(Reason.NOT_REPLICATED, 7, inf)
        if key == "x/a.tar.gz":
            return ReplicaStatus(None, 7, 0.0)
        down = region == "us-west-2" and key == "d/index.tar.gz"
        return ReplicaStatus(Reason.TARGET_DOWN if down else None, 5, inf)

    def revalidate(self, _site: str, _region: str, _key: str) -> None:
        """See ``ReplicaStatuses``."""

    def client_result(self, _site: str, _region: str, *, got_through: bool) -> None:
        """See ``ReplicaStatuses``."""

    def took_back(self, _site: str, _region: str) -> bool:
        return False

    def older_copy(self, _site: str, _region: str, _key: str) -> None:
        """No object has changed."""


class _Sink:
    """A client's transport that keeps what it is sent."""

    def __init__(self) -> None:
        self.sent = b""

    def write(self, data: bytes) -> None:
        self.sent += data

    def close(self) -> None:
        self.sent += b"<closed>"

    def is_closing(self) -> bool:
        return self.sent.endswith(b"<closed>")

    def get_extra_info(self, _name: str) -> object:
        return "127.0.0.1", 1


class _Elsewhere:
    """Stands for the aiohttp lane: records that it got the request."""

    unanswered = 0

    def __init__(self, lane: ClientConnection, sink: _Sink) -> None:
        self._lane, self._sink = lane, sink

    def connection_made(self, _transport: object) -> None:
        """See ``asyncio.Protocol``."""

    def data_received(self, chunk: bytes) -> None:
        self._sink.write(b"<handed over>" + chunk)
        self._lane.answered(keep_alive=True, had_body=False)


class Serving:
    """A worker's lane without sockets."""

    def __init__(self, form: str, *, forgetful: bool, **more: Any) -> None:
        sites: list[dict[str, Any]] = [
            {**site, "redirect": {**cast("dict[str, Any]", site.get("redirect", {})), **more}}
            for site in _SITES
        ]
        chosen = build.settings(
            site=sites[0],
            more=sites[1:],
            log={"access": form},
            client_address=build.FORWARDED,
        )
        made = build.snapshot(chosen)
        self._log = TemporaryFile()  # noqa: SIM115  # closed by log
        self.context = WorkerContext(
            made.settings, made.table, made.cdn, descriptor=self._log.fileno()
        )
        self.context.date = b"D"
        self.context.decider.replicas = cast("ReplicaStatuses", _Replicas())
        self._forgetful = forgetful

    def answer(self, head: bytes) -> bytes:
        """The answer to the only request of a connection."""
        if self._forgetful:
            self.context.decision_cache.clear()
        sink = _Sink()
        lane = ClientConnection(
            self.context, lambda lane: cast("AiohttpProtocol", _Elsewhere(lane, sink))
        )
        lane.connection_made(cast("asyncio.Transport", sink))
        lane.data_received(head)
        lane._aiohttp = None
        lane.connection_lost(None)
        return sink.sent

    async def log(self) -> list[bytes]:
        """All lines, but for time and duration."""
        await self.context.log.close()
        with self._log as file:
            file.seek(0)
            return [_VARYING.sub(b"", line) for line in file]
