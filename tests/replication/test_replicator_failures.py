"""Runs of sync in which the server fails or refuses, or that are ended: what is left, and said."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from nearbucket.errors import ConfigError, OriginError, ProxyError
from nearbucket.replication import replicator
from nearbucket.replication.comparison import NO_ETAG, NO_ETAG_REMEDY
from nearbucket.s3.listing import list_page
from nearbucket.s3.sdk import sdk_client
from tests.replication.conftest import MIB
from tests.replication.objects import codes, some
from tests.replication.watched import Asked, Gate

if TYPE_CHECKING:
    from nearbucket.s3.listing.list_page import ListedObject
    from tests.replication.conftest import World


@pytest.mark.parametrize(
    ("code", "says"),
    [("InvalidObjectState", "restore it there, or exclude it"), ("AccessDenied", "permissions")],
)
async def test_a_failure_is_reported_and_the_others_are_copied(
    world: World, code: str, says: str
) -> None:
    for number in range(5):
        await world.put(f"{number}.tar.gz")
    world.watched.refuse = lambda asked: (
        code if asked.name == "CopyObject" and "3.tar" in asked.key else None
    )
    progress = await world.run()
    assert codes(progress.failures) == {"3.tar.gz": code}
    assert says in progress.failures[0].text
    assert progress.copied == 4


async def test_parts_that_arrived_before_a_failure_are_kept_for_the_next_run(world: World) -> None:
    await world.put_in_parts("parts.tar.xz", some(5 * MIB), some(5 * MIB, 1), b"x")
    await world.next_second()
    world.watched.refuse = lambda asked: "AccessDenied" if asked.part == 3 else None
    progress = await world.run(parallel=1)
    assert (codes(progress.failures), progress.moved) == ({"parts.tar.xz": "AccessDenied"}, 0)
    assert [asked.part for asked in world.watched.copies()] == [1, 2]
    world.watched.refuse = lambda _: None
    assert (await world.run()).copied == 1
    assert [asked.part for asked in world.watched.copies()] == [1, 2, 3]
    assert await world.in_step()


async def test_a_server_that_asks_to_slow_down_is_asked_again(world: World) -> None:
    await world.put("a.tar.gz")
    times = iter([1])
    world.watched.refuse = lambda asked: (
        "SlowDown" if asked.name == "CopyObject" and next(times, 0) else None
    )
    progress = await world.run()
    assert (progress.copied, progress.failures) == (1, [])
    assert sum(asked.name == "CopyObject" for asked in world.watched.asked) == 2


async def test_a_server_that_is_slowed_down_at_the_start_is_asked_again(world: World) -> None:
    await world.put("a.tar.gz")
    times = iter(range(3))
    world.watched.refuse = lambda asked: (
        "SlowDown" if asked.name == "GET List" and next(times, None) is not None else None
    )
    assert (await world.run()).copied == 1


async def test_a_server_that_is_silent_is_asked_again_soon_for_whatever_parts_need(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sdk_client, "READ_SECONDS", 0.5)
    monkeypatch.setattr(random, "random", lambda: 0.0)  # the pauses before further attempts
    await world.put_in_parts("parts.tar.xz", some(5 * MIB), b"x")
    await world.next_second()
    asked_for = world.target.arguments("parts.tar.xz")
    for part in (b"short", some(5 * MIB)):  # an upload to abort, and one to continue
        upload = (await world.client.create_multipart_upload(**asked_for))["UploadId"]
        await world.put_part(asked_for, upload, 1, part)
    unheard: set[str] = set()

    async def be_silent(asked: Asked) -> None:
        if asked.name not in unheard:
            unheard.add(asked.name)
            await asyncio.Event().wait()

    world.watched.before = be_silent
    async with asyncio.timeout(60):
        progress = await world.run()
    assert (progress.copied, progress.failures) == (1, [])
    assert unheard == {
        "GET List", "HEAD", "GET Uploads", "GET Upload", "DELETE Upload", "UploadPartCopy",
        "POST Upload",
    }  # fmt: skip
    assert await world.in_step()


async def test_a_run_in_which_nothing_works_ends(world: World) -> None:
    await world.put_all(f"{number}.tar.gz" for number in range(130))
    world.watched.refuse = lambda asked: "AccessDenied" if asked.name == "CopyObject" else None
    with pytest.raises(ProxyError, match="stopped after 100 failures in a row"):
        await world.run(parallel=4)


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("InvalidObjectState", id="archived"),
        pytest.param(
            "InvalidRequest: The object was stored using a form of Server Side Encryption. The "
            "correct parameters must be provided to retrieve the object.",
            id="encrypted with a customer's key",
        ),
    ],
)
async def test_objects_that_cannot_be_read_at_the_origin_do_not_end_a_run(
    world: World, code: str
) -> None:
    await world.put_all(f"{number:03}.tar.gz" for number in range(130))
    await world.put("z.tar.gz")
    world.watched.refuse = lambda asked: (
        code if asked.name == "CopyObject" and "z.tar" not in asked.key else None
    )
    progress = await world.run(parallel=4)
    assert (progress.copied, len(progress.failures)) == (1, 130)


async def test_a_run_that_was_ended_is_continued_part_by_part(world: World) -> None:
    parts = some(5 * MIB), some(5 * MIB, 1), some(5 * MIB, 2), b"x"
    await world.put_in_parts("parts.tar.xz", *parts)
    await world.next_second()  # an upload of the same second could be for an older object
    gate = Gate(2, lambda asked: asked.name == "UploadPartCopy")
    world.watched.before = gate
    run = asyncio.ensure_future(world.run(parallel=1))
    await gate.reached.wait()
    run.cancel()
    with suppress(asyncio.CancelledError):
        await run
    made = {asked.part for asked in world.watched.copies()}
    assert made == {1, 2}
    world.watched.before = None
    world.watched.forget()
    progress = await world.run()
    assert {asked.part for asked in world.watched.copies()} == {3, 4}
    assert world.watched.count("POST Uploads") == 0
    assert (progress.copied, progress.moved, progress.other_etag) == (1, 15 * MIB + 1, 0)
    assert await world.in_step()


async def test_a_bucket_that_is_not_there_is_the_operators_to_mend(world: World) -> None:
    gone = world.target.entry.model_copy(update={"bucket": "nonesuch"})
    world.target = world.target.__class__("sites.0.targets.us-west-2", gone, "anonymous")
    with pytest.raises(ConfigError, match=r"targets\.us-west-2: bucket nonesuch"):
        await world.run()


async def test_a_bucket_that_refuses_may_be_of_another_account(world: World) -> None:
    world.target = replace(world.target, owner="111122223333")
    world.watched.refuse = lambda asked: "AccessDenied" if asked.bucket == "target" else None
    why = "if the bucket is not of account 111122223333, correct expected_owner"
    with pytest.raises(ConfigError, match=f"target: .*: not allowed; .*, and {why}"):
        await world.run()


async def test_a_server_that_is_not_there_is_named(world: World) -> None:
    gone = world.origin.entry.model_copy(update={"endpoint": "http://127.0.0.1:9"})
    world.origin = world.origin.__class__("sites.0.origin", gone, world.origin.credentials)
    with pytest.raises(OriginError, match=r"sites\.0\.origin: .*is the endpoint right"):
        await world.run()


async def test_an_object_whose_listing_has_no_etag_is_a_failure_and_not_called_replaced(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no ETag nothing shows that two objects of one size are equal."""
    for key in ("a.tar.gz", "b.tar.gz"):
        await world.put(key)
    await world.run(lambda key, _size: key == "a.tar.gz")

    def without(*given: Any) -> ListedObject:
        return _object(*given)._replace(etag="")

    _object = list_page._object
    monkeypatch.setattr(list_page, "_object", without)
    progress = await world.run()
    assert codes(progress.failures) == dict.fromkeys(("a.tar.gz", "b.tar.gz"), "NoETag")
    assert all(f"{NO_ETAG}; {NO_ETAG_REMEDY}" in each.text for each in progress.failures)
    assert (progress.same, progress.copied) == (0, 0)
    monkeypatch.undo()
    assert (await world.run()).copied == 1


@pytest.mark.parametrize("lacking", ["ETag", "Last-Modified"])
async def test_an_object_whose_head_does_not_show_its_version_is_a_failure_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    await world.put("a.tar.gz")
    await world.run()
    await world.next_second()
    await world.put("a.tar.gz")

    def without(asked: Asked, fields: dict[str, str]) -> None:
        for name in [name for name in fields if name.lower() == lacking.lower()]:
            if asked.name == "HEAD":
                del fields[name]

    world.watched.alter = without
    world.watched.forget()
    (failure,) = (await world.run()).failures
    assert f"no {lacking}; update the server" in failure.text
    assert [asked.name for asked in world.watched.asked].count("HEAD") == 1
    monkeypatch.setattr(replicator, "_IN_A_ROW", 1)
    with pytest.raises(ProxyError, match=f"in a row, the last with .*no {lacking}; .*") as ended:
        await world.run()
    assert not isinstance(ended.value, OriginError)  # of a server that cannot be reached
    assert "reachable" not in str(ended.value)
