"""Why clients could not read an object that is there: archived, or encrypted with another's key.

HEAD requests and listings go on showing such objects, so a redirect to one would end in an error.

Sources: API reference, "HeadObject" (x-amz-storage-class, x-amz-archive-status, x-amz-restore); S3
user guide, "Working with archived objects", "Using server-side encryption with KMS keys" and "with
customer-provided keys"; "Amazon S3 Inventory list" (the columns of a report).
"""

from __future__ import annotations

import re
import time
from email.utils import parsedate_to_datetime
from enum import StrEnum
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nearbucket.config.sites import Site


class Unreadable(StrEnum):
    """What keeps clients from reading an object."""

    ARCHIVED = "archived"
    """GET is answered 403 InvalidObjectState until the object has been restored."""
    KMS = "encrypted with a KMS key"
    """A request without a signature is answered 400."""
    CUSTOMER_KEY = "encrypted with a customer-provided key"
    """A request without that key is answered 400, also a HEAD."""


def barriers_of(site: Site) -> frozenset[Unreadable]:
    """What keeps clients of a site from reading a copy: KMS keys can be used by signed URLs."""
    signed = site.redirect.presign is not None
    return frozenset(Unreadable) - ({Unreadable.KMS} if signed else set())


ARCHIVES = frozenset({"GLACIER", "DEEP_ARCHIVE"})
"""Storage classes whose objects have to be restored; those of ``GLACIER_IR`` can be read."""

TIERED = "INTELLIGENT_TIERING"
"""The storage class whose objects are archived if their access tier is."""

_READABLE_TIERS = frozenset({"FREQUENT", "INFREQUENT", "ARCHIVE_INSTANT_ACCESS", "ARCHIVE_INSTANT"})
_REPORTED = {
    "SSE-KMS": Unreadable.KMS,
    "DSSE-KMS": Unreadable.KMS,
    "SSE-C": Unreadable.CUSTOMER_KEY,
}
_RESTORE = re.compile(r'ongoing-request="?(true|false)(?:.*expiry-date="?([^"]*))?')

SOON = 3600.0
"""Seconds for which a restored object has to stay readable: downloads begin, and are resumed."""


def unreadable_by_head(fields: Mapping[str, str], lasting: float = SOON) -> Unreadable | None:
    """What keeps clients from reading an object, by the response to a HEAD; None if nothing does.

    Args:
        fields: Its header fields; names in lower case, or found in any case.
        lasting: Seconds for which a restored object has to stay readable.
    """
    restore = _RESTORE.search(fields.get("x-amz-restore", ""))
    restoring = restore is not None and restore[1] == "true"
    restored = restore is not None and not restoring and _seconds_left(restore[2]) > lasting
    archived = fields.get("x-amz-storage-class") in ARCHIVES and not restored
    if archived or restoring or "x-amz-archive-status" in fields:
        return Unreadable.ARCHIVED
    if "x-amz-server-side-encryption-customer-algorithm" in fields:
        return Unreadable.CUSTOMER_KEY
    if fields.get("x-amz-server-side-encryption", "").startswith("aws:kms"):  # also aws:kms:dsse
        return Unreadable.KMS
    return None


def _seconds_left(expiry: str | None) -> float:
    """Seconds until a restored copy expires; without a date it does not, and what is none is 0."""
    if expiry is None:
        return inf
    try:
        return parsedate_to_datetime(expiry).timestamp() - time.time()
    except (ValueError, OverflowError):
        return 0.0


def maybe_archived(storage_class: str, tier: str = "") -> bool:
    """Whether an object may be archived, by what a listing or an inventory report says of it.

    Args:
        storage_class: Its storage class. A listing does not say whether it was restored.
        tier: Its access tier in a report; a listing does not have it.
    """
    if storage_class == TIERED:
        return tier not in _READABLE_TIERS
    return storage_class in ARCHIVES


def unreadable_by_report(encryption: str) -> Unreadable | None:
    """How an object is encrypted, by the column EncryptionStatus; None if clients can read it."""
    return _REPORTED.get(encryption)
