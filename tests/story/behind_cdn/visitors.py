"""Clients of a distribution: they follow redirects, and say where their bytes came from."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

from yarl import URL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import ClientSession

EAST, WEST, OUTSIDE = "us-east-1", "us-west-2", "outside"
REGIONS = EAST, WEST, OUTSIDE
_NETWORKS = {
    EAST: ("192.0.2.{}", "2001:db8:1:{:x}::7"),
    WEST: ("198.51.100.{}", "2001:db8:2:{:x}::7"),
    OUTSIDE: ("203.0.113.{}", "2001:db8:f:{:x}::7"),
}
"""Of ``config/ip-ranges.sample.json``; IPv4 addresses from 193 on are outside all regions there."""
_numbers = count()
CDN = "cdn"


@dataclass(frozen=True, slots=True)
class Got:
    """What a visitor got.

    Attributes:
        region: Where the visitor is.
        place: Where the last answer came from: a target's region, ``second`` or ``cdn``.
        status: Status of the last answer.
        body: Its body.
        etag: Its ETag.
        first_status: Status of the first answer, that of the distribution.
        note: The product's X-Nearbucket, which the cache may have kept.
        size: Its Content-Length.
    """

    region: str
    place: str
    status: int
    body: bytes = field(repr=False)
    etag: str
    first_status: int
    note: str
    size: str

    @property
    def reason(self) -> str:
        """The product's reason."""
        return self.note.rpartition("reason=")[2]


@dataclass
class Visitors:
    """Visitors of one distribution, each with an address that no other one has had.

    Attributes:
        session: For their requests.
        url: The distribution.
        host: The host that they name.
        places: Names of the places to which redirects lead, by the beginning of the URL.
    """

    session: ClientSession
    url: str
    host: str
    places: Mapping[str, str]

    def address(self, region: str) -> str:
        """Another address of a region."""
        number = next(_numbers)
        v4, v6 = _NETWORKS[region]
        return v4.format(number + 194) if number < 60 else v6.format(number)

    async def get(  # noqa: PLR0913  # what a request may have
        self,
        region: str,
        target: str,
        fields: Mapping[str, str] | None = None,
        *,
        method: str = "GET",
        address: str | None = None,
        follow: bool = True,
    ) -> Got:
        """Ask for an object, and follow redirects.

        Args:
            region: Where the visitor is.
            target: Path and query.
            fields: Further header fields.
            method: GET or HEAD.
            address: The visitor's address.
            follow: Whether it follows redirects.
        """
        own = {"X-Viewer": address or self.address(region), "Host": self.host, **(fields or {})}
        place, url = CDN, self.url + target
        first_status, note = 0, ""
        for _ in range(5):
            async with self.session.request(
                method, URL(url, encoded=True), headers=own, allow_redirects=False
            ) as answer:
                body = await answer.read()
                headers, status = answer.headers, answer.status
            first_status, note = first_status or status, note or headers.get("X-Nearbucket", "")
            if status not in {301, 302, 303, 307, 308} or not follow:
                break
            url = headers["Location"]
            place = next((self.places[each] for each in self.places if url.startswith(each)), url)
            own = dict(fields or {})
        return Got(
            region, place, status, body, headers.get("ETag", ""), first_status, note,
            headers.get("Content-Length", ""),
        )  # fmt: skip
