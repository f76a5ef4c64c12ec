"""Recommendations for tests: from made traffic, and what they would redirect and save."""

from __future__ import annotations

from collections import deque
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from nearbucket.analysis.answers import Recommendation
from nearbucket.analysis.policies.traffic_tables import TrafficTables
from nearbucket.analysis.policies.what_if import PolicyForecast, month_bill, usual_policy
from nearbucket.analysis.recommending.recommendation import NothingRecommended, recommend
from nearbucket.config.prices import Prices
from nearbucket.config.settings import Settings
from nearbucket.pricing.tariff import tariff
from tests.analysis.made_traffic import (
    MIB,
    fact,
    month_usage,
    story,
    traffic_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nearbucket.analysis.answers import RecommendedLine, WhatIf
    from nearbucket.analysis.traffic import Traffic
    from nearbucket.pricing.tariff import Tariff


ORIGIN = "us-east-1"
PAYG = tariff(Prices())
SEEDS = pytest.mark.parametrize("seed", [16, pytest.param(7, marks=pytest.mark.long)])


Advice = Recommendation | NothingRecommended


def advice(traffic: Traffic, prices: Tariff = PAYG, **more: Any) -> Advice:
    origin = more.pop("origin", ORIGIN)
    return recommend(tables_of(traffic), origin, prices, month_usage(traffic), **more)


_tables: deque[tuple[Traffic, TrafficTables]] = deque(maxlen=4)


def tables_of(traffic: Traffic) -> TrafficTables:
    """The tables in a database, where they are kept for the next test of the same traffic."""
    for known, tables in _tables:
        if known is traffic:
            return tables
    _tables.append((traffic, TrafficTables(traffic)))
    return _tables[-1][1]


def some(found: Advice) -> Recommendation:
    assert isinstance(found, Recommendation), found
    return found


def why_nothing(found: Advice) -> str:
    assert isinstance(found, NothingRecommended), found
    return found.why


@cache
def half(seed: int, first: int) -> Traffic:
    return story(seed, first)


@cache
def first_half(seed: int) -> Recommendation:
    return some(advice(half(seed, 0)))


def applied(found: Recommendation, traffic: Traffic) -> WhatIf:
    settings = Settings.model_validate(yaml.safe_load(found.yaml))
    return what_if(traffic, settings)


def usual(traffic: Traffic) -> WhatIf:
    return what_if(traffic, usual_policy(ORIGIN))


def what_if(traffic: Traffic, policy: Settings, prices: Tariff = PAYG) -> WhatIf:
    """What a configuration would redirect and save in a month."""
    tables = tables_of(traffic)
    money = month_bill(tables, prices, month_usage(traffic))
    return PolicyForecast(tables, policy, money).what_if()


def line(found: Recommendation, name: str) -> RecommendedLine:
    return next(each for each in found.why if each.name == name)


def steady(region: str = ORIGIN, key: str = "a.iso", requests: int = 3000) -> Iterable[Any]:
    return (fact(key, region, 200 * MIB, day=day, requests=requests) for day in range(14))


@cache
def from_two_regions() -> Traffic:
    """56 TB a month."""
    rows = (row for region in (ORIGIN, "us-west-2") for row in steady(region, requests=4750))
    return traffic_of(rows, 14)


OURS = {"bucket": "ours", "region": ORIGIN}


def with_own(**more: Any) -> Settings:
    sites = more.pop("sites", None) or [{"origin": OURS, **more.pop("site", {})}]
    return Settings.model_validate({"sites": sites, **more})


def loaded(found: Recommendation) -> Settings:
    return Settings.model_validate(yaml.safe_load(found.yaml))
