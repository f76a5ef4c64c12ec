"""Objects that sync copies in tests, and the codes of those that it cannot copy."""

from __future__ import annotations

import random
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nearbucket.replication.sync_progress import SyncFailure

DESCRIBED: dict[str, Any] = {
    "ContentType": "application/gzip",
    "ContentEncoding": "gzip",
    "ContentDisposition": 'attachment; filename="app.tar.gz"',
    "ContentLanguage": "de",
    "CacheControl": "public, max-age=60",
    "Expires": "Wed, 21 Oct 2037 07:28:00 GMT",
    "Metadata": {"build": "42", "odd": "a=b; c"},
    "Tagging": "team=core&note=a%20b%2Bc",
}


@cache
def some(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)  # noqa: S311  # content, not a secret


def codes(failures: list[SyncFailure]) -> dict[str, str]:
    return {failure.key: failure.code for failure in failures}
