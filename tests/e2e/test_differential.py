"""Through the proxy S3 answers what it answers directly, but for what is listed here.

Two lists: how a request is read where the S3 server at hand reads it otherwise than RFC 9110
(the answer must then be what that server says to the plainer request), and what is changed in
an answer. A difference that no row explains fails, and so does a row that explains nothing.
Each row says what AWS S3 does; the sources are named where there is one.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from tests.build import FORWARDED, settings
from tests.e2e.differential import (
    BUCKET,
    CONDITIONS,
    RANGES,
    Cell,
    Said,
    Twice,
    client,
    fill,
    matrix,
    pairs,
    sample,
)
from tests.serving import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import LocalS3

UNTRUE = frozenset({
    "if-range other", "if-range weak", "if-range before", "if-range after", "if-range nonsense",
})  # fmt: skip
PLURAL = frozenset({
    "none-match any", "none-match list", "none-match others", "match list", "match others",
    "match any, none-match any",
})  # fmt: skip
STRONG = {"none-match weak": "none-match same", "none-match list, weak": "none-match list"}
PLAIN = {"in capitals": "first byte", "spaced": "first byte", "over 64 bits": "over the end"}


@dataclass(frozen=True)
class Reading:
    """A request that is answered as S3 answers another one."""

    name: str
    where: Callable[[Cell], bool]
    as_if: Callable[[Cell], Cell]
    reason: str
    aws: str


@dataclass(frozen=True)
class Difference:
    """One part of two answers; None where it is absent."""

    cell: Cell
    status: int
    part: str
    direct: str | None
    proxied: str | None
    plain: str | None
    """What S3 says to the same method and object without range and conditions."""


@dataclass(frozen=True)
class Change:
    """What is changed in an answer by contract."""

    name: str
    explains: Callable[[Difference], bool]
    reason: str
    aws: str


READINGS = (
    Reading(
        "403 is 404",
        lambda cell: cell.kind == "forbidden",
        lambda cell: cell.but(kind="missing"),
        "403 is what S3 says of a missing key to those who may not list; clients are not told "
        "which objects exist",
        "403 AccessDenied for a denied key, and for a missing one without s3:ListBucket",
    ),
    Reading(
        "a range that is none",
        lambda cell: cell.span in {"reversed", "no number", "no bounds"},
        lambda cell: cell.but(span="none"),
        "an invalid Range is ignored (RFC 9110 section 14.2); SeaweedFS says 416",
        "200 with the whole object (localstack/localstack#9076, versity/versitygw#1120)",
    ),
    Reading(
        "a range written unusually",
        lambda cell: cell.span in PLAIN,
        lambda cell: cell.but(span=PLAIN[cell.span]),
        "units have no case, blanks around a range mean nothing and positions have no limit "
        "(RFC 9110 sections 5.6.1, 14.1); S3 is sent the canonical form. SeaweedFS ignores "
        "capitals and says 416 to the others",
        "not known; it is never asked",
    ),
    Reading(
        "If-Range that does not hold",
        lambda cell: cell.condition in UNTRUE,
        lambda cell: cell.but(span="none"),
        "the whole object, unless it is the very version of a strong tag or the exact date (RFC "
        "9110 section 13.1.5). SeaweedFS has no If-Range and would splice two versions",
        "knows If-Range (awslabs/aws-sdk-kotlin#1645); never asked: the part is asked for with "
        "If-Match or If-Unmodified-Since, which every S3 has",
    ),
    Reading(
        "If-Range beside If-Match or If-Unmodified-Since",
        lambda cell: cell.condition == "if-range same, match same",
        lambda cell: cell.but(span="none"),
        "the fields in which If-Range is asked are taken; ignoring Range is always allowed (RFC "
        "9110 section 14.2)",
        "206, presumably; no client is known to send both",
    ),
    Reading(
        "If-None-Match with weak tags",
        lambda cell: cell.condition in STRONG,
        lambda cell: cell.but(condition=STRONG[cell.condition]),
        "compared weakly (RFC 9110 section 13.1.2): CloudFront makes tags weak when it "
        "compresses. SeaweedFS never matches them",
        "not known; it is asked with the strong tag",
    ),
    Reading(
        "several tags or * with a range",
        lambda cell: cell.condition in PLURAL and cell.method == "GET",
        lambda cell: cell.but(span="none"),
        "lists and * of If-None-Match, and lists of If-Match, are decided here, on the answer's "
        "ETag, which a 416 does not have; ignoring Range is always allowed",
        "any tag of a list satisfies a read (versity/versitygw#2368); other servers do not agree "
        "(minio/minio#21727), so it is not asked",
    ),
    Reading(
        "a date that is none",
        lambda cell: cell.condition in {"modified since nonsense", "unmodified since nonsense"},
        lambda cell: cell.but(condition="none"),
        "ignored (RFC 9110 sections 13.1.3, 13.1.4); SeaweedFS says 400",
        "not known; it is never asked",
    ),
)

CHANGES = (
    Change(
        "who answers",
        lambda d: (
            (d.part == "server" and d.proxied == "nearbucket")
            or (
                d.part == "x-nearbucket"
                and d.proxied == "stream; region=UNKNOWN; reason=outside-aws"
            )
        ),
        "Server and X-Nearbucket are ours",
        "Server: AmazonS3",
    ),
    Change(
        "Date",
        lambda d: d.part == "date" and _near(d.direct, d.proxied),
        "each answer has its own",
        "the same",
    ),
    Change(
        "metadata and tags",
        lambda d: d.part.startswith(("x-amz-meta-", "x-amz-tagging")) and d.proxied is None,
        "notes of whoever uploaded, not for clients",
        "x-amz-meta-*, x-amz-tagging-count",
    ),
    Change(
        "S3's own fields",
        lambda d: (
            d.part.startswith(("x-amz-", "seaweed-"))
            and not d.part.startswith(("x-amz-meta-", "x-amz-tagging"))
            and d.proxied is None
        ),
        "ids, owner, storage class: how the object is kept is not the client's affair",
        "more of them: x-amz-id-2, -version-id, -server-side-encryption, -replication-status ...",
    ),
    Change(
        "aws-chunked",
        lambda d: (d.part, d.direct, d.proxied) == ("content-encoding", "gzip,aws-chunked", "gzip"),
        "a framing of uploads that SeaweedFS stores as if it were the object's encoding",
        "strips it when storing",
    ),
    Change(
        "errors in our words",
        lambda d: d.status >= 400 and d.part in _ERROR_FIELDS and _ERROR_FIELDS[d.part](d),
        "a short text instead of XML that names bucket, key and request; how long it may be kept",
        "XML, no Cache-Control",
    ),
    Change(
        "a lean 304",
        lambda d: (d.status, d.part, d.proxied) == (304, "accept-ranges", None),
        "a 304 has the fields of RFC 9110 section 15.4.5",
        "not known",
    ),
    Change(
        "a complete 304",
        lambda d: (
            d.status == 304
            and d.part in {"last-modified", "cache-control", "expires"}
            and d.direct is None
            and d.proxied == d.plain
        ),
        "one that is decided here is made of a 200 and says all that a cache has to renew (RFC "
        "9110 section 15.4.5); SeaweedFS leaves some out",
        "not known",
    ),
)


_ERROR_FIELDS: dict[str, Callable[[Difference], bool]] = {
    "content-type": lambda d: d.proxied == "text/plain; charset=utf-8",
    "cache-control": lambda d: d.proxied == "no-store",
    "content-length": lambda d: d.proxied is not None,
    "accept-ranges": lambda d: d.proxied is None,
}


def _near(one: str | None, other: str | None) -> bool:
    if one is None or other is None:
        return False
    apart = parsedate_to_datetime(one) - parsedate_to_datetime(other)
    return abs(apart.total_seconds()) < 600  # an answer of S3 is kept for the whole test


def _differences(cell: Cell, direct: Said, proxied: Said, plain: Said) -> Iterator[Difference]:
    """All parts in which two answers differ; of error bodies, the fields are enough."""
    left = {**direct.headers, "status": str(direct.status)}
    right = {**proxied.headers, "status": str(proxied.status)}
    if direct.status < 300:
        left["body"], right["body"] = direct.body, proxied.body
    for part in sorted(left.keys() | right.keys()):
        one, other = left.get(part), right.get(part)
        if one != other:
            yield Difference(cell, proxied.status, part, one, other, plain.headers.get(part))


class Comparison:
    """What was found, cell by cell."""

    def __init__(self, twice: Twice) -> None:
        self._twice = twice
        self._gate = asyncio.Semaphore(16)
        self.used: set[str] = set()
        self.unexplained: list[Difference] = []

    async def compare(self, cell: Cell) -> None:
        """Ask both about one cell, and note every difference or the row that explains it."""
        async with self._gate:
            proxied = await self._twice.proxied(cell)
            direct = await self._as_read(cell)
            plain = await self._twice.direct(Cell(cell.method, cell.kind))
        for difference in _differences(cell, direct, proxied, plain):
            rows = [row.name for row in CHANGES if row.explains(difference)]
            self.used.update(rows)
            if not rows:
                self.unexplained.append(difference)

    async def _as_read(self, cell: Cell) -> Said:
        """S3's answer to the request as it is read here."""
        answer = await self._twice.direct(cell)
        for row in READINGS:
            if row.where(cell):
                cell = row.as_if(cell)
                before, answer = answer, await self._twice.direct(cell)
                if (before.status, before.body) != (answer.status, answer.body):
                    self.used.add(row.name)
        return answer


@pytest.fixture(scope="session")  # as long as the server: tests may come and go between processes
@cache  # pytest registers the fixtures of a module twice when arguments name it twice
def known(s3: LocalS3) -> dict[str, dict[str, Any]]:
    return asyncio.run(fill(s3.server))


@pytest.mark.parametrize(
    "cells",
    [
        pytest.param(sample, id="every pair"),
        pytest.param(matrix, id="the whole matrix", marks=pytest.mark.long),
    ],
)
async def test_the_proxy_answers_as_s3_does_but_for_the_listed_differences(
    s3: LocalS3, known: dict[str, dict[str, Any]], cells: Callable[[], Iterator[Cell]]
) -> None:
    chosen = settings(
        site={"origin": s3.entry(BUCKET).model_dump()},
        client_address=FORWARDED,
    )
    async with serving(chosen) as served, client() as session:
        found = Comparison(Twice(s3.server, served.port, session, known))
        await asyncio.gather(*(found.compare(cell) for cell in cells()))
    where = sorted({f"{d.cell.condition} / {d.cell.span}" for d in found.unexplained})
    assert not where, (len(where), where, found.unexplained[:10])
    idle = {row.name for row in (*READINGS, *CHANGES)} - found.used
    assert not idle, "these rows explain nothing any more"


def test_the_matrix_meets_every_pair_of_range_and_condition_in_thousands_of_cells() -> None:
    cells = list(matrix())
    met = {(cell.span, cell.condition) for cell in cells if cell.method == "GET"}
    assert len(met) == len(RANGES) * len(CONDITIONS)
    assert len(set(cells)) == len(cells) == 9356, "docs/request-handling.md names the size"


def test_the_sample_meets_every_pair_of_two_coordinates_in_the_matrix() -> None:
    chosen = list(sample())
    assert set().union(*map(pairs, chosen)) == set().union(*map(pairs, matrix()))
    assert len(chosen) < 9356 / 8, "docs/request-handling.md names the size"
