"""What the supervisor notes of the figures of its workers over time, for the admin port."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from nearbucket.pricing.bill import s3_get_per_request, s3_list_per_request
from nearbucket.pricing.tariff import tariff
from nearbucket.supervisor.admin.status import Past
from nearbucket.supervisor.admin.target_times import TargetTimes
from nearbucket.telemetry.history.missing_copies import merged
from nearbucket.telemetry.history.month_estimate import MonthEstimate
from nearbucket.telemetry.history.recent_answers import latest
from nearbucket.telemetry.history.traffic_history import TrafficHistory
from nearbucket.telemetry.process_totals import HighWater
from nearbucket.telemetry.savings import Savings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from nearbucket.config.settings import Settings
    from nearbucket.pricing.tariff import Tariff
    from nearbucket.regions.feed import RangesFeed
    from nearbucket.regions.region_table import RegionTable
    from nearbucket.supervisor.pool.worker_handle import WorkerHandle
    from nearbucket.supervisor.reload_history import Reload
    from nearbucket.telemetry.history.recent_answers import RecentAnswer
    from nearbucket.telemetry.metrics import Labels, Values

LIST_REQUESTS = "LIST requests"
"""Name of a value that is no metric: the supervisor's LIST requests, for ``verification_usd``."""


class Observations:
    """Prices the figures of all workers, and keeps those of the past.

    Attributes:
        started: Unix time from which on it knows all.
        history: Traffic over time.
    """

    def __init__(self, now: float) -> None:
        """Begin at a Unix time, when nothing is counted yet."""
        self.started = now
        self.history = TrafficHistory(now)
        self._began = time.monotonic()  # the clock may be set meanwhile
        self._estimate = MonthEstimate(self._began)
        self._target_times = TargetTimes()
        self._savings = Savings(now)
        self._high_water = HighWater()

    def apply(self, settings: Settings) -> None:
        """Price by these settings what is counted from now on."""
        self._savings.apply(settings)
        self._tariff = tariff(settings.prices)

    def noted(self, values: Values, down: Mapping[tuple[str, str], str]) -> Values:
        """Note all metrics, summed over the workers; returns them with dollars, as they are now.

        Savings may have fallen: what is shown to a reader of counters goes through ``held``.

        Args:
            values: The metrics.
            down: Why targets and origins are down.
        """
        now = time.time()
        self.look(values, down)
        values = self._savings.priced(values, now)
        values["nearbucket_verification_usd_total"] = verification_usd(values, self._tariff)
        self.history.add(now, values)
        self._estimate.add(time.monotonic(), values)
        return values

    def held(self, values: Values) -> Values:
        """The values of ``noted`` as they are shown: no counter falls.

        Only for values that somebody gets: each is a high-water mark of savings, which may be taken
        back in the next second.
        """
        return self._high_water.hold(values)

    def look(self, values: Values, down: Mapping[tuple[str, str], str]) -> None:
        """Note only which targets are down, with the arguments of ``noted``."""
        self._target_times.look(time.time(), values.get("nearbucket_target_up", {}), down)

    def past(
        self, settings: Settings, reloads: Iterable[Reload], workers: Iterable[WorkerHandle]
    ) -> Past:
        """What ``/api/status`` shows of it."""
        return Past(
            self.started,
            time.monotonic() - self._began,
            self._target_times,
            reloads,
            merged(copy for worker in workers for copy in worker.missing_copies),
            self._estimate.figures(settings, self._savings),
        )


def verification_usd(values: Values, by: Tariff) -> dict[Labels, float]:
    """What the requests cost that verify copies, in USD by kind."""
    heads = sum(values.get("nearbucket_checks_total", {}).values())
    lists = sum(values.get(LIST_REQUESTS, {}).values())
    return {("head",): heads * s3_get_per_request(by), ("list",): lists * s3_list_per_request(by)}


def decisions_of(workers: Iterable[WorkerHandle]) -> Sequence[RecentAnswer]:
    """The last answers, the last one first."""
    return latest(line for worker in workers for line in worker.recent)


def figures_of_list(feed: RangesFeed, table: RegionTable | None) -> Values:
    """The metrics of the list of prefixes; ``table`` is None if none is in use."""
    values: Values = {
        "nearbucket_ranges_refreshes_total": {
            (result.value,): count for result, count in feed.results.items()
        }
    }
    if table is not None:
        confirmed = feed.confirmed_at
        age = 0.0 if confirmed is None else max(0.0, time.time() - confirmed)
        values["nearbucket_ranges_age_seconds"] = {(): age}
        values["nearbucket_ranges_skipped_rows"] = {(): table.skipped}
        values["nearbucket_ranges_prefixes"] = {
            ("ipv4",): table.prefixes_v4,
            ("ipv6",): table.prefixes_v6,
        }
    return values
