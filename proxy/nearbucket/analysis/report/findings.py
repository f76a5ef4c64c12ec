"""What the forms of a report say alike: its main sentences, and the way from bill to bill."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from nearbucket.analysis.answers import AMAZON_NO_REGION, NO_ADDRESS, NOT_RECOMMENDED
from nearbucket.analysis.policies.policy_text import days_text
from nearbucket.figures import (
    about,
    count,
    harmless,
    money,
    period,
    share,
    size,
    volume,
)
from nearbucket.plural import plural
from nearbucket.policy.model import UNKNOWN

if TYPE_CHECKING:
    from nearbucket.analysis.answers import (
        AgentTraffic,
        Recommendation,
        RecommendedLine,
        RegionTraffic,
        Report,
    )

PLACES = {
    UNKNOWN: "outside AWS",
    AMAZON_NO_REGION: "Amazon, region not published",
    NO_ADDRESS: "no address in the log",
}
"""What a reader is told for those that are no AWS region."""

_NOT_BY_THEMSELVES = {
    "curl/": "only with -L",
    "libcurl/": "only if the program asks for it",
    "java-http-client/": "only if the program asks for it",
    "python-httpx/": "only if the program asks for it",
}
"""Beginnings of User-Agents of clients that follow no redirect unless they are told to.

Sources: curl(1), CURLOPT_FOLLOWLOCATION(3), Java's HttpClient.Redirect.NEVER, HTTPX's
``follow_redirects``.
"""

LONGEST_LIST = 20
"""Hosts, results and damaged files that are listed for readers; JSON has all."""
LEAST_REST = 0.5
"""Dollars below which a difference between sums is rounding."""


_NEARLY_ALL = 0.95


@dataclass(frozen=True, slots=True)
class BillStep:
    """One step from today's bill to the one after.

    Attributes:
        name: ``today``, a pattern, ``after``, or ``rest`` if the patterns do not add up.
        usd: Dollars a month: a bill, or what the step adds to it (negative: saves).
        start: Where the step begins, in dollars; 0 for a bill.
        end: Where it ends.
        costs: Dollars of a bill that are costs of copies and not the CDN's.
    """

    name: str
    usd: float
    start: float
    end: float
    costs: float = 0


def place(region: str) -> str:
    """An AWS region, or words for what is none."""
    return PLACES.get(region, region)


def in_aws(region: str) -> bool:
    """Whether these are machines of AWS, with a known region or without."""
    return region not in {UNKNOWN, NO_ADDRESS}


def aws_bytes(report: Report) -> int:
    """Bytes of clients inside AWS."""
    return sum(each.bytes for each in report.counts.regions if in_aws(each.region))


def aws_regions(report: Report) -> list[RegionTraffic]:
    """Traffic from AWS regions, most bytes first."""
    return [each for each in report.counts.regions if each.region not in PLACES]


def host_name(name: str) -> str:
    """A host of the log, or words for none."""
    return harmless(name) if name not in {"", "-"} else "no host in the log"


def result_name(name: str) -> str:
    """A result and status; nearbucket's own log has no result."""
    return harmless(name.removeprefix("- "))


def title(report: Report) -> str:
    """The host of the logs, or how many there are."""
    hosts = [each for each in report.counts.hosts if each.name not in {"", "-"}]
    if len(hosts) == 1:
        return harmless(hosts[0].name)
    if len(hosts) > 1:
        return f"{harmless(hosts[0].name)} and {plural(len(hosts) - 1, 'other host')}"
    return "Access logs"


def scope_text(report: Report) -> str:
    """What was read."""
    scope = report.scope
    read = (
        f"{plural(scope.lines, 'request')} in {plural(scope.files, 'file')}, "
        f"{period(scope.first, scope.last)} ({days_text(scope.days)})."
    )
    parts = [read]
    left_out = sum(scope.left_out.values())
    if left_out:
        parts.append(f"{plural(left_out, 'line')} left out.")
    damaged = len(scope.damaged)
    if damaged:
        verb = "is" if damaged == 1 else "are"
        parts.append(f"{plural(damaged, 'file')} {verb} damaged or left out.")
    if not left_out and not damaged:
        parts.append("Every line was read.")
    parts.append(f"Prices: AWS, {_prices(report)}. A month is 30.4 days at this rate.")
    return " ".join(parts)


def _prices(report: Report) -> str:
    """The month of the price list, and the file whose prices replace some."""
    scope = report.scope
    if scope.prices_file is None:
        return scope.prices_of
    return f"{scope.prices_of}, with those of {harmless(scope.prices_file)} in their place"


def no_policy(report: Report) -> str:
    """Why there is no recommendation, in one sentence."""
    told = (note for note in report.notes if note.startswith(NOT_RECOMMENDED))
    return next(told, "No policy was asked for.")


def other_notes(report: Report) -> list[str]:
    """The notes that the headline does not say."""
    said = headline(report)
    return [note for note in report.notes if note not in said]


def headline(report: Report) -> list[str]:
    """What is paid now, and what can be saved, in one sentence each."""
    bill, whole = report.bill, report.counts.bytes
    if not report.counts.requests:
        return ["There is no request in these logs."]
    scaled = ", scaled to your bill" if bill.scaled else ""
    now = (
        f"The CDN delivers {volume(bill.bytes_month)} a month for {money(bill.usd_month)} "
        f"({bill.plan}{scaled}). {share(aws_bytes(report), whole)} of the bytes in these logs go "
        "to machines inside AWS."
    )
    found = report.recommendation
    if found is None:
        return [now, no_policy(report)]
    then = (
        f"With the policy below, {volume(found.bytes_month)} a month come from S3 buckets in the "
        f"clients' own regions: {money(found.saving_usd_month)} a month less, "
        f"{doubt(found)}. What the copies cost is subtracted."
    )
    return [now, then]


def doubt(found: Recommendation) -> str:
    """The range of the saving."""
    return f"between {money(found.low)} and {money(found.high)}"


def floor_text(found: Recommendation) -> str:
    """The size floor."""
    return f"objects of {size(found.min_size)} or more" if found.min_size else "objects of any size"


def chosen_patterns(found: Recommendation) -> list[RecommendedLine]:
    """The recommended patterns, in the order in which they are counted."""
    return [line for line in found.why if line.chosen and line.kind == "pattern"]


def bill_steps(report: Report) -> list[BillStep]:
    """From today's bill to the bill after, pattern by pattern; empty without a recommendation.

    What a pattern saves counts after those before it, net of what its copies cost.
    """
    found, today = report.recommendation, report.bill.usd_month
    if found is None:
        return []
    steps, level = [BillStep("today", today, 0, today)], today
    after = today - found.saving_usd_month
    for line in chosen_patterns(found):
        steps.append(
            BillStep(line.name, -line.saving_usd_month, level, level - line.saving_usd_month)
        )
        level -= line.saving_usd_month
    rest = after - level
    if abs(rest) >= LEAST_REST:
        steps.append(BillStep("rest", rest, level, after))
    return [*steps, BillStep("after", after, 0, after, found.costs_usd_month)]


def follows(agent: AgentTraffic) -> str:
    """Whether a client follows redirects: what the log shows, or what is known of the program."""
    if agent.redirected:
        came = count(agent.came_back) if agent.came_back else "none"
        return f"{came} came back after {plural(agent.redirected, 'redirect')}"
    known = (
        words
        for start, words in _NOT_BY_THEMSELVES.items()
        if agent.agent.lower().startswith(start)
    )
    return next(known, "")


def surprise(report: Report) -> str:
    """Which of the listed clients may not follow a redirect, and what happens to them."""
    agents, whole = report.counts.user_agents, report.counts.bytes
    stuck = [each for each in agents if each.came_back]
    asking = [each for each in agents if not each.redirected and follows(each)]
    parts = []
    if stuck:
        parts.append(
            f"{plural(len(stuck), 'User-Agent')} came back after a redirect "
            f"({share(sum(each.bytes for each in stuck), whole)} of the bytes)."
        )
    if asking:
        parts.append(
            f"{plural(len(asking), 'User-Agent')} of the list "
            f"({share(sum(each.bytes for each in asking), whole)} of the bytes) "
            f"{'follows' if len(asking) == 1 else 'follow'} redirects only when told to, "
            "such as curl with -L."
        )
    if not parts:
        return "None of the listed clients is known not to follow redirects."
    parts.append(
        "nearbucket streams to a client that asks for the same object three times in a row; a "
        "script that asks once and does not look at the status gets no file."
    )
    return " ".join(parts)


def costs_text(found: Recommendation) -> str:
    """What the policy costs: buckets, copies and requests."""
    return (
        f"copies, storage and S3 requests; {plural(len(found.regions), 'bucket')}, "
        f"{about(found.redirects_month)} redirects a month"
    )


def aws_text(report: Report) -> str:
    """How few regions have nearly all bytes of AWS regions."""
    regions = aws_regions(report)
    whole = sum(each.bytes for each in regions)
    if not whole:
        return "no client has an AWS region"
    sums = list(accumulate(each.bytes for each in regions))
    number = next(at for at, sum_ in enumerate(sums, 1) if sum_ >= _NEARLY_ALL * whole)
    verb = "has" if number == 1 else "have"
    return f"{plural(number, 'region')} {verb} {share(sums[number - 1], whole)} of that"


def aborted_text(report: Report) -> str:
    """Complete downloads, and how many broke off, which are not among them."""
    counts = report.counts
    return (
        f"{plural(counts.downloads, 'complete download')}; {count(counts.aborted)} more broke off"
    )


def more(number: int) -> str:
    """What follows a list that is cut; empty if it is not."""
    return f"and {count(number - LONGEST_LIST)} more, in JSON" if number > LONGEST_LIST else ""


def how_computed(report: Report) -> tuple[str, ...]:
    """How the figures come about, in sentences."""
    counted = (
        "Bytes are those of the log's lines. 1 TB is 1,024 GB and 1 GB is 2^30 bytes, as on AWS's "
        "bills; sizes of objects are in KiB, MiB and GiB."
    )
    billed = (
        f"The bill is computed from AWS's prices of {_prices(report)}: tiers by the place "
        "of the edge, which start anew each month, the free tier, and the plan. Other "
        "distributions of the account and discounts change it; --bill scales all dollars to your "
        "real bill."
    )
    saved = (
        "The saving is the bill now, less the bill after, less copies, storage and requests to S3. "
        "It is never more than the bill."
    )
    doubted = (
        "The range comes from the days of the log: from policies that are found without one day "
        "and tried on it. A month unlike this period may lie outside of it."
    )
    return (
        counted,
        (
            "A download is a complete response, or the ranges of one client and object joined: "
            f"{aborted_text(report)}."
        ),
        billed,
        saved,
        doubted,
        "Logs do not show objects that nobody asked for, but which a pattern copies too.",
    )
