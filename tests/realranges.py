"""Lists for tests: the published one kept beside the repository, and made-up ones.

Out: documents and rows. A test that asks for the published list where the file is absent is
skipped with the reason, so a clone without the shared folder still passes.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from proxy.decide.regions import Ranges, read_ranges

if TYPE_CHECKING:
    from collections.abc import Sequence

FOLDER = Path(__file__).parents[2] / "shared" / "data"


def real_path() -> Path:
    """The newest stored ip-ranges.json; skips the asking test when there is none."""
    stored = sorted(FOLDER.glob("ip-ranges-*.json"))
    if not stored:
        pytest.skip(f"no published list in {FOLDER}")
    return stored[-1]


@functools.cache
def real_document() -> bytes:
    """Content of ``real_path``."""
    return real_path().read_bytes()


@functools.cache
def real_ranges() -> Ranges:
    """The rows of the newest stored list."""
    return read_ranges(real_document())


GOOD = {"ip_prefix": "3.5.140.0/22", "region": "ap-northeast-2", "service": "EC2"}


def document(*prefixes: object, v6: Sequence[object] = (), **top: object) -> bytes:
    """An ip-ranges.json with these rows."""
    whole = {
        "syncToken": "1700000000",
        "createDate": "2023-11-14-22-13-20",
        "prefixes": list(prefixes),
        "ipv6_prefixes": list(v6),
    }
    return json.dumps(whole | top).encode()


def row(prefix: str, region: str = "eu-west-1", service: str = "EC2") -> dict[str, str]:
    """One row of the document, under the key of its family."""
    key = "ipv6_prefix" if ":" in prefix else "ip_prefix"
    return {key: prefix, "region": region, "service": service, "network_border_group": region}
