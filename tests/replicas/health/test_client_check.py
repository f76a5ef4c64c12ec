"""A target that could be read as clients read it, and cannot any more, is down for clients."""

from __future__ import annotations

import logging
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

from nearbucket.config.buckets import Target
from nearbucket.errors import OriginError
from nearbucket.policy.model import Reason
from nearbucket.replicas.bucket_probe import BucketProbe
from nearbucket.replicas.health import client_check as module
from nearbucket.replicas.health.circuit_breaker import LEAST, OPEN_TIME
from nearbucket.replicas.health.client_check import FALL, ClientChecker
from nearbucket.replicas.health.client_target import ClientTarget, TargetUse
from nearbucket.replicas.replica_status import DOWN, ReplicaStatuses
from nearbucket.s3.credentials import SdkCredentials
from nearbucket.telemetry.metrics import Counters
from tests import build
from tests.bucketserver import BUCKET, BucketServer, until
from tests.tuning import probe_often

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import ClientSession

KEYS = ("a", "folder/b c", "d")
NAMES = (("one", "us-west-2"), ("two", "us-west-2"))
SAVED = "nearbucket_redirected_bytes_total"


class World:
    """A checker of one target, of which a test makes each check."""

    def __init__(self, server: BucketServer, session: ClientSession) -> None:
        self.server = server
        self.known: tuple[str, ...] = KEYS
        self.changes = 0
        self.counters = Counters()
        self.target = ClientTarget(f"{server.endpoint}/{BUCKET}", "", signed=False)
        self.bucket = BucketProbe(Target.model_validate(server.entry()), session, SdkCredentials())
        self.checker = ClientChecker(session, lambda _: self.known, self.counters, self.changed)
        self.checker.use(
            {self.target: TargetUse(self.bucket, requested=False, names=NAMES, bucket_name="west")}
        )

    def changed(self) -> None:
        self.changes += 1

    def close(self, *keys: str, status: int = 403) -> None:
        self.server.statuses |= {("GET", key): status for key in keys}

    async def check(self, times: int = 1) -> bool:
        """Whether the target is in use after so many checks."""
        for _ in range(times):
            await self.checker._check(self.checker._checked[self.target])
        return self.target not in self.checker.down


@pytest.fixture
async def world(session: ClientSession) -> AsyncIterator[World]:
    async with BucketServer(**dict.fromkeys(KEYS, b"data")) as server:
        yield World(server, session)


async def test_one_object_is_requested_and_no_more(world: World) -> None:
    assert await world.check()
    assert world.server.asked == {("GET", "a"): 1}


@pytest.mark.parametrize("status", [400, 401, 403, 404])
async def test_a_target_that_refuses_what_it_gave_is_down_after_the_second_check(
    world: World, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    caplog.set_level(logging.INFO)
    assert await world.check()
    world.close(*KEYS, status=status)
    assert await world.check()  # the first
    assert not world.checker.took_back(world.target)
    assert not await world.check()
    assert not await world.check(3)
    assert world.checker.took_back(world.target)
    world.server.statuses.clear()
    assert not await world.check()
    assert await world.check()
    assert not world.checker.took_back(world.target)
    url = f"{world.server.endpoint}/{BUCKET}"
    text = "site one in us-west-2, site two in us-west-2, bucket west"
    down = (
        f"target down for clients, they are no longer redirected: {text}: {url}/a answers {status} "
        "to a request without a signature, though the object is there"
    )
    lines = [line for line in caplog.messages if "for clients" in line]
    assert lines == [down, f"target up again for clients: {text}"]
    assert world.changes == 2


async def test_a_target_that_never_gave_an_object_is_warned_of_once_and_stays_in_use(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.close(*KEYS)
    assert await world.check(5)
    (line,) = caplog.messages
    assert "set redirect.presign" in line
    assert "set redirect.client_probe: false" in line
    world.server.statuses.clear()
    await world.check()
    world.close(*KEYS)
    assert not await world.check(FALL)


async def test_a_target_is_checked_again_soon_while_it_may_be_or_is_down(world: World) -> None:
    checked = world.checker._checked[world.target]
    world.close(*KEYS)
    settled = [await world.checker._check(checked)]  # private, perhaps
    world.server.statuses.clear()
    settled.append(await world.checker._check(checked))
    assert settled == [True, True]
    world.close(*KEYS)
    assert [await world.checker._check(checked) for _ in range(FALL + 1)] == [False] * (FALL + 1)


async def test_a_target_that_is_not_checked_took_nothing_back(world: World) -> None:
    assert not world.checker.took_back(ClientTarget("https://other.example", "", signed=False))


async def test_one_object_that_clients_can_read_is_enough(world: World) -> None:
    await world.check(5)
    world.close("a", "d")
    assert await world.check(5)
    world.close("folder/b c")
    assert not await world.check(FALL)


async def test_objects_that_never_could_be_read_do_not_show_that_a_target_is_closed(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Such as those of another site with the same bucket, which are private."""
    world.close("a", "folder/b c")
    assert await world.check(5)
    del world.server.objects["d"]
    world.known = ("a", "folder/b c")
    assert await world.check(5)
    assert not [line for line in caplog.messages if "target down" in line]


async def test_an_object_that_was_deleted_is_refused_and_shows_nothing(world: World) -> None:
    assert await world.check()
    world.close(*KEYS)  # S3 says 403 of what is not there to those that may not list
    world.server.objects.clear()
    assert await world.check(5)


async def test_objects_that_were_archived_do_not_show_that_a_target_is_closed(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    assert await world.check()
    world.close(*KEYS)
    world.server.headers |= {key: {"x-amz-storage-class": "GLACIER"} for key in KEYS}
    assert await world.check(5)
    assert caplog.messages == []


async def test_an_object_that_is_not_probed_any_longer_still_counts(world: World) -> None:
    await world.check()
    world.known = ("folder/b c", "d")
    world.close(*KEYS)
    assert not await world.check(FALL)


@pytest.mark.parametrize("mode", ["failing", "hanging", "closed"])
async def test_what_fails_for_everyone_is_left_to_the_other_checks(
    world: World, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setattr(module, "TIMEOUT", 0.05)
    await world.check()
    world.server.mode = mode
    if mode == "closed":
        await world.server.close()
    assert await world.check(4)


async def test_refusals_do_not_count_while_the_role_cannot_ask(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(_key: str) -> Any:
        raise OriginError(503, "busy")

    await world.check()
    world.close(*KEYS)
    monkeypatch.setattr(world.bucket, "head_object", fails)
    assert await world.check(5)


async def test_a_target_that_is_down_and_of_which_no_object_is_known_is_tried_again(
    world: World,
) -> None:
    await world.check()
    world.close(*KEYS)
    await world.check(FALL)
    world.server.objects.clear()
    world.known = ()
    assert await world.check(2)


async def test_what_was_saved_since_an_object_could_be_read_is_taken_back(world: World) -> None:
    def saved() -> list[float]:
        return [world.counters.counter(SAVED, *name).value for name in NAMES]

    for size in (1000, 100):
        await world.check()
        for name in NAMES:
            world.counters.add(SAVED, *name, by=size)
    assert saved() == [1100, 1100]
    world.close(*KEYS)
    await world.check(FALL)
    assert saved() == [1000, 1000]
    world.server.statuses.clear()
    await world.check(2)
    assert saved() == [1000, 1000]


async def test_nothing_is_saved_by_what_was_taken_back_for_clients_that_came_back(
    world: World,
) -> None:
    def saved() -> float:
        return world.counters.counter(SAVED, *NAMES[0]).value

    world.counters.add(SAVED, *NAMES[0], by=300)
    await world.check()
    world.counters.take_back(*NAMES[0], 200)
    assert saved() == 100
    world.close(*KEYS)
    await world.check(FALL)
    assert saved() == 100


# in a worker


def site(name: str, server: BucketServer, **redirect: Any) -> dict[str, Any]:
    chosen = {"verify": "none", "watch": True, "scheme": "http", **redirect}
    return {
        "hosts": [name],
        "origin": server.entry(),
        "targets": {"us-west-2": server.entry(), "us-east-1": server.entry(mode="off")},
        "redirect": chosen,
    }


@pytest.fixture
async def statuses(session: ClientSession) -> AsyncIterator[ReplicaStatuses]:
    made = ReplicaStatuses(session, SdkCredentials(), Counters(), lambda: None)
    yield made
    await made.close()


def use(statuses: ReplicaStatuses, *sites: dict[str, Any]) -> None:
    first, *more = sites
    statuses.prepare(build.settings(site=first, more=more))()


async def test_a_target_is_requested_once_for_all_sites_and_not_where_that_is_off(
    statuses: ReplicaStatuses,
) -> None:
    async with BucketServer(**dict.fromkeys(KEYS, b"data")) as server:
        on, off, unwatched = {"client_probe": True}, {"client_probe": False}, {"watch": False}
        cases: list[tuple[list[dict[str, Any]], list[bool]]] = [
            ([on, on], [True]), ([on, off], [True]), ([on, unwatched], [True]),
            ([off, off], [False]), ([unwatched], []), ([{"mode": "off"}], []),
        ]  # fmt: skip
        for redirects, requested in cases:
            sites = [
                site(name, server, **more) for name, more in zip("ab", redirects, strict=False)
            ]
            use(statuses, *sites)
            checked = list(statuses.clients._checked.values())
            assert [one.task is not None for one in checked] == requested


async def test_a_reload_keeps_what_is_known_and_one_that_switches_requests_off_forgets_it(
    statuses: ReplicaStatuses, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe_often(monkeypatch, 0.03)
    async with BucketServer(**dict.fromkeys(KEYS, b"data")) as server:
        use(statuses, site("a", server))
        statuses.health.answered(f"{server.endpoint}/{BUCKET}/", "a", None)
        await until(lambda: server.asked["GET", "a"] > 0)
        server.statuses["GET", "a"] = 403
        await until(lambda: statuses.status("a", "us-west-2", "a") is DOWN)
        use(statuses, site("a", server, verify_ttl="1h"))
        assert statuses.status("a", "us-west-2", "a") is DOWN
        assert dict(statuses.up())["a", "us-west-2"] is False
        use(statuses, site("a", server, client_probe=False))
        assert statuses.status("a", "us-west-2", "a").against is None
        assert dict(statuses.up())["a", "us-west-2"] is True


async def test_clients_that_come_back_take_a_target_down_and_it_is_tried_again_after_a_minute(
    statuses: ReplicaStatuses, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with BucketServer(**dict.fromkeys(KEYS, b"data")) as server:
        use(statuses, site("a", server), site("b", server, watch=False))
        for _ in range(LEAST):
            assert statuses.status("a", "us-west-2", "a").against is None
            statuses.client_result("a", "us-west-2", got_through=False)
        statuses.client_result("nowhere", "us-west-2", got_through=False)
        statuses.client_result("b", "us-west-2", got_through=False)
        assert statuses.status("a", "us-west-2", "a").against is Reason.TARGET_DOWN
        assert statuses.status("b", "us-west-2", "a").against is None
        assert "20 of 20 clients" in caplog.text
        now = monotonic()
        statuses.tick(now + OPEN_TIME - 1)
        assert statuses.status("a", "us-west-2", "a") is DOWN
        statuses.tick(now + OPEN_TIME + 1)
        assert statuses.status("a", "us-west-2", "a").against is None
        assert "on trial" in caplog.text


async def test_clients_that_get_their_objects_keep_a_target_up(statuses: ReplicaStatuses) -> None:
    async with BucketServer(**dict.fromkeys(KEYS, b"data")) as server:
        use(statuses, site("a", server))
        for _ in range(5 * LEAST):
            for came_back in (True, False, False):
                statuses.client_result("a", "us-west-2", got_through=not came_back)
        assert statuses.status("a", "us-west-2", "a").against is None
