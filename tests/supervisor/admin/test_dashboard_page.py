"""What the dashboard says, and that nothing that it shows becomes markup."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest

from nearbucket.supervisor.admin.dashboard.dashboard_markup import lasted, short_time
from nearbucket.supervisor.admin.dashboard.dashboard_page import View, page_of
from nearbucket.supervisor.admin.dashboard.traffic_chart import (
    ChartColumn,
    byte_scale_of,
    chart,
    columns_of,
    scale_of,
)
from nearbucket.supervisor.admin.history_document import history_of
from nearbucket.telemetry.history.recent_answers import RecentAnswer
from nearbucket.telemetry.history.traffic_history import TrafficHistory
from tests.supervisor.admin.made_documents import HOSTILE, NOW, documents, page

DOCS = Path(__file__).parents[3] / "docs"


class Tags(HTMLParser):
    """Counts elements, and finds attributes that run or load something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: dict[str, int] = {}
        self.bad: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found[tag] = self.found.get(tag, 0) + 1
        self.bad += [
            (tag, name)
            for name, value in attrs
            if name.startswith("on") or name in {"style", "src"} or "//" in (value or "")
        ]


def words(text: str) -> str:
    """The text of a page, blanks as one space."""
    body = re.sub(r"<(style|script)>.*?</\1>", " ", text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", body)))


def test_an_operator_reads_first_what_is_down_since_when_and_why() -> None:
    text = words(page("hour"))
    down = text.index(
        "eu-west-1 is down (site downloads.example.com) since 17:50:00 UTC , 13 min ago"
    )
    why = text.index("Why: no bucket answers at https://eu-west-1-downloads")
    assert down < why < text.index("Money") < text.index("Traffic")


def test_a_payer_reads_what_a_month_saves_and_costs_and_where_that_comes_from() -> None:
    text = words(page("hour", monthly_gb=500_000))
    assert re.search(r"saved a month \$[\d,]+ 150 TB redirected", text)
    assert re.search(r"still paid a month \$[\d,]+ of \$[\d,]+ without redirects", text)
    assert re.search(r"shadow would save \$[\d,]+ a month, if the targets in shadow were on", text)
    assert (
        "A month like the last 24.1 h. Pay as you go, price class all; this instance alone" in text
    )
    assert "at most" not in text


def test_without_the_volume_of_a_month_savings_are_called_upper_bounds() -> None:
    text = words(page("hour"))
    assert re.search(r"saved a month at most \$[\d,]+", text)
    assert "at most, since prices.monthly_gb is not set" in text


@pytest.mark.parametrize("window", ["hour", "day", "week"])
@pytest.mark.parametrize("shown", ["bytes", "requests"])
def test_nothing_that_clients_sent_becomes_markup(window: str, shown: str) -> None:
    text = page(window, shown)
    tags = Tags(text)
    assert tags.bad == []
    assert "img" not in tags.found
    assert (tags.found["script"], tags.found["style"]) == (1, 1)
    assert "&lt;img src=x onerror=alert(1)&gt;\\u202e" in text  # it is shown, harmless
    assert HOSTILE not in text
    assert "\u202e" not in text


def test_what_clients_get_meanwhile_depends_on_what_is_down() -> None:
    made = documents()
    view, now = View("hour", "bytes"), datetime.fromtimestamp(NOW, UTC)

    def text(**site: object) -> str:
        sites = [{**made.status["sites"][0], **site}]
        status = {**made.status, "sites": sites}
        return words(page_of(status, made.history["hour"], (), view, now))

    assert "Its clients are streamed." in text()
    # a CDN may have another version than the copies: request-handling.md, "Redirects to a CDN"
    assert "Its clients are streamed." in text(bypass="https://cdn.example")
    assert "This is an origin: the site's other origins are asked" in text(targets={})


def test_a_proxy_that_has_just_started_and_has_no_worker_yet_has_a_page() -> None:
    made = documents()
    figures: dict[str, list[object]] = {name: [] for name in made.status["figures"]}
    status = {
        **made.status, "figures": figures, "outages": [], "missing_copies": [], "reloads": [],
        "ready": False, "reasons": ["no worker answers"], "ranges": None,
    }  # fmt: skip
    history = history_of(TrafficHistory(NOW), "hour")
    text = words(
        page_of(status, history, (), View("hour", "bytes"), datetime.fromtimestamp(NOW, UTC))
    )
    assert "Not ready: no worker answers" in text
    assert "Recent decisions No request yet." in text
    assert "None was down since the start." in text


def test_every_cell_of_a_table_has_the_name_of_its_column() -> None:
    body = page("day").partition("<main>")[2]
    assert len(re.findall(r"<td[ >]", body)) == len(re.findall(r"<td [^>]*data-label=", body)) > 50


def test_regions_without_a_target_are_told_apart() -> None:
    text = words(page("day"))
    assert re.search(r"other-aws 0 77,987 0 457 GB ap-south-1 51,991 305 GB sa-east-1 25,996", text)


def test_a_made_day_adds_up() -> None:
    history = documents().history["day"]
    for name in ("redirected", "not_redirected", "outside"):
        for unit in ("requests", "bytes"):
            whole = sum(history["series"][f"{name}_{unit}"])
            assert whole == pytest.approx(history["total"][name][unit])
    columns = columns_of(history, ["redirected_requests"], NOW)
    drawn = sum(column.rates[0] * (column.end - column.begin) for column in columns if column.rates)
    assert drawn == pytest.approx(history["total"]["redirected"]["requests"], rel=0.02)


def test_an_interval_shorter_than_its_unit_is_not_drawn() -> None:
    history = TrafficHistory(NOW - 10)
    for at in (NOW, NOW + 0.0003):  # two documents of one page, when a step has just ended
        history.add(at, {"nearbucket_redirects_total": {("dl", "us-west-2"): 20.0}})
    document = history_of(history, "hour")
    assert document["series"]["seconds"] == [10.0]
    assert columns_of(document, ["redirected_requests"], NOW + 1)[-2].rates == (2.0,)


def test_before_the_start_nothing_is_drawn_and_it_is_said() -> None:
    columns = columns_of(documents().history["week"], ["outside_bytes"], NOW)
    known = [column for column in columns if column.rates is not None]
    assert 26 <= len(known) <= 28
    assert columns[-1].begin <= NOW < columns[-1].end
    assert (
        "Of the time before 28 Nov 16:03 UTC , the start of this process, nothing is known"
        in words(page("week"))
    )
    assert "the start of this process, nothing is known" not in words(page("day"))


def test_groups_are_drawn_upon_each_other() -> None:
    columns = [
        ChartColumn(0, 1, (1.0, 3.0)),
        ChartColumn(1, 2, None),
        ChartColumn(2, 3, (0.0, 2.0)),
    ]
    drawn = chart(columns, 4.0, ["redirected", "outside"], lambda column: f"<{column.begin}>")
    paths = re.findall(r'<path d="(M[^"]*)" class="k-(\w+)"', drawn)
    assert paths == [
        ("M0.0 200.0V150.0H333.3V200.0Z", "redirected"),
        ("M0.0 150.0V0.0H333.3V150.0ZM666.7 200.0V100.0H1000.0V200.0Z", "outside"),
    ]
    assert "<title>&lt;0&gt;</title>" in drawn


@pytest.mark.parametrize("most", [1e-4, 0.3, 1, 3.99, 4, 17, 1000, 123_456, 7e9])
def test_the_axis_ends_above_the_highest_value_but_not_far(most: float) -> None:
    for scale in (scale_of(most), byte_scale_of(max(most, 1.0))):
        assert scale >= most * 0.999
        assert scale <= max(most, 1.0) * 2.6 or scale <= 4


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3599, "59 min"), (3600, "1 h"), (7800, "2 h 10 min"),
     (86_400, "1 day"), (200_000, "2 days 7 h"), (-5, "0 s")],
)  # fmt: skip
def test_durations_are_words(seconds: float, text: str) -> None:
    assert lasted(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0.00004, "40 µs"), (0.0123, "12.3 ms"), (2.25, "2.25 s"), (300, "5 min")],
)
def test_short_times_have_three_digits(seconds: float | None, text: str) -> None:
    assert short_time(seconds) == text


def names_in(found: object) -> set[str]:
    """All names of members of a document."""
    if isinstance(found, dict):
        return {str(name) for name in found}.union(*(names_in(each) for each in found.values()))
    return set().union(*map(names_in, found)) if isinstance(found, list) else set()


@pytest.mark.parametrize(
    "name", ["history", "decisions", "outages", "missing_copies", "reloads", "month"]
)
def test_every_field_is_in_the_documentation(name: str) -> None:
    made = documents()
    parts = {
        **made.status,
        "history": made.history["day"],
        "decisions": list(map(RecentAnswer._asdict, made.decisions)),
    }
    part = parts[name]
    text = (DOCS / "dashboard.md").read_text("utf-8")
    values = {"none", "2xx", "3xx", "4xx", "5xx"}  # of a label
    assert {name for name in names_in(part) - values if f"`{name}`" not in text} == set()
