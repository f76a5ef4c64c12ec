"""How far the days of a log support a policy: single days, single networks, days left out."""

from __future__ import annotations

from math import sqrt
from statistics import mean, stdev
from typing import TYPE_CHECKING, NamedTuple

from nearbucket.analysis.policies.policy_text import percent
from nearbucket.analysis.recommending.policy_fit import EVERYTHING
from nearbucket.config.prices import MONTH_DAYS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from nearbucket.analysis.recommending.policy_facts import PolicyFacts, Slot
    from nearbucket.analysis.recommending.policy_fit import FittedPolicy, Worth
    from nearbucket.analysis.recommending.policy_worth import Valuation

FEWEST_DAYS = 3
"""Days on which a pattern or region has to be seen; a shorter log is no evidence."""
_MOST_SHARE = 0.5
"""Largest share of the bytes that one day or one network may have."""
_FOLDS = 14


class Doubt(NamedTuple):
    """How much a saving may differ from the expected one.

    Attributes:
        low: Lowest saving to expect in a month.
        high: Highest.
    """

    low: float
    high: float


def weakness(daily: Sequence[float], networks: Mapping[str, float], whole_days: int) -> str | None:
    """Why traffic is not likely to come back, as part of a sentence; None if it is.

    Args:
        daily: GB of each calendar day.
        networks: GB of the largest networks.
        whole_days: Days of the period. Two days from noon to noon are three calendar days, of
            which one has half of all bytes however steady they are.
    """
    total, days = sum(daily), len(daily)
    seen = sum(gb > 0 for gb in daily)
    if seen < min(FEWEST_DAYS, whole_days):
        return f"it is seen on {seen} of {days} days only"
    if whole_days >= FEWEST_DAYS and max(daily) > total * _MOST_SHARE:
        day = daily.index(max(daily)) + 1
        return (
            f"{percent(max(daily) / total)} of its bytes are those of one day, day {day} of {days}"
        )
    network = max(networks, key=networks.__getitem__, default=None)
    if network is not None and networks[network] > total * _MOST_SHARE:
        share = min(1.0, networks[network] / total)
        return f"{percent(share)} of its bytes go to one network, {network}"
    return None


def fit_with_evidence(worth: Worth, facts: PolicyFacts) -> tuple[FittedPolicy, dict[str, str]]:
    """The best policy of which every pattern and region has evidence.

    Returns:
        The policy, and the patterns and regions left out for want of evidence, with the reason.
    """
    weak: dict[str, str] = {}
    named = _fit_with_evidence(worth, facts, weak, (EVERYTHING,))
    policy = _fit_with_evidence(worth, facts, weak)
    if policy.patterns == (EVERYTHING,):  # a burst is small among all objects
        known = set(worth.covered_slots(named))
        others = [slot for slot in worth.covered_slots(policy) if slot not in known]
        if why := _weakness(facts, others, policy.regions):
            weak[EVERYTHING] = why
            policy = _fit_with_evidence(worth, facts, weak)
    return policy, weak


def _fit_with_evidence(
    worth: Worth, facts: PolicyFacts, weak: dict[str, str], without: Collection[str] = ()
) -> FittedPolicy:
    """The best policy without some patterns; takes into ``weak`` what has no evidence."""
    while True:
        regions = [region for region in facts.regions if region not in weak]
        policy = worth.fit(regions, without={*weak, *without})
        found = _weak_regions(worth, facts, policy) or _weak_patterns(worth, facts, policy)
        if not found:
            return policy
        weak |= found


def _weak_regions(worth: Worth, facts: PolicyFacts, policy: FittedPolicy) -> dict[str, str]:
    """The origin's region needs no evidence: a bucket is there anyway."""
    slots = worth.covered_slots(policy)
    return {
        region: why
        for region in policy.regions
        if region != worth.origin and (why := _weakness(facts, slots, {region}))
    }


def _weak_patterns(worth: Worth, facts: PolicyFacts, policy: FittedPolicy) -> dict[str, str]:
    found = {}
    for pattern in policy.patterns:
        slots = worth.covered_slots(policy._replace(patterns=(pattern,)))
        if why := _weakness(facts, slots, policy.regions):
            found[pattern] = why
    return found


def _weakness(facts: PolicyFacts, slots: Collection[Slot], regions: Collection[str]) -> str | None:
    networks = facts.by_network(slots, regions)
    return weakness(facts.daily(slots, regions), networks, facts.whole_days)


def doubt(
    valuation: Valuation, prices: Mapping[str, float], weak: Collection[str], saving: float
) -> Doubt:
    """Fit again without single days, and see what those policies would have saved on them.

    The range is two standard errors of a month's mean, as far as days differ, weekends among them.
    """
    days = valuation.facts.days
    if valuation.facts.whole_days < FEWEST_DAYS:
        return Doubt(min(0.0, saving), saving)
    values = [0.0] * days
    regions = [region for region in valuation.facts.regions if region not in weak]
    for fold in range(min(days, _FOLDS)):
        out = range(fold, days, _FOLDS)
        fitted = valuation.worth(prices, without=out).fit(regions, without=weak)
        for day in out:
            values[day] = valuation.worth_of_day(prices, day, fitted.regions).of(fitted)
    error = 2 * stdev(values) * sqrt(1 / days + 1 / MONTH_DAYS)
    return Doubt(
        low=min(saving, mean(values)) - error,
        high=min(saving + error, valuation.money.most),
    )
