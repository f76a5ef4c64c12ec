"""Dollars of the savings, from the bytes that all workers counted.

Workers count bytes alone. What they saved depends on how much redirects have taken from the CDN in
the same calendar month already (``pricing/``), which only the sum over workers tells.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from nearbucket.config.prices import GB
from nearbucket.policy.model import Reason
from nearbucket.pricing.bill import removal_usd, s3_get_per_request
from nearbucket.pricing.tariff import Tariff, tariff

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nearbucket.config.settings import Settings
    from nearbucket.telemetry.metrics import Labels, Values

Month = tuple[int, int]
"""Year and month, in UTC: CloudFront's tiers start anew with it."""


@dataclass(frozen=True, slots=True)
class _TargetPrices:
    """What a GB saves that the clients of one region get from their target.

    Attributes:
        tariff: How the CDN is paid.
        geography: Price geography of these clients.
        own_per_gb: The configuration's own price for the region.
        transfer_per_gb: Price of one GB from the target's bucket to the clients.
    """

    tariff: Tariff
    geography: str
    own_per_gb: float | None
    transfer_per_gb: float


@dataclass(slots=True)
class _Account:
    """One of the two metrics in dollars, with what it has priced so far.

    Attributes:
        of_bytes: The metric of the bytes.
        of_requests: The metric of the redirects.
        reason: Third label of that metric's series, if they have one.
        priced: Bytes and requests that are in ``usd``, by site and region.
        removed: GB of this month, in all price geographies: how much each of them carries is not
            known. Taking all from each lets its volume be too large, and its price too low.
        month: This month.
        usd: Dollars by site and region; they fall when savings are taken back.
    """

    of_bytes: str
    of_requests: str
    reason: tuple[str, ...] = ()
    priced: dict[Labels, tuple[float, float]] = field(default_factory=dict)
    removed: float = 0.0
    month: Month = (0, 0)
    usd: dict[Labels, float] = field(default_factory=dict)

    def add(
        self, values: Values, months: list[tuple[Month, float]], prices: dict[Labels, _TargetPrices]
    ) -> None:
        """Price what was counted since the last time.

        Args:
            values: All metrics.
            months: The months since the last time, and the share of the time in each.
            prices: By site and region.
        """
        requests = values.get(self.of_requests, {})
        news: list[tuple[Labels, _TargetPrices, float, float]] = []
        for labels, size in values.get(self.of_bytes, {}).items():
            counted = size, requests.get((*labels, *self.reason), 0.0)
            before = self.priced.get(labels, (0.0, 0.0))
            self.usd.setdefault(labels, 0.0)
            if counted != before and labels in prices:
                gb, number = (counted[0] - before[0]) / GB, counted[1] - before[1]
                news.append((labels, prices[labels], gb, number))
            self.priced[labels] = counted
        for month, share in months:
            if month != self.month:
                self.month, self.removed = month, 0.0
            for labels, price, gb, number in news:
                gets = number * s3_get_per_request(price.tariff)
                less = gb * price.transfer_per_gb + gets
                self.usd[labels] += self._off_the_bill(price, gb * share) - less * share

    def _off_the_bill(self, price: _TargetPrices, gb: float) -> float:
        before = self.removed
        self.removed = after = before + gb
        if price.own_per_gb is not None:
            return gb * price.own_per_gb
        return removal_usd(price.tariff, price.geography, after) - removal_usd(
            price.tariff, price.geography, before
        )


class Savings:
    """Prices the counted bytes, month by month."""

    __slots__ = ("_accounts", "_at", "_prices")

    def __init__(self, now: float) -> None:
        """Begin at a Unix time, with nothing saved."""
        self._at = now
        self._prices: dict[Labels, _TargetPrices] = {}
        self._accounts = {
            "nearbucket_saved_usd_total": _Account(
                "nearbucket_redirected_bytes_total", "nearbucket_redirects_total"
            ),
            "nearbucket_shadow_usd_total": _Account(
                "nearbucket_shadow_bytes_total", "nearbucket_bypasses_total", (Reason.SHADOW.value,)
            ),
        }

    def apply(self, settings: Settings) -> None:
        """Price by these settings what is counted from now on."""
        for site in settings.sites:
            by = tariff(settings.prices, origin_region=site.origin.region)
            for region in site.targets:
                self._prices[site.name, region] = _TargetPrices(
                    by,
                    by.geography_of_clients(region),
                    by.region_per_gb.get(region),
                    by.transfer_per_gb(site.bucket_region(region), region),
                )

    def priced(self, values: Values, now: float) -> Values:
        """The metrics with their dollars.

        Args:
            values: All metrics, summed over the workers.
            now: Unix time.
        """
        months = list(_months(self._at, now))
        self._at = now
        for name, account in self._accounts.items():
            account.add(values, months, self._prices)
            values[name] = {**values.get(name, {}), **account.usd}
        return values

    def of_month(self, counted: Values, times: float) -> dict[str, float]:
        """What a month would save in which this is counted so many times.

        Args:
            counted: Bytes and redirects of some time, summed over the workers.
            times: What they are multiplied by.

        Returns:
            Dollars by metric; by the tiers and the volume of one month.
        """
        month: list[tuple[Month, float]] = [((1, 1), 1.0)]
        scaled: Values = {
            name: {labels: value * times for labels, value in series.items()}
            for name, series in counted.items()
        }
        usd = {}
        for name, account in self._accounts.items():
            alone = _Account(account.of_bytes, account.of_requests, account.reason)
            alone.add(scaled, month, self._prices)
            usd[name] = sum(alone.usd.values())
        return usd


def _months(begin: float, end: float) -> Iterator[tuple[Month, float]]:
    """The months between two Unix times, and the share of the time that is in each."""
    now, last = (datetime.fromtimestamp(max(begin, end), UTC), datetime.fromtimestamp(begin, UTC))
    whole = (now - last).total_seconds()
    while (last.year, last.month) != (now.year, now.month):
        first = last.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        following = (first + timedelta(days=31)).replace(day=1)
        yield (last.year, last.month), (following - last).total_seconds() / whole
        last = following
    yield (now.year, now.month), (now - last).total_seconds() / whole if whole else 1.0
