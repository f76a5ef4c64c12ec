"""Traffic over time: redirected, not redirected, outside AWS; statuses and durations."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from nearbucket.analysis.report.markup import Html, element
from nearbucket.figures import count, share, volume
from nearbucket.supervisor.admin.dashboard.dashboard_markup import (
    clock,
    listing_table,
    live,
    short_time,
)
from nearbucket.supervisor.admin.dashboard.traffic_chart import (
    LINES,
    ChartColumn,
    byte_scale_of,
    chart,
    columns_of,
    scale_of,
)
from nearbucket.supervisor.admin.history_document import GROUPS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nearbucket.analysis.report.markup import Part

NAMES = {
    "redirected": "redirected",
    "not_redirected": "not redirected, in AWS",
    "outside": "outside AWS",
}
SHOWN = ("bytes", "requests")
_LABELS = 4
_TABLE_ROWS = 24


def traffic_section(
    history: Mapping[str, Any], shown: str, windows: Sequence[str], now: datetime
) -> Html:
    """The chart, its choice of window and unit, and the same as a table.

    Args:
        history: The document of ``/api/history``.
        shown: One of ``SHOWN``.
        windows: Windows to choose from.
        now: The time.
    """
    columns = columns_of(history, [f"{name}_{shown}" for name in GROUPS], now.timestamp())
    most = max((sum(column.rates) for column in columns if column.rates), default=0.0)
    top = (byte_scale_of if shown == "bytes" else scale_of)(most or 1.0)
    return live(
        "traffic",
        "Traffic",
        element("nav", _choice(history["window"], shown, windows), aria_label="Window and unit"),
        _legend(history, shown),
        element(
            "div",
            element("div", [element("span", each) for each in _y_labels(top, shown)], class_="y"),
            chart(columns, top, GROUPS, lambda column: _words(column, shown, history["window"])),
            element(
                "div",
                [element("span", each) for each in _x_labels(columns, history["window"])],
                class_="x",
            ),
            class_="plot",
        ),
        _began(history, columns, now),
        element(
            "details", element("summary", "As a table", id="traffic-table"),
            _table(columns, shown, history["window"]), id="traffic-details",
        ),
    )  # fmt: skip


def _choice(window: str, shown: str, windows: Sequence[str]) -> list[Part]:
    def link(text: str, of: str, unit: str) -> Html:
        current = "true" if (of, unit) == (window, shown) else None
        name = f"to-{text}".replace(" ", "-")
        query = f"?window={of}&show={unit}"
        return element("a", text, href=query, id=name, aria_current=current)

    times: Part = [[link(f"last {each}", each, shown), " "] for each in windows]
    units: Part = [[link(each, window, each), " "] for each in SHOWN]
    return [element("span", times), element("span", units)]


def _legend(history: Mapping[str, Any], shown: str) -> Html:
    totals = {name: history["total"][name][shown] for name in GROUPS}
    whole = sum(totals.values())
    items = []
    for name in GROUPS:
        key = element("svg", element("rect", width="10", height="10", rx="2"), viewBox="0 0 10 10",
                      class_=f"k-{name}", aria_hidden="true")  # fmt: skip
        figure = volume(totals[name]) if shown == "bytes" else count(totals[name])
        text = f" {NAMES[name]} {figure}, {share(totals[name], whole)}"
        items.append(element("li", key, text))
    return element("ul", items, class_="legend")


def _rate(value: float, shown: str) -> str:
    if shown == "bytes":
        return f"{volume(value)}/s"
    return f"{value:,.3g}/s" if value < 1000 else f"{value:,.0f}/s"  # noqa: PLR2004  # digits


def _y_labels(top: float, shown: str) -> list[str]:
    return [_rate(top * line / LINES, shown) for line in range(LINES, 0, -1)] + ["0"]


def _moment(at: float, window: str) -> str:
    form = "%a %-d %H:%M" if window == "week" else "%H:%M"
    return f"{datetime.fromtimestamp(at, UTC):{form}}"


def _x_labels(columns: Sequence[ChartColumn], window: str) -> list[str]:
    begin, end = columns[0].begin, columns[-1].end
    times = [begin + (end - begin) * at / _LABELS for at in range(_LABELS)]
    return [*(_moment(at, window) for at in times), "now (UTC)"]


def _words(column: ChartColumn, shown: str, window: str) -> str:
    span = f"{_moment(column.begin, window)} to {_moment(column.end, window)} UTC"
    if column.rates is None:
        return f"{span}: not known"
    rates = zip(NAMES.values(), column.rates, strict=True)
    return f"{span}: " + ", ".join(f"{name} {_rate(rate, shown)}" for name, rate in rates)


def _began(history: Mapping[str, Any], columns: Sequence[ChartColumn], now: datetime) -> Part:
    began = datetime.fromisoformat(history["began"])
    if began.timestamp() <= columns[0].begin:
        return None
    words = ["Of the time before ", clock(history["began"], now)]
    return element("p", words, ", the start of this process, nothing is known.", class_="quiet")


def _table(columns: Sequence[ChartColumn], shown: str, window: str) -> Html:
    """The columns as rows, several of them in one, the last first."""
    together = -(-len(columns) // _TABLE_ROWS)
    rows: list[Sequence[Part]] = []
    for at in range(len(columns) - together, -1, -together):
        known = [column.rates for column in columns[at : at + together] if column.rates]
        if known:
            means = [sum(values) / len(known) for values in zip(*known, strict=True)]
            rows.append((f"from {_moment(columns[at].begin, window)}",
                         *(_rate(mean, shown) for mean in means)))  # fmt: skip
    names = [f"#{name}" for name in NAMES.values()]
    return listing_table("Traffic over time", ["time (UTC)", *names], rows, "Nothing yet.")


def answers_section(history: Mapping[str, Any]) -> Html:
    """Requests a second, by class of status, and durations."""
    responses, seconds = history["responses"], history["seconds"] or 1.0
    whole = sum(responses.values())
    classes = [
        (name if name != "none" else "client left before",
         count(responses[name]), f"{responses[name] / seconds:.3g}", share(responses[name], whole))
        for name in sorted(responses)
        if responses[name]
    ]  # fmt: skip
    durations = [
        (action, short_time(latency["p50"]), short_time(latency["p99"]))
        for action, latency in history["latency_seconds"].items()
        if latency["p50"] is not None
    ]
    return live(
        "answers",
        "Responses",
        element("p", f"{whole / seconds:.3g} requests a second in the last {history['window']}. A "
                "stream lasts as long as the client takes to download.", class_="quiet"),
        element(
            "div",
            listing_table("Responses by class of their status",
                          ["status", "#responses", "#a second", "#share"], classes, "None yet."),
            listing_table("Durations", ["action", "#p50", "#p99"], durations, ""),
            class_="two",
        ),
    )  # fmt: skip
