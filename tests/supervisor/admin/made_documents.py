"""Documents of the admin port as of a proxy that has run for a day: a target is down now."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from math import pi, sin
from typing import TYPE_CHECKING, Any, NamedTuple

from nearbucket.policy.model import Reason
from nearbucket.supervisor.admin.dashboard.dashboard_page import View, page_of
from nearbucket.supervisor.admin.history_document import history_of
from nearbucket.supervisor.admin.status import Past, status_of
from nearbucket.supervisor.admin.target_times import TargetTimes
from nearbucket.supervisor.reload_history import APPLIED, REFUSED, Reload
from nearbucket.telemetry.history.missing_copies import MissingCopy
from nearbucket.telemetry.history.month_estimate import MonthEstimate
from nearbucket.telemetry.history.recent_answers import RecentAnswer
from nearbucket.telemetry.history.traffic_history import TrafficHistory
from nearbucket.telemetry.metrics import SECONDS, Counters
from nearbucket.telemetry.savings import Savings
from nearbucket.telemetry.utc_text import utc_text
from tests.build import settings, snapshot

if TYPE_CHECKING:
    from nearbucket.telemetry.metrics import Labels, Values

NOW = 1_795_975_380.0
"""A Sunday, 18:03 UTC."""
RUN = 26 * 3600.0
HOSTILE = "<img src=x onerror=alert(1)>\u202e"
WHY = "no bucket answers at https://eu-west-1-downloads.s3.eu-west-1.amazonaws.com: timeout"
SITE: dict[str, Any] = {
    "hosts": ["downloads.example.com"],
    "targets": {
        "us-east-1": {"bucket": "downloads"},
        "us-west-2": {"bucket": "us-west-2-downloads"},
        "eu-west-1": {"bucket": "eu-west-1-downloads"},
        "eu-central-1": {"bucket": "eu-central-1-downloads", "mode": "shadow"},
    },
}
_REDIRECTS = {"us-east-1": 5.0, "us-west-2": 3.0, "eu-west-1": 2.0}
_BYPASSES = {
    ("us-east-1", Reason.PATH): 1.2, ("eu-central-1", Reason.SHADOW): 1.5,
    ("us-west-2", Reason.NOT_REPLICATED): 0.2, ("other-aws", Reason.NO_TARGET): 0.9,
    ("outside", Reason.OUTSIDE_AWS): 4.0,
}  # fmt: skip
"""Requests a second by region and reason."""
SIZE = 6 * 2**20


class Documents(NamedTuple):
    """What the page is made of."""

    status: dict[str, Any]
    history: dict[str, dict[str, Any]]
    decisions: tuple[RecentAnswer, ...]


def _pace(at: float) -> float:
    """How busy a time of day is, with a share of noise that is the same in each run."""
    return 1 + 0.5 * sin((at / 3600 - 9) / 24 * 2 * pi) + 0.12 * sin(at / 97) + 0.08 * sin(at / 31)


def values_at(seconds: float, weights: float, outage: float) -> Values:
    """All metrics after so many seconds.

    Args:
        seconds: The seconds.
        weights: The same, a busy one counting for more.
        outage: Those of them, weighted, in which eu-west-1 was down.
    """
    values = Counters().snapshot()
    site = SITE["hosts"][0]
    for region, rate in _REDIRECTS.items():
        number = rate * (weights - (outage if region == "eu-west-1" else 0))
        values["nearbucket_redirects_total"][site, region] = number
        values["nearbucket_redirected_bytes_total"][site, region] = number * SIZE
    down = {("eu-west-1", Reason.TARGET_DOWN): 2.0 * outage / weights if weights else 0.0}
    for (region, reason), rate in {**_BYPASSES, **down}.items():
        values["nearbucket_bypasses_total"][site, region, reason.value] = rate * weights
        sent = values["nearbucket_streamed_bytes_total"]
        sent[site, region] = sent.get((site, region), 0.0) + rate * weights * SIZE
    shadow = _BYPASSES["eu-central-1", Reason.SHADOW] * weights * SIZE
    values["nearbucket_shadow_bytes_total"] = {(site, "eu-central-1"): shadow}
    values["other-aws requests"] = {
        (region,): rate * weights for region, rate in (("ap-south-1", 0.6), ("sa-east-1", 0.3))
    }
    values["other-aws bytes"] = {
        labels: number * SIZE for labels, number in values["other-aws requests"].items()
    }
    values["nearbucket_responses_total"] = {
        ("2xx",): 7.7 * weights, ("3xx",): 10 * weights, ("4xx",): 0.3 * weights,
        ("5xx",): 0.002 * weights, ("none",): 0.0,
    }  # fmt: skip
    for slot in range(len(SECONDS) + 2):
        near = 10 * weights * (0.9, 0.09, 0.01)[slot - 1] if 1 <= slot <= 3 else 0.0
        far = 7.8 * weights / 2 ** abs(slot - 12)
        values["nearbucket_request_seconds"]["redirect", str(slot)] = near
        values["nearbucket_request_seconds"]["stream", str(slot)] = far / 3
    hosts: dict[Labels, float] = {(site, "redirect"): 10 * weights, (site, "stream"): 7.8 * weights}
    values["nearbucket_host_requests_total"] = {**hosts, ("other", "refuse"): 0.1 * seconds}
    return values


@cache
def documents(**prices: Any) -> Documents:
    """The documents, by these ``prices``."""
    chosen = settings(site=SITE, prices=prices)
    began = NOW - RUN
    savings, history, estimate = Savings(began), TrafficHistory(began), MonthEstimate(began)
    savings.apply(chosen)
    times, weights, outage = TargetTimes(), 0.0, 0.0
    values: Values = {}
    fell = NOW - 13 * 60
    site = SITE["hosts"][0]
    for step in range(1, int(RUN / 60) + 1):
        at = began + 60 * step
        weights += 60 * _pace(at)
        outage += 60 * _pace(at) if at > fell else 0.0
        values = savings.priced(values_at(at - began, weights, outage), at)
        history.add(at, values)
        estimate.add(at, values)
    up: dict[Labels, float] = {(site, region): 1.0 for region in SITE["targets"]}
    for at, why in ((began, ""), (began + 5e4, "2 requests in a row failed: HTTP 503"),
                    (began + 50_300, ""), (fell, WHY)):  # fmt: skip
        down = {(site, "eu-west-1"): why} if why else {}
        times.look(at, {**up, **dict.fromkeys(down, 0.0)}, down)
    values["nearbucket_target_up"] = {**up, (site, "eu-west-1"): 0.0}
    values["nearbucket_workers"] = {(): 2}
    values["nearbucket_ranges_age_seconds"] = {(): 1260.0}
    missing = [
        MissingCopy(site, "us-west-2", "releases/2026/11/toolchain-14.2.0.tar.xz", 412, NOW - 40),
        MissingCopy(site, "us-west-2", f"new/{HOSTILE}.tar.xz", 7, NOW - 1900),
    ]
    reloads = [
        Reload(NOW - 7200, APPLIED, "6f11c2a47e0b", "targets.eu-central-1.mode: off -> shadow"),
        Reload(NOW - 9000, REFUSED, "19c6258cf5ac", "nearbucket.yaml:14: sites.0.redirect.mode: "
               "'shadows' is none of on, shadow, off"),
    ]  # fmt: skip
    past = Past(began, RUN, times, reloads, missing, estimate.figures(chosen, savings))
    status = status_of(
        snapshot(chosen, workers=2), values, reasons=(), refused=None, warm_up=None, warnings=(),
        down={(site, "eu-west-1"): WHY}, stuck_clients=(), past=past,
    )  # fmt: skip
    windows = {name: history_of(history, name) for name in ("hour", "day", "week")}
    return Documents(status, windows, tuple(_decisions(site)))


def page(window: str, shown: str = "bytes", **prices: Any) -> str:
    """The dashboard of these documents."""
    found = documents(**prices)
    view, now = View(window, shown), datetime.fromtimestamp(NOW, UTC)
    return page_of(found.status, found.history[window], found.decisions, view, now)


def _decisions(host: str) -> list[RecentAnswer]:
    of = {
        "redirect": [("in-region", "us-east-1", 301), ("in-region", "us-west-2", 301)],
        "stream": [("target-down", "eu-west-1", 200), ("outside-aws", "UNKNOWN", 206),
                   ("path", "us-east-1", 200), ("not-replicated", "us-west-2", 200)],
        "refuse": [("method", "UNKNOWN", 405)],
    }  # fmt: skip
    made: list[RecentAnswer] = []
    for action, several in of.items():
        for reason, region, status in several:
            at = utc_text(NOW - len(made)).replace("+00:00", ".125+00:00")
            agent = HOSTILE if reason == "path" else "aria2/1.36.0"
            path = f"/releases/{HOSTILE}" if reason == "path" else "/releases/2026/11/tool.tar.xz"
            method = "PUT" if action == "refuse" else "GET"
            size = 118 if action == "redirect" else SIZE
            seconds = 0.00004 if action == "redirect" else 2.25
            made.append(RecentAnswer(at, f"198.51.100.{len(made)}", region, host, method, path,
                                     status, size, seconds, action, reason, agent,
                                     complete=True))  # fmt: skip
    return made
