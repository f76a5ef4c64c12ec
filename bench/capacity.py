"""How much traffic one task, ten and a hundred can serve, by a model of measured costs.

``python -m bench.capacity`` prints the tables of ``docs/scale.md``. CPU times are those of the
newest file in ``bench/results``; what is not measured there is a constant with its source.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from nearbucket.config.prices import Prices
from nearbucket.pricing.bill import s3_get_per_request, s3_list_per_request
from nearbucket.pricing.tariff import tariff
from nearbucket.replicas.bucket_cache import RENEW_AFTER
from nearbucket.replicas.list_verification import ListingDecision, Renewals

TASKS = 1, 10, 100
BUSY = 0.6
"""Share of a core that is planned with; the rest is for peaks, and for a task that is replaced."""
VCPU_HOUR, MEMORY_GB_HOUR, MEMORY_GB = 0.03238, 0.00356, 2
"""A Fargate task of 1 vCPU on ARM (Fargate pricing, us-east-1)."""
DOWNLOAD_MB = 20
"""Average size of a download, as in ``docs/costs.py``."""
REDIRECTED = 0.47
"""Share of the requests that are redirected, as in ``docs/costs.py``."""
STREAM_KIB = 512
"""Memory that ``limits.max_streams: auto`` counts for a stream; half of all memory is for them."""
READER_KIB, READER_KERNEL_KIB = 140, 200
"""Memory of a client that is slower than S3, in the process with TLS to S3, and in the kernel
(docs/operations.md, "Scaling")."""
VERIFY_TTL, HOT, PAGE = 600, 100_000, 1000
"""``redirect.verify_ttl``; objects that are requested all the time; objects of a page."""
LISTED_US, LIST_SHARE = 20, 0.25
"""CPU time of an object that is listed, and share of a core that listing takes at most."""
BUCKETS = 2
"""An origin and one target."""


class Load(NamedTuple):
    """How much traffic a number of tasks can serve, when their CPUs are ``BUSY``.

    Attributes:
        redirects: Redirects a second, if there is nothing else: connections kept, all heads
            different, JSON log.
        new_connections: The same, if each comes on a connection of its own.
        streams_gbit: Gbit/s that are streamed, if there is nothing else; TLS to S3.
        requests: Requests a second of the usual mix.
        gbit: Gbit/s that are streamed of it.
        slow_readers: Clients that may read more slowly than S3 sends.
        slow_gb: GB of memory that they take, with the kernel's.
        heads: HEAD requests an hour that verify ``HOT`` objects.
        lists: LIST requests an hour that do the same.
    """

    redirects: float
    new_connections: float
    streams_gbit: float
    requests: float
    gbit: float
    slow_readers: float
    slow_gb: float
    heads: float
    lists: float


@cache
def _tables() -> dict[str, Any]:
    newest = max((Path(__file__).parent / "results").glob("all-*.json"))
    found = json.loads(newest.read_text("utf-8"))
    return {"commit": found["commit"], **{table["name"]: table for table in found["tables"]}}


def measured(table: str, figure: str, *labels: str) -> float:
    """A figure of nearbucket in the newest results: CPU time in us a request, or in s a GB."""
    for row in _tables()[table]["rows"]:
        if sorted(row["labels"]) == sorted(("nearbucket", *labels)):
            return float(row["figures"][figure])
    raise LookupError(f"the newest results have no {figure} of {table} {labels}")


def load_of(tasks: int) -> Load:
    """How much traffic so many tasks can serve; they share nothing, so it grows with them."""
    redirect_us = measured("varied", "cpu_us", "json")
    connection_us = measured("connections", "cpu_us", "json")
    gb_seconds = measured("streaming-10m", "cpu", "TLS", "off")
    gb = DOWNLOAD_MB / 1000
    mixed = REDIRECTED * redirect_us / 1e6 + (1 - REDIRECTED) * gb * gb_seconds
    requests = BUSY / mixed
    readers = MEMORY_GB * 1024**2 // 2 // STREAM_KIB
    heads = HOT * BUCKETS * 3600 / (VERIFY_TTL * RENEW_AFTER)
    took = HOT * LISTED_US / 1e6 / LIST_SHARE
    lists = HOT / PAGE * BUCKETS * 3600 / (VERIFY_TTL * RENEW_AFTER - 1.5 * took - 1)
    one = Load(
        redirects=BUSY * 1e6 / redirect_us,
        new_connections=BUSY * 1e6 / connection_us,
        streams_gbit=BUSY / gb_seconds * 8,
        requests=requests,
        gbit=requests * (1 - REDIRECTED) * gb * 8,
        slow_readers=readers,
        slow_gb=readers * (READER_KIB + READER_KERNEL_KIB) / 1024**2,
        heads=heads,
        lists=lists,
    )
    return Load(*(tasks * figure for figure in one))


def rows() -> list[tuple[str, ...]]:
    """The table of how much traffic tasks can serve, its heading first."""
    loads = [load_of(tasks) for tasks in TASKS]
    lines: list[tuple[str, list[float], str]] = [
        ("redirects a second, nothing else", [each.redirects for each in loads], ",.0f"),
        ("the same, each on a new connection", [each.new_connections for each in loads], ",.0f"),
        ("streams alone, Gbit/s", [each.streams_gbit for each in loads], ",.1f"),
        ("requests a second of the mix", [each.requests for each in loads], ",.0f"),
        ("of these streamed, Gbit/s", [each.gbit for each in loads], ",.1f"),
        ("GETs a second to S3", [each.requests * (1 - REDIRECTED) for each in loads], ",.0f"),
        ("clients slower than S3, at most", [each.slow_readers for each in loads], ",.0f"),
        ("their memory with the kernel's, GB", [each.slow_gb for each in loads], ",.1f"),
    ]
    heading = ("", *(f"{tasks} task{'s' if tasks > 1 else ''}" for tasks in TASKS))
    return [heading, *((name, *(format(n, form) for n in ns)) for name, ns, form in lines)]


def dollar_rows() -> list[tuple[str, ...]]:
    """The table of dollars an hour, its heading first."""
    by = tariff(Prices())
    loads = [load_of(tasks) for tasks in TASKS]
    task = VCPU_HOUR + MEMORY_GB * MEMORY_GB_HOUR
    gets = [each.requests * (1 - REDIRECTED) * 3600 * s3_get_per_request(by) for each in loads]
    lines = [
        ("tasks on Fargate", [tasks * task for tasks in TASKS]),
        ("GETs of what is streamed", gets),
        ("100,000 objects verified by HEADs", [x.heads * s3_get_per_request(by) for x in loads]),
        ("the same by listings", [each.lists * s3_list_per_request(by) for each in loads]),
    ]
    return [("USD an hour", *rows()[0][1:]), *((n, *(f"{v:,.2f}" for v in vs)) for n, vs in lines)]


WORKERS = 4
"""Workers that share one supervisor, in the simulation."""
HOT_KEYS, KEYS = (100, 2_000, 100_000), (2_000, 100_000, 10_000_000)


def simulated_day(hot: int, keys: int) -> tuple[float, float]:
    """Requests of a day that verify one bucket, by the product's own decision each turn.

    By night a tenth of the ``hot`` objects is requested. The bucket has ``keys`` objects below the
    folders of the patterns.

    Returns:
        HEADs and LISTs.
    """
    by = tariff(Prices())
    decision = ListingDecision(s3_list_per_request(by) / s3_get_per_request(by))
    turns, pages = round(86400 / (VERIFY_TTL * RENEW_AFTER)), -(-keys // PAGE)
    heads = lists = asked = spared = 0.0
    for turn in range(turns):
        budget = decision.budget(Renewals(asked, spared))
        if budget > 0:
            lists += min(pages, budget + 1)
            (decision.listed if pages <= budget else decision.too_long)(min(pages, budget))
        wanted = WORKERS * (hot if turn >= turns / 3 else hot / 10)
        asked, spared = (0.0, wanted) if decision.active else (wanted, 0.0)
        heads += asked
    return heads, lists


def day_rows() -> list[tuple[str, ...]]:
    """The table of dollars a day for two buckets, its heading first."""
    by = tariff(Prices())
    head, page = BUCKETS * s3_get_per_request(by), BUCKETS * s3_list_per_request(by)
    lines = []
    for hot in HOT_KEYS:
        for keys in (each for each in KEYS if each >= hot):
            heads, lists = simulated_day(hot, keys)
            alone = WORKERS * hot * (2 / 3 + 1 / 30) * 86400 / (VERIFY_TTL * RENEW_AFTER)
            figures = alone * head, heads * head + lists * page
            lines.append((f"{hot:,} of {keys:,}", *(f"{usd:,.3f}" for usd in figures)))
    return [("objects in demand", "HEADs alone", "as decided"), *lines]


def main() -> None:
    """Print all tables."""
    for table in (rows(), dollar_rows(), day_rows()):
        sys.stdout.writelines(" | ".join(line) + "\n" for line in (*table, ()))


if __name__ == "__main__":
    main()
