"""What the designs cost: the tables of ``money.md``, from the product's price module.

``python docs/costs.py`` prints them. ``generate.py`` puts them into the page.
"""  # noqa: INP001  # a script, not a package

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from nearbucket.config.prices import Prices
from nearbucket.pricing.bill import Usage, bill
from nearbucket.pricing.price_list import GB_PER_TB
from nearbucket.pricing.tariff import Tariff, tariff

NEAR, FAR, REST = 0.47, 0.52, 0.01
"""Shares of the bytes: of keys that match ``redirect.paths``, for clients in a region with a target
and for all others; of all other keys. 54 % go to AWS, a part of it to regions without a target."""
MEGABYTES = 20
"""Average size of a download."""
HOURS = 730
ALB_HOUR, ALB_GB = 0.0225, 0.008
"""Application Load Balancer: an hour, and a GB an hour as a capacity unit (Elastic Load Balancing
pricing, us-east-1)."""
TASKS, VCPU_HOUR, MEMORY_GB_HOUR = 2, 0.03238, 0.00356
"""Fargate tasks of 1 vCPU and 2 GB on ARM (Fargate pricing, us-east-1): also at 600 TB a month half
a vCPU is enough to stream (0.75 CPU seconds a GB)."""
VOLUMES = 50, 100, 300, 600
GEOGRAPHY = "north-america"


@dataclass(frozen=True)
class Design:
    """Where the bytes go, as shares of all.

    Attributes:
        name: Its name in the table.
        streamed: Bytes that the product streams.
        cdn: Bytes that CloudFront gives to clients.
        requests: Requests to CloudFront for each download.
        product: Whether the product runs at all.
        function: Whether a CloudFront Function redirects.
        internet: Bytes that leave AWS without a CDN, from S3 or the load balancer.
        regions: Bytes that S3 sends to clients in another region.
    """

    name: str
    streamed: float
    cdn: float
    requests: float = 1.0
    product: bool = True
    function: bool = False
    internet: float = 0.0
    regions: float = 0.0


DESIGNS = (
    Design("no nearbucket", 0, 1, product=False),
    Design("cached behaviour, minimum TTL 0", FAR, FAR + REST),
    Design("(a) suffixes uncached", FAR, FAR + REST),
    Design("(b) redirect to a cached distribution", 0, FAR + REST, 2 - NEAR),
    Design("all uncached", FAR + REST, FAR + REST),
)
FUNCTION = Design("CloudFront Function", 0, FAR + REST, product=False, function=True)
FUNCTION_REQUEST = (0.10 + 1.1 * 0.03) / 1e6
"""A run, and 1.1 reads of its store (CloudFront pricing; the reads not verified)."""
WITHOUT_CDN = (
    Design("no CDN, no nearbucket", 0, 0, 0, product=False, internet=FAR + REST, regions=NEAR / 2),
    Design("no CDN, nearbucket", FAR + REST, 0, 0, internet=FAR + REST),
)
INTERNET_TB, INTERNET_GB = (10, 40, 100, inf), (0.09, 0.085, 0.07, 0.05)
"""Tiers of a month to the internet without a CDN, and a GB in each (EC2 pricing, us-east-1)."""
REGIONS_GB = 0.02


def usd(design: Design, tb: float, prices: Tariff) -> float:
    """What a month costs: CloudFront, requests to S3, load balancer and tasks."""
    gb = tb * GB_PER_TB
    downloads = gb * 1024 / MEGABYTES
    usage = Usage(
        {GEOGRAPHY: gb * design.cdn},
        cdn_requests=downloads * design.requests,
        s3_get_requests=downloads if design.product else downloads * NEAR * design.function,
    )
    own = ALB_HOUR * HOURS + ALB_GB * gb * design.streamed
    own += TASKS * HOURS * (VCPU_HOUR + 2 * MEMORY_GB_HOUR)
    straight = internet(gb * design.internet) + REGIONS_GB * gb * design.regions
    run = FUNCTION_REQUEST * downloads * design.function
    return bill(usage, prices) + straight + run + (own if design.product else 0.0)


def internet(gb: float) -> float:
    """What a month's GB cost that leave AWS without a CDN."""
    total = 0.0
    for tier, price in zip(INTERNET_TB, INTERNET_GB, strict=True):
        part = min(gb, tier * GB_PER_TB)
        total, gb = total + part * price, gb - part
    return total


def rows() -> list[tuple[str, ...]]:
    """The table, with its head."""
    payg = tariff(Prices())
    head = ("design", "streamed", "CDN", "S3 in the region", *(f"{tb} TB" for tb in VOLUMES))
    return [head, *(_row(design, payg) for design in (*DESIGNS, FUNCTION, *WITHOUT_CDN))]


def rows_per_tb() -> list[tuple[str, ...]]:
    """Dollars per TB, and the volume from which a design costs less; with its head."""
    payg = tariff(Prices())
    head = ("design", *(f"{tb} TB" for tb in VOLUMES), "costs less from")
    pairs = [(each, DESIGNS[0]) for each in (*DESIGNS, FUNCTION)]
    pairs += [(each, WITHOUT_CDN[0]) for each in WITHOUT_CDN]
    return [
        head,
        *(
            (
                design.name,
                *(f"{usd(design, tb, payg) / tb:.1f}" for tb in VOLUMES),
                f"{break_even(design, without, payg)} TB" if design is not without else "-",
            )
            for design, without in pairs
        ),
    ]


def break_even(design: Design, without: Design, prices: Tariff) -> int:
    """The least TB a month, as a whole number, at which a design costs less than another."""
    return next(tb for tb in range(1, 1000) if usd(design, tb, prices) < usd(without, tb, prices))


def flat_rows() -> list[tuple[str, ...]]:
    """The same in CloudFront's flat-rate plans, in the smallest one that fits; with its head."""
    premium = tariff(Prices(plan="flat:premium-600"))
    designs = DESIGNS[0], DESIGNS[2], FUNCTION
    head = ("TB a month", *(each.name for each in designs))
    rows = [(tb, [usd(each, tb, premium) for each in designs]) for tb in (50, 125, 300, 350, 600)]
    return [head, *((f"{tb}", *(f"{each:,.0f}" for each in costs)) for tb, costs in rows)]


def _row(design: Design, payg: Tariff) -> tuple[str, ...]:
    near = NEAR / 2 if design.regions else NEAR * (design.product or design.function)
    shares = (f"{100 * share:.0f} %" for share in (design.streamed, design.cdn, near))
    return design.name, *shares, *(f"{usd(design, tb, payg):,.0f}" for tb in VOLUMES)


if __name__ == "__main__":
    for row in (*rows(), *rows_per_tb(), *flat_rows()):
        print(" | ".join(row))  # noqa: T201  # a script
