"""Objects whose bytes a seed gives, so that any part of a download can be checked."""

from __future__ import annotations

import hashlib
import random
from functools import lru_cache


@lru_cache(maxsize=64)
def content(key: str, version: int, size: int) -> bytes:
    """The bytes of a version of an object."""
    return random.Random(f"{key} {version}").randbytes(size)  # noqa: S311  # content


@lru_cache(maxsize=4096)
def digest(key: str, version: int, size: int, first: int, last: int) -> bytes:
    """SHA-256 of the bytes from ``first`` to before ``last``."""
    return hashlib.sha256(memoryview(content(key, version, size))[first:last]).digest()
