"""Copies that clients cannot read are not up to date, whatever the listings say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nearbucket.replication.plan import steps_of
from nearbucket.s3.unreadable import Unreadable
from tests.build import settings
from tests.replication.test_sync_command import Command

if TYPE_CHECKING:
    from pathlib import Path

    from tests.replication.conftest import World
    from tests.replication.watched import Asked

KEY, BODY = "a.tar.gz", b"some bytes"
RESTORED = 'ongoing-request="false", expiry-date='


class Kept:
    """Gives HEADs of the target further fields, which SeaweedFS does not keep itself."""

    def __init__(self, world: World, **fields: str) -> None:
        self.bucket, self.fields = world.target.entry.bucket, fields
        world.watched.alter = self

    def __call__(self, asked: Asked, fields: dict[str, str]) -> None:
        if (asked.name, asked.bucket) == ("HEAD", self.bucket):
            fields |= {name.replace("_", "-"): value for name, value in self.fields.items()}


async def both(world: World, **more: Any) -> None:
    """Put the same object into both buckets."""
    await world.put(KEY, BODY)
    await world.client.put_object(**world.target.arguments(KEY), Body=BODY, **more)


ARCHIVED = [
    ("GLACIER", {}, True),
    ("DEEP_ARCHIVE", {}, True),
    ("GLACIER", {"x-amz-restore": 'ongoing-request="true"'}, True),
    ("GLACIER", {"x-amz-restore": f'{RESTORED}"Fri, 21 Dec 2035 00:00:00 GMT"'}, False),
    ("GLACIER", {"x-amz-restore": f'{RESTORED}"x"'}, True),
    ("INTELLIGENT_TIERING", {"x-amz-archive-status": "ARCHIVE_ACCESS"}, True),
    ("INTELLIGENT_TIERING", {}, False),
    ("GLACIER_IR", {}, False),
    ("STANDARD_IA", {}, False),
]
"""Storage class, further fields of HEAD, and whether that copy is archived."""


async def test_an_equal_copy_that_is_archived_is_not_up_to_date_and_not_copied(
    world: World,
) -> None:
    rows = {f"{number}.tar.gz": row for number, row in enumerate(ARCHIVED)}
    await world.put_all(rows, BODY)
    for key, (storage_class, _, _) in rows.items():
        await world.client.put_object(
            **world.target.arguments(key), Body=BODY, StorageClass=storage_class
        )

    def alter(asked: Asked, fields: dict[str, str]) -> None:
        if (asked.name, asked.bucket) == ("HEAD", world.target.entry.bucket):
            fields |= rows[asked.key.removeprefix(world.target.entry.prefix)][1]

    world.watched.alter = alter
    archived = [key for key, row in rows.items() if row[2]]
    for dry_run in (True, False):
        progress = await world.run(dry_run=dry_run)
        assert {why: sorted(keys) for why, keys in progress.unreadable.items()} == {
            "archived": archived
        }
        same = len(rows) - len(archived)
        assert (progress.same, progress.objects, progress.size) == (same, 0, 0)
    assert (world.watched.copies(), progress.failures) == ([], [])


async def test_only_copies_that_may_be_archived_cost_a_request(world: World) -> None:
    await world.put(KEY, BODY)
    await world.run()
    world.watched.forget()
    await world.run()
    assert not [asked for asked in world.watched.asked if asked.name == "HEAD"]


async def test_an_archived_copy_of_an_older_version_is_replaced(world: World) -> None:
    await both(world, StorageClass="DEEP_ARCHIVE")
    await world.put(KEY, BODY[::-1])
    progress = await world.run()
    assert (progress.copied, progress.unreadable) == (1, {})
    assert await world.in_step()


async def test_an_archived_copy_of_another_tool_is_not_read(world: World) -> None:
    await world.put(KEY, BODY)
    await world.put_by_another_tool(KEY, BODY, StorageClass="GLACIER")
    progress = await world.run(adopt=True)
    assert (progress.unreadable, progress.failures) == ({"archived": [KEY]}, [])


@pytest.mark.parametrize(
    "scheme", ["aws:kms", pytest.param("aws:kms:dsse", marks=pytest.mark.long)]
)
async def test_copies_under_a_kms_key_are_up_to_date_only_for_signed_urls(
    world: World, scheme: str
) -> None:
    """SeaweedFS without a KMS: the field is added, and parts give the copy another ETag."""
    await world.put(KEY, BODY)
    Kept(world, x_amz_server_side_encryption=scheme)
    signed = frozenset(Unreadable) - {Unreadable.KMS}
    first = await world.run(largest_piece=5)
    assert (first.copied, first.other_etag, first.unreadable) == (1, 1, {"kms": [KEY]})
    second = await world.run(largest_piece=5)
    assert (second.same, second.copied, second.unreadable) == (0, 0, {"kms": [KEY]})
    third = await world.run(largest_piece=5, barriers=signed)
    assert (third.same, third.copied, third.unreadable) == (1, 0, {})


async def test_a_copy_under_a_customers_key_is_named(world: World) -> None:
    await world.put(KEY, BODY)
    await world.client.put_object(
        **world.target.arguments(KEY),
        Body=BODY[::-1],  # S3 gives it another ETag in any case, SeaweedFS does not
        SSECustomerAlgorithm="AES256",
        SSECustomerKey="k" * 32,
    )
    progress = await world.run()
    assert (progress.unreadable, progress.failures) == ({"customer key": [KEY]}, [])


async def test_an_object_of_the_origin_under_a_customers_key_is_named(world: World) -> None:
    """A HEAD of it has the status 400, and no code."""
    await world.put(KEY, BODY, SSECustomerAlgorithm="AES256", SSECustomerKey="k" * 32)
    await world.client.put_object(**world.target.arguments(KEY), Body=BODY[::-1])
    (failure,) = (await world.run()).failures
    assert "encrypted with a customer-provided key; encrypt it in another way" in failure.text


async def test_the_command_says_what_helps_and_ends_with_1(world: World, tmp_path: Path) -> None:
    await both(world, StorageClass="GLACIER")
    end = await Command(world, tmp_path).run("sync")
    assert end.code == 1
    assert "us-west-2\tup to date\t0\n" in end.out
    assert "us-west-2\tunreadable\t1\n" in end.out
    assert "archived: restore them, or delete them and run sync again" in end.err
    assert end.err.endswith(f": {KEY}\n")


@pytest.mark.parametrize(("redirect", "kms"), [({}, True), ({"presign": "15m"}, False)])
def test_kms_is_a_barrier_without_signed_urls(redirect: dict[str, Any], *, kms: bool) -> None:
    step = steps_of(settings(site={"redirect": redirect}), (), (), delete=False)[0]
    assert (Unreadable.KMS in step.barriers) is kms
    assert step.barriers >= {Unreadable.ARCHIVED, Unreadable.CUSTOMER_KEY}
