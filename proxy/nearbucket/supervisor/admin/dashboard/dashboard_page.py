"""The page, from the documents of ``/api``."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

from nearbucket.analysis.report.markup import Html, element, joined
from nearbucket.supervisor.admin.dashboard import dashboard_tables as tables
from nearbucket.supervisor.admin.dashboard.dashboard_top import header, money_box, targets_box
from nearbucket.supervisor.admin.dashboard.traffic_section import (
    SHOWN,
    answers_section,
    traffic_section,
)
from nearbucket.telemetry.history.traffic_history import WINDOWS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from nearbucket.telemetry.history.recent_answers import RecentAnswer

_FORM = (
    ("ip", "address", "192.0.2.7", True),
    ("path", "path or URL", "/big/file.tar.gz", True),
    ("host", "host", "", False),
    ("method", "method", "GET", False),
    ("header", "header", "User-Agent: curl/8", False),
)
"""Parameters of ``/api/explain``: name, words, an example, and whether it is required."""

_ASKS = (
    "What a client with this address would get, and why. The workers are asked, and they ask S3 "
    "for the copy if they do not know it. Nothing is counted."
)
_LINKS = (
    ("metrics", "metrics"), ("api/status", "status"), ("api/history", "history"),
    ("api/decisions", "decisions"), ("api/hosts", "hosts that clients are redirected to"),
    ("readyz", "readiness"),
)  # fmt: skip


class View(NamedTuple):
    """What the reader has chosen."""

    window: str
    shown: str

    @classmethod
    def of(cls, query: Mapping[str, str], status: Mapping[str, Any]) -> View:
        """The choice of a query; what it does not name or does not exist is the default."""
        window, shown = query.get("window", ""), query.get("show", "")
        # bytes of the CDN are not known
        usual = (
            "bytes" if all(site["bypass"] == "stream" for site in status["sites"]) else "requests"
        )
        return cls(window if window in WINDOWS else "hour", shown if shown in SHOWN else usual)


@cache
def own_text(name: str) -> str:
    """A file of this folder."""
    return files(__package__).joinpath(name).read_text("utf-8")


def page_of(
    status: Mapping[str, Any],
    history: Mapping[str, Any],
    answers: Sequence[RecentAnswer],
    view: View,
    now: datetime,
) -> str:
    """The page.

    Args:
        status: The document of ``/api/status``.
        history: The document of ``/api/history`` for ``view.window``.
        answers: The last answers, the last one first.
        view: What the reader has chosen.
        now: The time, in UTC.
    """
    access = status["config"]["settings"]["log"]["access"]
    main = [
        element("p", id="stale", role="alert", hidden=""),
        element("div", targets_box(status, now), money_box(status, history), class_="top"),
        traffic_section(history, view.shown, list(WINDOWS), now),
        answers_section(history),
        tables.regions_section(history),
        tables.targets_section(status, now),
        tables.missing_section(status, now),
        _explain_section(),
        tables.decisions_section(answers, access, now),
        tables.hosts_section(status),
        tables.reloads_section(status, now),
    ]
    links = [[element("a", words, href=path), " · "] for path, words in _LINKS[:-1]]
    last = element("a", _LINKS[-1][1], href=_LINKS[-1][0])
    body = joined([header(status, now), element("main", main), element("footer", links, last)])
    down = sum(outage["until"] is None for outage in status["outages"])
    title = f"{'not ready, ' if not status['ready'] else ''}{f'{down} down, ' if down else ''}"
    return _document(f"{title}nearbucket", body)


def _explain_section() -> Html:
    """The form; the script asks, so that no other page can send it."""
    fields = [
        element(
            "label", element("span", words),
            Html(f'<input name="{name}" id="explain-{name}" placeholder="{example}"'
                 f'{" required" if required else ""} autocomplete="off" spellcheck="false">'),
        )
        for name, words, example, required in _FORM
    ]  # fmt: skip
    without = "Without JavaScript: /api/explain?ip=ADDRESS&path=/KEY on this port."
    return element(
        "section",
        element("h2", "Explain this address"),
        element("p", _ASKS, class_="quiet"),
        element("noscript", element("p", without)),
        element("form", fields, element("button", "Explain"), id="explain", hidden=""),
        element("div", id="explained", aria_live="polite"),
        id="explain-section",
    )


def _document(title: str, body: Html) -> str:
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"{element('title', title)}\n<style>{own_text('dashboard.css')}</style>\n</head>\n"
        f"<body>\n{body}\n<script>{own_text('dashboard.js')}</script>\n</body>\n</html>\n"
    )
