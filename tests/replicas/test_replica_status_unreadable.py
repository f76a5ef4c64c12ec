"""The status of a copy that is there, but that clients cannot read."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from nearbucket.policy.model import Reason
from nearbucket.replicas.object_version import LOCKED, ObjectVersion
from tests.replicas.known_copies import ASK, HERE, KEY, NOW, OBJECT, THERE, Known, World, judged

pytestmark = pytest.mark.usefixtures("stopped_clock")

CLASS, RESTORE = "x-amz-storage-class", "x-amz-restore"
SSE, OWN_KEY = (
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-customer-algorithm",
)
RUNNING = 'ongoing-request="true"'
RESTORED = 'ongoing-request="false", expiry-date="Fri, 21 Dec 2035 00:00:00 GMT"'


@pytest.mark.parametrize("verify", ["match", "exists"])
@pytest.mark.parametrize(
    ("fields", "plain", "signed"),
    [
        ({CLASS: "GLACIER"}, False, False),
        ({CLASS: "DEEP_ARCHIVE"}, False, False),
        ({CLASS: "GLACIER", RESTORE: RUNNING}, False, False),
        ({CLASS: "GLACIER", RESTORE: RESTORED}, True, True),
        ({CLASS: "DEEP_ARCHIVE", RESTORE: RESTORED}, True, True),
        ({CLASS: "GLACIER_IR"}, True, True),
        ({CLASS: "INTELLIGENT_TIERING"}, True, True),
        ({CLASS: "INTELLIGENT_TIERING", "x-amz-archive-status": "ARCHIVE_ACCESS"}, False, False),
        ({CLASS: "INTELLIGENT_TIERING", "x-amz-archive-status": "DEEP_ARCHIVE_ACCESS",
          RESTORE: RUNNING}, False, False),
        ({CLASS: "STANDARD_IA"}, True, True),
        ({SSE: "AES256"}, True, True),
        ({SSE: "aws:kms"}, False, True),
        ({SSE: "aws:kms:dsse"}, False, True),
        ({SSE: "aws:kms", CLASS: "GLACIER"}, False, False),
        ({SSE: "aws:kms", CLASS: "GLACIER", RESTORE: RESTORED}, False, True),
        ({OWN_KEY: "AES256"}, False, False),
    ],
)  # fmt: skip
def test_a_copy_that_clients_cannot_read_is_unreadable(
    verify: str,
    fields: dict[str, str],
    plain: bool,  # noqa: FBT001  # a cell
    signed: bool,  # noqa: FBT001  # a cell
) -> None:
    copy = ObjectVersion.of(CIMultiDict({"Content-Length": "100", "ETag": '"e"', **fields}))
    for redirect, readable in (({}, plain), ({"presign": "15m"}, signed)):
        world = World(None, verify=verify, **redirect)
        world.know("downloads", HERE)
        world.know("us-west-2-downloads", Known(copy))
        assert world.status().against is (None if readable else Reason.UNREADABLE)


def test_a_report_names_what_keeps_clients_from_reading_the_copy() -> None:
    world = World(None, verify="match")
    world.know("downloads", HERE)
    world.know("us-west-2-downloads", Known(OBJECT._replace(unreadable="archived")))
    word, detail = world.one.report("*", "us-west-2", KEY, world.status())
    assert word == "unreadable"
    assert "target: 100 bytes, ETag e, archived, checked 0 s ago" in detail
    world.know("us-west-2-downloads", Known(LOCKED))
    assert "customer-provided key" in world.one.report("*", "us-west-2", KEY, world.status())[1]


def test_an_object_that_is_encrypted_with_a_customer_provided_key_is_unreadable() -> None:
    assert judged("match", HERE, Known(LOCKED)).against is Reason.UNREADABLE
    assert judged("exists", None, Known(LOCKED)).against is Reason.UNREADABLE


def test_only_the_copy_has_to_be_readable() -> None:
    archived = OBJECT._replace(unreadable="archived")
    assert judged("match", Known(archived), THERE).against is None
    assert judged("none", Known(archived), None, smallest=1).against is None


def test_that_a_copy_cannot_be_read_is_valid_no_longer_than_that_it_is_missing() -> None:
    archived = OBJECT._replace(unreadable="archived")
    assert judged("match", HERE, Known(archived, 30.0)).until == NOW
    assert judged("match", HERE, Known(archived, 30.1)).against is ASK


@pytest.mark.parametrize("region", ["us-east-1", "us-west-2"])
def test_a_version_that_a_response_has_shown_needs_a_head_of_the_copy(region: str) -> None:
    """It does not say whether clients can read the object."""
    shown = OBJECT._replace(checksums=None, unreadable=None)
    world = World(None, verify="match")
    world.know("downloads", Known(shown))
    world.know("us-west-2-downloads", THERE if region == "us-east-1" else Known(shown))
    assert world.status(region).against is ASK
    assert "downloads" in world.opens(region)
    world.know("downloads", HERE)
    world.know("us-west-2-downloads", THERE)
    assert world.status(region).against is None


def test_a_listing_does_not_hide_what_a_head_has_shown() -> None:
    world = World(None, verify="match")
    world.know("downloads", HERE)
    world.know("us-west-2-downloads", Known(OBJECT._replace(unreadable="archived"), 1.0))
    world.know("us-west-2-downloads", Known(OBJECT._replace(checksums=None)))
    assert world.status().against is Reason.UNREADABLE
