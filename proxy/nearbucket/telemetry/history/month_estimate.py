"""What a month saves and still costs, if all of it is like the last 24 hours.

The bytes of these hours are multiplied, and then priced by tiers and plan like those of a month:
the dollars of a day are not multiplied. A process that is younger counts as an hour old, so that a
burst after its start does not become a month of bursts.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from nearbucket.config.prices import GB, MONTH_DAYS
from nearbucket.pricing.bill import Usage, bill, whole_bill
from nearbucket.pricing.tariff import tariff
from nearbucket.telemetry.metrics import OTHER_AWS, OUTSIDE

if TYPE_CHECKING:
    from nearbucket.config.settings import Settings
    from nearbucket.pricing.tariff import Tariff
    from nearbucket.telemetry.metrics import Labels, Values
    from nearbucket.telemetry.savings import Savings

MONTH = MONTH_DAYS * 86400
LEAST = 3600
"""Seconds: the shortest time that a month is computed from."""
_HOURS = 24
_REDIRECTED, _STREAMED = "nearbucket_redirected_bytes_total", "nearbucket_streamed_bytes_total"
_NAMES = (
    "nearbucket_redirects_total", _REDIRECTED, "nearbucket_bypasses_total",
    "nearbucket_shadow_bytes_total", _STREAMED,
)  # fmt: skip


class MonthFigures(NamedTuple):
    """Figures of a month (``MONTH_DAYS``) in USD, of this instance alone.

    Attributes:
        seconds: Length of the time that they are computed from.
        saved: What redirects save; below 0 if they cost more than they save.
        would_save: What redirects of the shadow bytes would save.
        still_paid: What the CDN's bill still is; None if that is not known.
        whole_bill: The bill without redirects, by ``prices.monthly_gb`` or the plan; None if its
            volume is not known. Then ``still_paid`` is the price of the streamed bytes.
        redirected_gb: GB that redirects take.
        streamed_gb: GB that are streamed.
        at_most: Whether savings are upper bounds, since ``prices.monthly_gb`` is not set.
        plan: How the CDN is paid, in words.
    """

    seconds: float
    saved: float
    would_save: float
    still_paid: float | None
    whole_bill: float | None
    redirected_gb: float
    streamed_gb: float
    at_most: bool
    plan: str


class MonthEstimate:
    """The counters at the beginning of each of the last hours, and now. All times are monotonic."""

    def __init__(self, now: float) -> None:
        """Begin, when nothing is counted yet."""
        self._now: tuple[float, Values] = (now, {})
        self._hours = deque([self._now], maxlen=_HOURS + 1)

    def add(self, now: float, values: Values) -> None:
        """Note the metrics of now. Savings that were taken back must be subtracted from them."""
        before = self._now[0]
        self._now = now, {name: dict(values.get(name, {})) for name in _NAMES}
        if now // 3600 > before // 3600:
            self._hours.append(self._now)

    def figures(self, settings: Settings, savings: Savings) -> MonthFigures:
        """The figures of a month, by these prices."""
        (begin, before), (end, after) = self._hours[0], self._now
        counted = {name: _less(series, before.get(name, {})) for name, series in after.items()}
        times = MONTH / max(end - begin, LEAST)
        usd = savings.of_month(counted, times)
        saved = usd["nearbucket_saved_usd_total"]
        streamed = _scaled(counted.get(_STREAMED, {}), times)
        tariffs = _tariffs(settings)
        by = next(iter(tariffs.values()))
        whole = whole_bill(by, by.geography)
        if whole is not None:
            paid: float | None = max(0.0, whole - max(0.0, saved))
        elif any(site.bypass.to for site in settings.sites):
            paid = None  # bytes of the CDN do not pass here
        else:
            paid = _price_of(streamed, tariffs)
        return MonthFigures(
            seconds=end - begin,
            saved=saved,
            would_save=usd["nearbucket_shadow_usd_total"],
            still_paid=paid,
            whole_bill=whole,
            redirected_gb=sum(_scaled(counted.get(_REDIRECTED, {}), times).values()),
            streamed_gb=sum(streamed.values()),
            at_most=by.at_most,
            plan=by.words,
        )


def _less(after: dict[Labels, float], before: dict[Labels, float]) -> dict[Labels, float]:
    return {labels: value - before.get(labels, 0.0) for labels, value in after.items()}


def _scaled(sizes: dict[Labels, float], times: float) -> dict[Labels, float]:
    """GB of a month by site and region."""
    return {labels: size * times / GB for labels, size in sizes.items()}


def _tariffs(settings: Settings) -> dict[str, Tariff]:
    """By the name of the site; they differ in the geography of unknown edges."""
    return {
        site.name: tariff(settings.prices, origin_region=site.origin.region)
        for site in settings.sites
    }


def _price_of(streamed: dict[Labels, float], tariffs: dict[str, Tariff]) -> float:
    """The CDN's bill of a month for these GB, of clients by site and region."""
    gb: dict[str, float] = {}
    first = next(iter(tariffs.values()))
    for (site, region), amount in streamed.items():
        by = tariffs.get(site, first)
        known = region not in {OUTSIDE, OTHER_AWS}
        geography = by.geography_of_clients(region) if known else by.geography
        gb[geography] = gb.get(geography, 0.0) + amount
    return bill(Usage(gb), first)
