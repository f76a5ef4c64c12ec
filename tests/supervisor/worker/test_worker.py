"""A worker's reload: all of the new configuration is used, or all of the old one."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, cast

import pytest

from nearbucket.policy.explain import ExplainQuery
from nearbucket.supervisor.ipc import Channel, ExplainReply, ExplainRequest, SnapshotRefused
from nearbucket.supervisor.worker.worker_process import _MessageHandler
from tests.build import FORWARDED, WEST, settings, snapshot
from tests.serving import client_at, serving

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nearbucket.config.settings import Settings
    from nearbucket.supervisor.worker.worker import Worker

PATH = "/a.tar.gz"
PARTS = [
    "nearbucket.origin.registry.Signer",
    "nearbucket.origin.registry.OriginClient",
    "nearbucket.origin.registry.SignedRequestCache",
    "nearbucket.replicas.replica_status.BucketProbe",
    "nearbucket.replicas.object_cache.BucketCache",
    "nearbucket.replicas.replica_status.ReplicaRule.of",
    "nearbucket.replicas.replica_status.Presigner",
    "nearbucket.policy.client_address.network_set",  # the engine's
    "nearbucket.frontend.worker_context.RECORDED",  # the parser's
    "nearbucket.frontend.decider.RecentRedirects",
]


def chosen(folder: Path, name: str) -> Settings:
    """A configuration with buckets and credentials named after ``name``."""
    key = folder / name
    key.write_text(name, "ascii")
    keys = {"access_key_file": str(key), "secret_key_file": str(key)}
    return settings(
        client_address=FORWARDED,
        site={
            "origin": {"bucket": f"origin-{name}", "region": "us-east-1", "credentials": keys},
            "targets": {"us-west-2": {"bucket": f"west-{name}"}},
            "redirect": {"presign": "10m", "came_back": "1m", "watch": True},
        },
    )


def state(worker: Worker) -> dict[str, Any]:
    """The parts of a worker that a reload replaces."""
    context, origins, replicas = worker.context, worker._origins, worker._replicas
    return {
        "settings": context.settings,
        "engine": context.decider.engine,
        "parser": context.parser,
        "origins": context.origins,
        "signed requests": context.signed_requests,
        "presigners": context.decider.presigners,
        "recent redirects": context.decider.recent_redirects,
        "pools": dict(origins._pools),
        "rules": dict(replicas._rules),
        "probes": {url: cache.probe for url, cache in replicas.object_cache.buckets.items()},
        "watched": {url: target.probe for url, target in replicas.health._targets.items()},
    }


def breaks(*_: object, **__: object) -> None:
    raise RuntimeError("broken")


@pytest.mark.parametrize("part", PARTS)
async def test_a_reload_that_fails_leaves_the_old_configuration_whole(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, part: str
) -> None:
    async with serving(chosen(tmp_path, "old")) as served:
        before = state(served.worker)
        with monkeypatch.context() as patch:
            patch.setattr(part, breaks)
            with pytest.raises((RuntimeError, TypeError)):
                served.worker.apply(snapshot(chosen(tmp_path, "new")))
        assert state(served.worker) == before
        answer = await served.get(PATH, client_at(WEST))
        assert answer.headers["location"].startswith("https://west-old.")
        assert "X-Amz-Credential=old%2F" in answer.headers["location"]


async def test_a_reload_that_succeeds_replaces_everything(tmp_path: Path) -> None:
    async with serving(chosen(tmp_path, "old")) as served:
        before = state(served.worker)
        served.worker.apply(snapshot(chosen(tmp_path, "new")))
        after = state(served.worker)
        assert [name for name in before if before[name] == after[name]] == []
        answer = await served.get(PATH, client_at(WEST))
        assert answer.headers["location"].startswith("https://west-new.")
        assert "X-Amz-Credential=new%2F" in answer.headers["location"]


@pytest.mark.parametrize(
    ("apply", "refusal"),
    [
        pytest.param(breaks, SnapshotRefused("RuntimeError('broken')"), id="fails"),
        pytest.param(lambda _: None, None, id="succeeds"),
    ],
)
async def test_the_supervisor_learns_of_a_snapshot_that_cannot_be_applied(
    apply: Callable[[object], None], refusal: SnapshotRefused | None
) -> None:
    class Fake:
        """A worker that only applies."""

    ours, theirs = socket.socketpair()
    supervisor, channel = await Channel.over(ours), await Channel.over(theirs)
    worker = cast("Any", Fake())
    worker.apply = apply
    handler = _MessageHandler(channel, worker, cast("Any", None))
    assert handler.handle_message(snapshot(settings()))
    await channel.close()
    assert await supervisor.receive() == refusal
    await supervisor.close()


async def test_a_failure_to_explain_is_the_answer() -> None:
    class Fake:
        """A worker that cannot explain."""

        async def explain(self, _query: object) -> None:
            raise RuntimeError("broken")

    ours, theirs = socket.socketpair()
    supervisor, channel = await Channel.over(ours), await Channel.over(theirs)
    handler = _MessageHandler(channel, cast("Any", Fake()), cast("Any", None))
    query = ExplainQuery("192.0.2.7", "/a", None, "GET", {})
    assert handler.handle_message(ExplainRequest(7, query))
    reply = await supervisor.receive()
    assert isinstance(reply, ExplainReply)
    assert (reply.number, reply.explanation.reason) == (7, "error")
    assert [step[:2] for step in reply.explanation.steps] == [("error", "RuntimeError('broken')")]
    await channel.close()
    await supervisor.close()
