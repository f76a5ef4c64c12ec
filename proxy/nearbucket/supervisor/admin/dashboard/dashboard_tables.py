"""The tables of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nearbucket.analysis.report.markup import Html, element
from nearbucket.figures import count, harmless, money, size, volume
from nearbucket.policy.model import Action
from nearbucket.supervisor.admin.dashboard.dashboard_markup import (
    ago,
    clock,
    listing_table,
    live,
    short_time,
)
from nearbucket.telemetry.metrics import OTHER_AWS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from nearbucket.analysis.report.markup import Part
    from nearbucket.telemetry.history.recent_answers import RecentAnswer

_STATES = {True: "up", False: "down", None: "not known"}
_REDIRECTED = "nearbucket_redirects_total"
_REGION_COLUMNS = (
    "clients in", "#redirected", "#not redirected", "#redirected bytes", "#streamed bytes",
    "#saved", "#shadow",
)  # fmt: skip
_DECISIONS = "Of a busy instance they are a sample: the last ones that each worker has logged."


def _from_outside(text: str) -> Html:
    """Text that a client may have sent."""
    return element("bdi", harmless(text), class_="key")


def _whole(name: str) -> Html:
    return element("span", name, class_="whole")


def regions_section(history: Mapping[str, Any]) -> Html:
    """What was redirected and saved by region of the clients."""
    rows = list(_region_rows(history))
    more = element("p", f"The last {history['window']}.", class_="quiet")
    nothing = "No request yet."
    caption = "Traffic and savings by region of the clients"
    table = listing_table(caption, _REGION_COLUMNS, rows, nothing)
    return live("regions", "Regions", more, table)


def _region_rows(history: Mapping[str, Any]) -> Iterator[Sequence[Part]]:
    for row in history["regions"]:
        if not (row["redirects"] or row["bypasses"]):
            continue
        yield (
            _whole(row["region"]),
            count(row["redirects"]),
            count(row["bypasses"]),
            volume(row["redirected_bytes"]),
            volume(row["streamed_bytes"]),
            money(row["saved_usd"]) if row["redirects"] else "",
            money(row["shadow_usd"]) if row["shadow_bytes"] else "",
        )
        if row["region"] == OTHER_AWS:
            for each in history["other_aws"]:
                name = element("span", each["region"], class_="part")
                yield name, "", count(each["requests"]), "", volume(each["bytes"]), "", ""


def targets_section(status: Mapping[str, Any], now: datetime) -> Html:
    """Every target, and the last outages."""
    outages = [
        (
            [element("b", _whole(outage["target"])), f" of {outage['site']}"],
            clock(outage["since"], now),
            "is down" if outage["until"] is None else clock(outage["until"], now),
            element("bdi", harmless(outage["why"], 400), class_="key"),
        )
        for outage in status["outages"]
    ]
    columns = (
        "clients in",
        "are sent to",
        "mode",
        "state",
        "since",
        "#redirects",
        "#saved",
        "#shadow",
    )
    return live(
        "targets",
        "All targets",
        element("p", _sites_text(status), class_="quiet"),
        listing_table("Targets", columns, _target_rows(status, now), "None."),
        element("h3", "Outages") if outages else None,
        listing_table("Outages", ("target", "since", "until", "why"), outages, ""),
    )


def _sites_text(status: Mapping[str, Any]) -> str:
    return ". ".join(
        f"{site['site']}: mode {site['mode']}, {site['percent']:g} percent, "
        f"verify {site['verify']}, the rest {_rest(site)}"
        for site in status["sites"]
    )


def _rest(site: Mapping[str, Any]) -> str:
    return "streamed" if site["bypass"] == "stream" else f"redirected to {site['bypass']}"


def _target_rows(status: Mapping[str, Any], now: datetime) -> Iterator[Sequence[Part]]:
    several = len(status["sites"]) > 1
    for site in status["sites"]:
        for region, target in site["targets"].items():
            kind = {True: "good", False: "bad"}.get(target["up"])
            shadow = _of(status, "nearbucket_shadow_usd_total", site["site"], region)
            yield (
                [_whole(region), f" ({site['site']})" if several else None],
                _from_outside(target["location"]),
                target["mode"],
                element("b", _STATES[target["up"]], class_=kind),
                "" if target["since"] is None else _whole(ago(target["since"], now)),
                count(_of(status, _REDIRECTED, site["site"], region)),
                money(_of(status, "nearbucket_saved_usd_total", site["site"], region)),
                money(shadow) if shadow or target["mode"] == "shadow" else "",
            )


def _of(status: Mapping[str, Any], name: str, *labels: str) -> float:
    rows = status["figures"][name]
    return sum(float(row["value"]) for row in rows if row["labels"][: len(labels)] == list(labels))


def missing_section(status: Mapping[str, Any], now: datetime) -> Html:
    """Objects that were asked for and that targets lack."""
    rows = [
        (
            _from_outside(copy["key"]),
            _whole(copy["region"]),
            copy["site"],
            count(copy["requests"]),
            f"{ago(copy['last'], now)} ago",
        )
        for copy in status["missing_copies"]
    ]
    return live(
        "missing",
        "Keys missing at targets",
        element("p", "Asked for in the last hour and streamed, since the target had no equal copy. "
                     "They may have been copied since: ask below. ",
                element("code", "nearbucket sync"), " copies them.", class_="quiet"),
        listing_table("Keys missing at targets", ("key", "target", "site", "#requests", "last"),
                      rows, "None."),
    )  # fmt: skip


def hosts_section(status: Mapping[str, Any]) -> Html:
    """Requests by the host that they name."""
    name = "nearbucket_host_requests_total"
    hosts = sorted({row["labels"][0] for row in status["figures"][name]})
    rows = [
        (host, *(count(_of(status, name, host, action.value)) for action in Action))
        for host in hosts
    ]  # fmt: skip
    columns = ("host", "#redirected", "#streamed", "#refused")
    words = element(
        "p", "Since the start; other: all that the configuration does not name.", class_="quiet"
    )
    return live("hosts", "Hosts", words, listing_table("Hosts", columns, rows, "None."))


def decisions_section(answers: Sequence[RecentAnswer], access: str, now: datetime) -> Html:
    """The last answers; ``access`` is the setting ``log.access``."""
    rows = [
        (
            clock(answer.time, now),
            element("b", answer.action, class_=f"a-{answer.action}"),
            answer.reason,
            [element("bdi", harmless(answer.client), class_="ip"), element("small", answer.region)],
            [_from_outside(f"{answer.method} {answer.path}"), element("small", _agent(answer))],
            _status_text(answer),
            size(answer.size),
            short_time(answer.seconds),
        )
        for answer in answers
    ]
    columns = ("time", "action", "reason", "client", "request", "status", "#bytes", "#took")
    nothing = "log.access is off, so none are kept." if access == "off" else "No request yet."
    words = element("p", _DECISIONS, class_="quiet") if rows else None
    table = listing_table("Recent decisions", columns, rows, nothing)
    return live("decisions", "Recent decisions", words, table)


def _agent(answer: RecentAnswer) -> Part:
    return _from_outside(
        f"{answer.host} · {answer.user_agent}" if answer.user_agent else answer.host
    )


def _status_text(answer: RecentAnswer) -> str:
    if not answer.status:
        return "client left"
    return f"{answer.status}" if answer.complete else f"{answer.status}, broke off"


def reloads_section(status: Mapping[str, Any], now: datetime) -> Html:
    """The last reloads of the configuration."""
    rows = [
        (
            clock(reload["time"], now),
            element(
                "b", reload["result"], class_="good" if reload["result"] == "applied" else "bad"
            ),
            element("code", reload["config"]),
            element("bdi", harmless(reload["text"], 600), class_="key"),
        )
        for reload in status["reloads"]
    ]
    columns = ("time", "result", "in use since", "what")
    return live(
        "reloads",
        "Reloads of the configuration",
        listing_table("Reloads", columns, rows, "None since the start."),
    )
