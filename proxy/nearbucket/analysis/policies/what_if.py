"""What a configuration would redirect and save in a month, and what one more bucket would bring."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nearbucket.analysis.answers import NextRegion, WhatIf
from nearbucket.analysis.policies.copy_volume import ObjectCount
from nearbucket.analysis.policies.month_effect import MonthBill, MonthEffect
from nearbucket.analysis.policies.policy_text import policy_text
from nearbucket.analysis.policies.policy_traffic import PolicyTraffic
from nearbucket.config.aws_endpoints import partition_of, unknown_region
from nearbucket.config.prices import GB, MONTH_DAYS
from nearbucket.config.settings import Settings
from nearbucket.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from nearbucket.analysis.policies.copy_volume import CopyVolume
    from nearbucket.analysis.policies.policy_traffic import RedirectedTraffic
    from nearbucket.analysis.policies.traffic_tables import TrafficTables
    from nearbucket.config.sites import Site
    from nearbucket.pricing.bill import Usage
    from nearbucket.pricing.tariff import Tariff

_USUAL_PATHS = ("*.tar.*z*",)
_USUAL_REGIONS = ("us-east-1", "us-west-2")


def usual_policy(origin_region: str) -> Settings:
    """The policy with which such a service usually begins: archives, and two regions.

    One region alone in other partitions than that of the usual regions: no copies get there.

    Raises:
        ConfigError: There is no such region.
    """
    if (partition := partition_of(origin_region)) is None:
        raise ConfigError(f"{origin_region} {unknown_region(origin_region)}")
    others = [
        region
        for region in reversed(_USUAL_REGIONS)
        if region != origin_region and partition_of(region) == partition
    ]
    buckets = {origin_region: {"bucket": "downloads"}} | {
        other: {"bucket": f"downloads-{other}"} for other in others[:1]
    }
    origin = {"bucket": "downloads", "region": origin_region}
    redirect = {"paths": _USUAL_PATHS}
    return Settings.model_validate(
        {"sites": [{"origin": origin, "targets": buckets, "redirect": redirect}]}
    )


class PolicyForecast:
    """What one configuration would change of the traffic of a log.

    Attributes:
        decided: The decisions, and the copies that they need.
        money: The bill.
    """

    def __init__(
        self,
        tables: TrafficTables,
        policy: Settings,
        money: MonthBill,
        further: Collection[str] = (),
        label: Callable[[str], str] = lambda _: "",
    ) -> None:
        """Decide the requests.

        Args:
            tables: The log.
            policy: The configuration.
            money: The bill.
            further: Regions to decide for as if all sites had a target there.
            label: Gives the label of an object by its key.
        """
        self.decided = PolicyTraffic(tables, policy, further, label)
        self.money = money
        self._policy, self._further, self._days = policy, further, tables.days

    def what_if(self) -> WhatIf:
        """What the configuration changes."""
        effect = self.effect()
        return WhatIf(
            policy=policy_text(self._policy),
            redirects_month=effect.redirects,
            bytes_month=effect.gb * GB,
            costs_usd_month=effect.costs,
            saving_usd_month=effect.saving,
            gb_month=dict(effect.removed),
        )

    def next_regions(self) -> tuple[NextRegion, ...]:
        """What each further bucket would bring, the best first. Each is the only further one."""
        own = self.effect()
        found = [self._next(region, own) for region in self._further]
        return tuple(sorted(found, key=lambda each: (-each.saving_usd_month, each.region)))

    def _next(self, region: str, own: MonthEffect) -> NextRegion:
        more = self.effect(further=(region,)).beyond(own)
        return NextRegion(region, more.redirects, more.gb * GB, more.costs, more.saving)

    def effect(
        self,
        labels: Collection[str] | None = None,
        regions: Collection[str] | None = None,
        further: Collection[str] = (),
    ) -> MonthEffect:
        """The effect of the configuration, or of a part of it.

        Args:
            labels: Labels of the objects that count; None: all.
            regions: Regions whose targets count; None: all.
            further: Further regions with buckets for all sites.
        """
        rows: list[RedirectedTraffic] = []
        buckets: dict[tuple[str, str], str] = {}
        copies = 0.0
        for site in self._policy.sites:
            used = {each for each in site.regions_in_use if regions is None or each in regions}
            rows += [
                row
                for row in self.decided.rows
                if row.site == site.name
                and row.region in used | set(further)
                and (labels is None or row.label in labels)
            ]
            copies += self._copies(site, used, further, self.volume(site, labels))
            buckets |= {(site.name, each): site.bucket_region(each) for each in site.targets}
        return self.money.effect(rows, buckets, copies)

    def volume(self, site: Site, labels: Collection[str] | None = None) -> CopyVolume:
        """What a bucket with copies of a site's objects needs."""
        total = ObjectCount(self._days)
        for (name, label), count in self.decided.objects.items():
            if name == site.name and (labels is None or label in labels):
                total.include(count)
        return total.volume

    def _copies(
        self, site: Site, used: Collection[str], further: Collection[str], volume: CopyVolume
    ) -> float:
        """Dollars a month for the buckets of a site that are not the origin's."""
        buckets = {(site.targets[region].url(), site.bucket_region(region)) for region in used} | {
            (f"new {region}", region) for region in further if region not in site.targets
        }
        return sum(
            self.money.copies(volume, site.origin.region, region)
            for url, region in sorted(buckets)
            if url != site.origin.url()
        )


def month_bill(tables: TrafficTables, tariff: Tariff, usage: Usage) -> MonthBill:
    """The bill of a month with the traffic of a log."""
    return MonthBill(tariff, usage, MONTH_DAYS / tables.period if tables.period else 0.0)


def what_if_and_next_regions(
    tables: TrafficTables, policy: Settings, tariff: Tariff, usage: Usage
) -> tuple[WhatIf, tuple[NextRegion, ...]]:
    """What a configuration would redirect and save in a month, and what a further bucket would.

    The further bucket has copies by the same patterns and size floor.
    """
    further = _regions_without_target(tables, policy)
    forecast = PolicyForecast(tables, policy, month_bill(tables, tariff, usage), further)
    return forecast.what_if(), forecast.next_regions()


def _regions_without_target(tables: TrafficTables, policy: Settings) -> tuple[str, ...]:
    """Regions with traffic in which a site of the same partition has no target."""
    partitions = {partition_of(site.origin.region) for site in policy.sites}
    everywhere = set.intersection(*(set(site.targets) for site in policy.sites))
    rows = tables.rows("SELECT DISTINCT region FROM facts WHERE bytes > 0 ORDER BY region")
    return tuple(
        region
        for (region,) in rows
        if region not in everywhere
        and (partition := partition_of(region)) is not None
        and (partition in partitions or partitions == {None})
    )
