"""The sentences that a reader of a report must see first: on the plan, the evidence, the counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from nearbucket.analysis.answers import AMAZON_NO_REGION, NO_ADDRESS, NOT_RECOMMENDED
from nearbucket.analysis.policies.policy_text import days_text, listed, percent
from nearbucket.analysis.reading.formats import REDIRECTS, S3_LOG, TO_HTTPS
from nearbucket.analysis.recommending.policy_fit import EVERYTHING
from nearbucket.analysis.recommending.recommendation import NothingRecommended
from nearbucket.analysis.reducing.request_columns import REPEATED
from nearbucket.config.prices import GB, MONTH_DAYS
from nearbucket.figures import money
from nearbucket.pricing.bill import bill
from nearbucket.pricing.price_list import GB_PER_TB
from nearbucket.pricing.tariff import PAY_AS_YOU_GO

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nearbucket.analysis.answers import Counts, Recommendation, Scope, WhatIf
    from nearbucket.config.settings import Settings
    from nearbucket.pricing.bill import Usage
    from nearbucket.pricing.tariff import Tariff

_FEWEST_DAYS, _FORTNIGHT = 3, 14
_SEVERAL = 2
_OWN_USD = 74
"""A month of two Fargate tasks and a load balancer (``docs/costs.py``)."""
_NAT = (
    "Clients behind a NAT gateway pay it per GB for S3 as for the CDN, unless their subnets have "
    "the S3 gateway endpoint, which is free: then a redirect saves them that, too."
)
_UNUSUAL = 1.1
"""Up to how many times ``prices.monthly_gb`` the logs may have without a note."""
_WORTH_A_WORD = 0.01
"""Share of the bytes or requests from which a gap in the counts is told."""


class FlatRate(NamedTuple):
    """A flat-rate plan.

    Attributes:
        name: As the setting ``prices.plan`` writes it, without ``flat:``.
        tb: TB of a month.
        requests: Requests of a month.
        usd: Price of a month.
    """

    name: str
    tb: float
    requests: float
    usd: float


def report_notes(  # noqa: PLR0913, PLR0917  # what a note can be about
    scope: Scope,
    counts: Counts,
    tariff: Tariff,
    usage: Usage,
    what_if: WhatIf,
    recommendation: Recommendation | NothingRecommended | None,
    own: Settings | None = None,
) -> tuple[str, ...]:
    """The notes, the most important first.

    Args:
        scope: What was read.
        counts: What was counted.
        tariff: The prices.
        usage: What the CDN delivers in a month.
        what_if: What the configured policy would change.
        recommendation: The recommended policy, or why there is none; None if it was not asked for.
        own: The configuration, if one was given.
    """
    chosen: tuple[str, ...] = tuple(_own_costs(what_if.saving_usd_month))
    best: Recommendation | WhatIf = what_if
    if isinstance(recommendation, NothingRecommended):
        chosen = (f"{NOT_RECOMMENDED}: {recommendation.why}.",)
    elif recommendation is not None:
        best = recommendation
        chosen = tuple(_own_costs(recommendation.saving_usd_month))
    removed, saving = best.bytes_month, best.saving_usd_month
    total = sum(usage.gb.values())
    left = max(0.0, total - removed / GB)
    plan: Iterator[str] = iter(())
    if tariff.steps:
        plan = _flat_rate(tariff, usage, left)
    elif tariff.plan == PAY_AS_YOU_GO and tariff.cdn_per_gb is None and scope.days >= 1:
        plan = _pay_as_you_go(tariff, usage, saving)
    volume = _volume(scope, counts, tariff)
    moved = _redirected(counts)
    return (
        *moved,
        *_of_s3(scope),
        *_overlapping(scope),
        *_sampled(scope, counts),
        *_empty_days(scope, counts),
        *_too_short(scope),
        *plan,
        *chosen,
        *_all_objects(recommendation),
        *_other_sites(counts, own, recommendation),
        *volume,
        *_own_prices(counts, tariff),
        *_less_than_a_fortnight(scope),
        *_gaps(counts, own),
        _NAT,
    )


def redirected_requests(counts: Counts) -> int:
    """Requests that were answered with a redirect already; 0 if they are not worth a word."""
    found = 0
    for each in counts.results:
        result, _, status = each.name.rpartition(" ")
        if result != TO_HTTPS and int(status) in REDIRECTS:
            found += each.requests
    return found if found > counts.requests * _WORTH_A_WORD else 0


def _redirected(counts: Counts) -> Iterator[str]:
    if found := redirected_requests(counts):
        yield (
            f"{found:,} of {counts.requests:,} requests were answered with a redirect. Bytes that "
            "clients then got elsewhere are not in these logs, so bill and savings are those of "
            "the rest. Take logs from before, or of a time in redirect.mode: shadow."
        )


def _of_s3(scope: Scope) -> Iterator[str]:
    """On what S3's own logs do not say: who delivered the bytes."""
    if S3_LOG not in scope.kinds:
        return
    mixed = len(scope.kinds) > 1
    yield (
        f"{'Some of these' if mixed else 'These'} are S3 server access logs. Dollars hold only if "
        "a CDN delivered their bytes: from S3 to CloudFront, and to clients in the bucket's "
        "region, they are free."
    )
    if mixed:
        yield (
            "S3 logs what a CDN or a proxy fetches, too, so requests may be in its logs and in the "
            "others, and count twice: give only the logs of one."
        )


def _overlapping(scope: Scope) -> Iterator[str]:
    """On formats that may have the same requests; S3's have a note of their own."""
    kinds = [kind for kind in scope.overlapping_kinds if kind != S3_LOG]
    if len(kinds) < _SEVERAL or REPEATED in scope.left_out:
        return
    yield (
        f"There are logs in several formats of the same time: {listed(kinds)}. Requests that are "
        "in two of them, such as those of CloudFront and of nearbucket behind it, count twice: "
        "give only the logs of one. If all are CloudFront's, --dedupe counts each request once."
    )


def _sampled(scope: Scope, counts: Counts) -> Iterator[str]:
    """On a sample, and on other logs that are scaled up like it."""
    if counts.requests <= scope.lines:
        return
    text = (
        f"By --sample, the {scope.lines:,} requests of these logs, and their bytes, stand for "
        f"{counts.requests:,}"
    )
    if len(scope.kinds) > 1:
        text += f"; that goes for all formats, {listed(scope.kinds)}. If only some of the logs are "
        text += "samples, bill and savings are too high: analyze those alone"
    yield f"{text}."


def _empty_days(scope: Scope, counts: Counts) -> Iterator[str]:
    """On a period that is mostly without requests, such as after a stray line of another year."""
    if scope.first is None or scope.last is None:
        return
    first, last = scope.first.date(), scope.last.date()
    days, busy = (last - first).days + 1, len(counts.days)
    if 2 * busy < days:
        yield (
            f"Only {busy:,} of the {days:,} days from {first} to {last} have requests, and figures "
            "of a month count the others as well. If lines with a wrong time or missing files are "
            "the reason, name the period with --since and --until."
        )


def _flat_rate(tariff: Tariff, usage: Usage, left: float) -> Iterator[str]:
    """On what redirects save where a plan is paid in steps."""
    total = sum(usage.gb.values())
    before, after = _step(tariff, total), _step(tariff, left)
    with_plan = f"With the {tariff.words_for(total)}, redirects save"
    if after[1] < before[1]:
        yield (
            f"{with_plan} only what a smaller plan costs less: {_tb(total)} a month need the plan "
            f"of {money(before[1])}, and {_tb(left)} that of {money(after[1])}. The plan has "
            "to be changed for it."
        )
    else:
        yield (
            f"{with_plan} nothing: it costs {money(before[1])} with {_tb(left)} a month, as with "
            f"{_tb(total)}. Requests to S3 and copies come on top."
        )
    if before[1] < (own := tariff.steps[-1][1]):
        yield (
            f"The {tariff.words} costs {money(own)} a month. The bill here is the "
            f"{money(before[1])} of the size that is enough for {_tb(total)}: without any "
            f"redirect, changing to it saves {money(own - before[1])}."
        )
    name = tariff.plan.removeprefix("flat:").partition("-")[0]
    included = tariff.prices.cloudfront.plan_requests[name]
    over = []
    if total > (most := tariff.steps[-1][0]):
        over.append(f"{_tb(total)} a month are more than the {_tb(most)} of this plan")
    if usage.cdn_requests > included:
        over.append(
            f"{_millions(usage.cdn_requests)} requests a month are more than the "
            f"{_millions(included)} of this plan"
        )
    if over:
        larger = _cheapest_plan(tariff, usage)
        if larger is not None:
            over.append(f"{larger.name} is large enough, for {money(larger.usd)} a month")
        yield f"{'; '.join(over)}."


def _step(tariff: Tariff, gb: float) -> tuple[float, float]:
    """GB and price of the smallest size of a plan that is enough, or of the largest."""
    return next((step for step in tariff.steps if gb <= step[0]), tariff.steps[-1])


def _pay_as_you_go(tariff: Tariff, usage: Usage, saving: float) -> Iterator[str]:
    """On flat-rate plans that cost less."""
    now, total = bill(usage, tariff), sum(usage.gb.values())
    cheapest = _cheapest_plan(tariff, usage)
    if cheapest is None or cheapest.usd >= now:
        return
    text = (
        f"The flat-rate plan {cheapest.name} costs {money(cheapest.usd)} a month for up to "
        f"{cheapest.tb:g} TB and {_millions(cheapest.requests)} requests, for one distribution; "
        f"pay as you go costs {money(now)} for these {_tb(total)} and "
        f"{_millions(usage.cdn_requests)} requests"
    )
    if cheapest.usd < now - saving:
        text += f". Changing the plan saves more than redirects, which save {money(max(0, saving))}"
    yield (
        f"{text}. See what the plan includes, and compute again with --plan flat:{cheapest.name}, "
        "and --host if there are several distributions."
    )


def _cheapest_plan(tariff: Tariff, usage: Usage) -> FlatRate | None:
    """The cheapest flat-rate plan that is large enough."""
    gb, cdn = sum(usage.gb.values()), tariff.prices.cloudfront
    plans = [
        FlatRate(name if len(sizes) == 1 else f"{name}-{tb}", tb, requests, usd)
        for name, sizes in cdn.plans.items()
        if usage.cdn_requests <= (requests := cdn.plan_requests[name])
        for tb, usd in sizes.items()
        if gb <= tb * GB_PER_TB
    ]
    return min(plans, key=lambda plan: plan.usd, default=None)


def _volume(scope: Scope, counts: Counts, tariff: Tariff) -> Iterator[str]:
    """On a bill or a volume that is more than that of the logs."""
    logged = counts.bytes / GB * MONTH_DAYS / scope.days if scope.days else 0.0
    said = tariff.monthly_gb or 0.0
    if said > logged * (1 + _WORTH_A_WORD):
        yield (
            f"These logs have {_tb(logged)} a month of the {_tb(said)} that "
            "prices.monthly_gb says. The rest counts in the bill and its tiers."
        )
    elif tariff.cdn_per_gb is None and 0 < said * _UNUSUAL < logged:
        yield (
            f"These logs have {_tb(logged)} a month, more than the {_tb(said)} that "
            "prices.monthly_gb says, so their volume counts here. serve and config diff compute "
            "by the setting: savings of too small a volume are too high."
        )
    if tariff.factor > 1 + _WORTH_A_WORD:
        yield (
            f"The bill given is {tariff.factor:.3g} times what the price list says. If it is also "
            "for traffic that these logs do not have, savings are too high: say the volume of all "
            "with prices.monthly_gb in a configuration."
        )


def _own_prices(counts: Counts, tariff: Tariff) -> Iterator[str]:
    """On prices of single regions, which are those of savings alone."""
    logged = {each.region for each in counts.regions if each.bytes}
    if regions := sorted(logged & set(tariff.region_per_gb)):
        yield (
            f"Redirects in {listed(regions)} save what prices.region_per_gb says for each GB, up "
            "to the whole bill; the bill does not know that price, and so savings may be a larger "
            "part of it than their bytes are."
        )


def _too_short(scope: Scope) -> Iterator[str]:
    if round(scope.days) < _FEWEST_DAYS:
        yield (
            f"A log of {days_text(scope.days)} is no evidence for a month: its traffic may never "
            "return. Take two weeks."
        )


def _less_than_a_fortnight(scope: Scope) -> Iterator[str]:
    if _FEWEST_DAYS <= round(scope.days) < _FORTNIGHT:
        yield (
            f"A log of {days_text(scope.days)} does not tell weekends from weekdays, nor what is "
            "usual. Take two weeks."
        )


def _own_costs(saving: float) -> Iterator[str]:
    """That the cost of running nearbucket is not subtracted."""
    if saving <= 0:
        return
    more = ", more than this policy saves" if saving < _OWN_USD else ""
    yield (
        f"What nearbucket itself costs is not subtracted: about ${_OWN_USD} a month for two "
        f"tasks on Fargate and a load balancer{more}. As a CloudFront Function it needs neither."
    )


def _all_objects(recommendation: Recommendation | NothingRecommended | None) -> Iterator[str]:
    """On a policy of all objects, of which logs have only those that somebody asked for."""
    if (
        not isinstance(recommendation, NothingRecommended | None)
        and EVERYTHING in recommendation.paths
        and len(recommendation.regions) > 1
    ):
        yield (
            "The pattern * is all objects of the bucket: nearbucket sync also copies those that "
            "nobody asked for in these logs. Their copies are in the costs only with --inventory; "
            "without it the saving may be too high. nearbucket sync --dry-run says what it would "
            "copy."
        )


def _other_sites(
    counts: Counts,
    own: Settings | None,
    recommendation: Recommendation | NothingRecommended | None,
) -> Iterator[str]:
    """On a recommendation, which is for the first of several sites."""
    if recommendation is None or own is None or len(own.sites) < _SEVERAL:
        return
    first, *others = own.sites
    hosts = {host for site in others for host in site.hosts}
    of_others = sum(
        each.bytes
        for each in counts.hosts
        if each.name.lower() in hosts or ("*" in hosts and each.name.lower() not in first.hosts)
    )
    part = of_others / counts.bytes if counts.bytes else 0.0
    yield (
        f"A policy is recommended for the first site of the configuration alone, {first.name}. "
        f"{percent(part)} of the bytes are for other sites: what they redirect is not in its "
        "saving. Put another site first for a policy of its own."
    )


def _gaps(counts: Counts, own: Settings | None) -> Iterator[str]:
    """On requests that count as from outside of AWS, or for no site."""
    if not counts.bytes:
        return
    shares = {each.region: each.bytes / counts.bytes for each in counts.regions}
    if (share := shares.get(NO_ADDRESS, 0)) > _WORTH_A_WORD:
        yield (
            f"{percent(share)} of the bytes have no client address in the log: they count as from "
            "outside of AWS."
        )
    if (share := shares.get(AMAZON_NO_REGION, 0)) > _WORTH_A_WORD:
        yield (
            f"{percent(share)} of the bytes go to networks of Amazon that its list has in no "
            "region, such as those that customers bring along. They are not redirected, unless "
            "regions.overrides says where they are."
        )
    hosts = {host for site in own.sites for host in site.hosts} if own else {"*"}
    other = sum(each.bytes for each in counts.hosts if each.name.lower() not in hosts)
    if "*" not in hosts and other > counts.bytes * _WORTH_A_WORD:
        yield (
            f"{percent(other / counts.bytes)} of the bytes are for hosts that the configuration "
            "does not have: nothing of them is redirected."
        )


def _millions(requests: float) -> str:
    millions = requests / 1e6
    if millions < 1:
        return f"{requests:,.0f}"
    return f"{millions:,.0f} million" if millions >= 10 else f"{millions:.3g} million"  # noqa: PLR2004


def _tb(gb: float) -> str:
    return f"{gb / GB_PER_TB:.3g} TB"
