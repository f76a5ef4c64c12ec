"""The top of the page: which targets are down, since when and why; what a month saves and costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nearbucket.analysis.report.markup import Html, element
from nearbucket.config.prices import GB
from nearbucket.figures import harmless, money, volume
from nearbucket.plural import plural
from nearbucket.supervisor.admin.dashboard.dashboard_markup import ago, clock, lasted, live

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from nearbucket.analysis.report.markup import Part

_YOUNG = 3600


def header(status: Mapping[str, Any], now: datetime) -> Html:
    """What runs here, and since when."""
    workers, config = status["workers"], status["config"]
    state = "ready" if status["ready"] else "not ready"
    facts = [
        element("b", state, class_="good" if status["ready"] else "bad"),
        f"version {status['version']}",
        f"{workers['serving']:.0f} of {plural(workers['configured'], 'worker')}",
        f"configuration {config['hash']}",
        _list_text(status["ranges"]),
    ]
    since = [
        "Figures are those of this instance since its start, ",
        clock(status["started"], now),
        f", {ago(status['started'], now)} ago. A reload keeps them; a restart begins anew.",
    ]
    return element(
        "header",
        element("h1", "nearbucket"),
        element("p", [[fact, " · "] for fact in facts[:-1]], facts[-1], class_="facts"),
        element("p", since, class_="quiet"),
        id="header", class_="live",
    )  # fmt: skip


def _list_text(ranges: Mapping[str, Any] | None) -> str:
    if ranges is None:
        return "no list of prefixes"
    if ranges["built_in"]:
        return f"built-in list of {ranges['created']}"
    return f"list of {ranges['created']}, confirmed {lasted(ranges['age_seconds'])} ago"


def targets_box(status: Mapping[str, Any], now: datetime) -> Html:
    """What is down since when and why, and other problems."""
    outages = [outage for outage in status["outages"] if outage["until"] is None]
    problems = list(_problems(status))
    return live(
        "state",
        "Targets",
        [_down(status, outage, now) for outage in outages] or _all_up(status, now),
        element("ul", [element("li", problem) for problem in problems], class_="problems")
        if problems
        else None,
        role="status",
    )


def _down(status: Mapping[str, Any], outage: Mapping[str, Any], now: datetime) -> Html:
    return element(
        "div",
        element("p", element("b", f"{outage['target']} is down"), _of_site(outage), class_="what"),
        element(
            "p", "since ", clock(outage["since"], now), f", {ago(outage['since'], now)} ago",
            class_="figure",
        ),
        element("p", "Why: ", element("bdi", harmless(outage["why"], 400) or "not known yet")),
        element("p", _instead(status, outage), class_="quiet"),
        class_="down",
    )  # fmt: skip


def _instead(status: Mapping[str, Any], outage: Mapping[str, Any]) -> str | None:
    """What clients get meanwhile."""
    for site in status["sites"]:
        if site["site"] == outage["site"] and outage["target"] in site["targets"]:
            return "Its clients are streamed."
    return "This is an origin: the site's other origins are asked."


def _of_site(outage: Mapping[str, Any]) -> str:
    return "" if outage["site"] == "*" else f" (site {outage['site']})"


def _all_up(status: Mapping[str, Any], now: datetime) -> Part:
    targets = [each for site in status["sites"] for each in site["targets"].values()]
    unknown = sum(each["up"] is None for each in targets)
    many = len(targets) != 1
    words = f"All {plural(len(targets), 'target')} are up" if many else "The target is up"
    if unknown:
        words = f"No target is down; {unknown} not checked"
    last = next(iter(status["outages"]), None)
    if last is None:
        more: Part = "None was down since the start."
    else:
        more = [
            f"Last outage: {last['target']}{_of_site(last)}, ", clock(last["since"], now), " to ",
            clock(last["until"], now), ": ", element("bdi", harmless(last["why"], 300)),
        ]  # fmt: skip
    return [
        element("p", words if targets else "No target is configured", class_="figure good"),
        element("p", more, class_="quiet"),
    ]


def _problems(status: Mapping[str, Any]) -> Iterator[Part]:
    for reason in status["reasons"]:
        yield f"Not ready: {reason}"
    yield from status["warnings"]
    for stuck in status["stuck_clients"]:
        who = f"Redirects of {stuck['client']} in {stuck['region']} ("
        agent = element("bdi", harmless(stuck["user_agent"]))
        yield [who, agent, f") fail: {stuck['advice']}"]
    warm_up = status["warm_up"]
    if warm_up and warm_up["problem"]:
        yield f"Warm-up: {warm_up['problem']}"


def money_box(status: Mapping[str, Any], history: Mapping[str, Any]) -> Html:
    """What a month saves, what shadow would save, and what is still paid; what checks cost."""
    month = status["month"]
    saved = sum(row["value"] for row in status["figures"]["nearbucket_saved_usd_total"])
    cards = [_card("saved a month", _most(month, month["saved"]), "best", _saved_text(month))]
    if month["would_save"] or _has_shadow(status):
        text = "a month, if the targets in shadow were on"
        cards.append(_card("shadow would save", _most(month, month["would_save"]), "", text))
    cards.append(_card("still paid a month", *_paid(month)))
    return live(
        "money",
        "Money",
        element("div", cards, class_="cards"),
        element(
            "p",
            _basis(month),
            f" Since the start {money(saved)} saved. Requests to S3 that verify copies cost "
            f"{money(history['verification_usd_hour'])} an hour.",
            class_="quiet",
        ),
    )


def _has_shadow(status: Mapping[str, Any]) -> bool:
    return any(
        target["mode"] == "shadow"
        for site in status["sites"]
        for target in site["targets"].values()
    )


def _card(name: str, figure: Part, kind: str, text: str) -> Html:
    return element(
        "div",
        element("h3", name),
        element("p", figure, class_="figure"),
        element("p", text, class_="quiet"),
        class_=f"card {kind}".strip(),
    )


def _most(month: Mapping[str, Any], usd: float) -> Part:
    """Dollars, as an upper bound if they are one."""
    is_bound = month["at_most"] and usd > 0
    return [element("small", "at most ") if is_bound else None, money(usd)]


def _saved_text(month: Mapping[str, Any]) -> str:
    return f"{volume(month['redirected_gb'] * GB)} redirected"


def _paid(month: Mapping[str, Any]) -> tuple[str, str, str]:
    if month["still_paid"] is None:
        text = "the CDN serves what is redirected to it; set prices.monthly_gb"
        return "not known", "", text
    if month["whole_bill"] is not None:
        return money(month["still_paid"]), "", f"of {money(month['whole_bill'])} without redirects"
    free = ", which is within CloudFront's free volume" if not month["still_paid"] else ""
    text = (
        f"for {volume(month['streamed_gb'] * GB)} streamed{free}; "
        "what a CDN's cache serves is not seen"
    )
    return money(month["still_paid"]), "", text


def _basis(month: Mapping[str, Any]) -> str:
    seconds = month["seconds"]
    if seconds < _YOUNG:
        basis = f"the first {lasted(seconds)}, counted as an hour"
    else:
        basis = f"the last {seconds / _YOUNG:.3g} h"
    most = " at most, since prices.monthly_gb is not set;" if month["at_most"] else ""
    plan = month["plan"][0].upper() + month["plan"][1:]
    return f"A month like {basis}. {plan};{most} this instance alone."
