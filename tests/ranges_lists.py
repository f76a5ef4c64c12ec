"""Lists of prefixes for tests: a synthetic one, the published one, and documents of a few rows.

Every test that needs a whole list runs on ``MADE``, which is committed, and those marked with
``LISTS`` once more on AWS's own, where a copy of it is kept beside the repository. Where it is
not, only those second runs are skipped.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nearbucket.regions.ip_ranges import Ranges, read_ranges
from tests import made_ranges
from tests.skips import NO_PUBLISHED_LIST

if TYPE_CHECKING:
    from collections.abc import Sequence

FOLDER = Path(__file__).parents[2] / "shared" / "data"


@dataclass(frozen=True, eq=False)
class RangesList:
    """A whole list, and clients whose regions are known.

    Attributes:
        path: The file of the list.
        east: Address in us-east-1, in an IPv6 prefix inside CloudFront's GLOBAL one.
        west: Address in us-west-2, in a local zone.
        seoul: Address in ap-northeast-2.
        sydney: Address in ap-southeast-2, in a prefix inside a GLOBAL one.
        outside: Addresses in no region where EC2 alone counts.
    """

    path: Path
    east: str
    west: str
    seoul: str
    sydney: str
    outside: Sequence[str]

    @cached_property
    def document(self) -> bytes:
        """Content of the file."""
        return self.path.read_bytes()

    @cached_property
    def ranges(self) -> Ranges:
        """The rows of the list."""
        return read_ranges(self.document)


MADE = RangesList(
    path=made_ranges.MADE,
    east="3fff:200:1::1",
    west="198.19.209.1",
    seoul="198.19.204.1",
    sydney="198.19.163.1",
    outside=["203.0.113.9", "198.19.175.1", "198.19.208.1", "10.0.0.1", "198.19.214.1", "::1"],
)
_STORED = sorted(FOLDER.glob("ip-ranges-*.json"))
PUBLISHED = RangesList(
    path=_STORED[-1] if _STORED else FOLDER,
    east="2600:9000:5201::1",
    west="15.181.0.1",
    seoul="3.5.140.1",
    sydney="15.193.3.1",
    outside=["203.0.113.9", "15.193.31.1", "40.168.227.1", "10.0.0.1", "52.94.5.1", "::1"],
)

needs_published = pytest.mark.skipif(not _STORED, reason=NO_PUBLISHED_LIST)
"""For a test that has nothing to do on the synthetic list."""


LISTS = [
    pytest.param(MADE, id="synthetic list"),
    pytest.param(PUBLISHED, id="published list", marks=needs_published),
]
each_list = pytest.mark.parametrize("ranges_list", LISTS)


def on_both(name: str, made: Sequence[Any], published: Sequence[Any], *same: Any) -> list[Any]:
    """Two rows of a table: a list, the values for that list, and the values for both.

    Args:
        name: Their ids begin with the list's name and end with this.
        made: Values for the synthetic list.
        published: Values for the published list.
        same: Values that follow in both.
    """
    return [
        pytest.param(MADE, *made, *same, id=f"synthetic list-{name}"),
        pytest.param(
            PUBLISHED, *published, *same, id=f"published list-{name}", marks=needs_published
        ),
    ]


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
