"""The chart of traffic over time, as SVG.

Its labels are HTML beside it, so they keep their size where the chart is narrow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from nearbucket.analysis.report.markup import Html, element

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

COLUMNS = {"hour": 120, "day": 144, "week": 168}
"""Columns of the chart by window."""
_WIDTH, _HEIGHT = 1000.0, 200.0
LINES = 4
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_BYTE_STEPS = (1, 2, 4, 5, 10, 16, 20, 25, 32, 50, 64, 100, 128, 200, 256, 512, 1024)


class ChartColumn(NamedTuple):
    """A column of the chart.

    Attributes:
        begin: Unix time.
        end: Unix time.
        rates: What there was a second, by group; None if nothing is known of it.
    """

    begin: float
    end: float
    rates: tuple[float, ...] | None


def columns_of(history: Mapping[str, Any], names: Sequence[str], now: float) -> list[ChartColumn]:
    """The columns of a window that ends now.

    Args:
        history: The document of ``/api/history``.
        names: Columns of its ``series``, one for each group.
        now: Unix time.
    """
    number, length = COLUMNS[history["window"]], history["window_seconds"]
    width = length / number
    first = (now // width + 1) * width - length
    known, sums = [0.0] * number, [[0.0] * len(names) for _ in range(number)]
    series = history["series"]
    groups = [series.get(name, []) for name in names]
    for at, (end, seconds) in enumerate(zip(series["end"], series["seconds"], strict=True)):
        begin = end - seconds
        low, high = int((begin - first) // width), int((end - first) // width)
        for column in range(max(0, low), min(number - 1, high) + 1):
            left = first + column * width
            inside = min(end, left + width) - max(begin, left)
            known[column] += inside
            for group, values in enumerate(groups):
                sums[column][group] += values[at] * inside / seconds
    return [
        ChartColumn(
            first + at * width,
            first + (at + 1) * width,
            tuple(value / known[at] for value in sums[at]) if known[at] > 0 else None,
        )
        for at in range(number)
    ]


def scale_of(most: float) -> float:
    """The top of the axis: a multiple of ``LINES`` round steps."""
    step, power = most / LINES, 1e-6
    while step > 10 * power:
        power *= 10
    return LINES * power * next(each for each in _STEPS if step <= each * power * 1.000001)


def byte_scale_of(most: float) -> float:
    """The top of the axis for bytes: their units are 1,024 of each other."""
    step, unit = most / LINES, 1
    while step > 1024 * unit:  # that unit
        unit *= 1024
    return float(LINES * unit * next(each for each in _BYTE_STEPS if step <= each * unit))


def chart(
    columns: Sequence[ChartColumn],
    top: float,
    kinds: Sequence[str],
    words: Callable[[ChartColumn], str],
) -> Html:
    """The chart: groups upon each other, the first one at the bottom.

    Args:
        columns: Its columns.
        top: Value of its upper edge.
        kinds: Class of each group.
        words: Text that is shown when the pointer is over a column.
    """
    width = _WIDTH / len(columns)
    paths = [_path(columns, group, top, kind) for group, kind in enumerate(kinds)]
    lines = [
        element("path", d=f"M0 {_HEIGHT * line / LINES:g}H{_WIDTH:g}", class_="grid")
        for line in range(LINES + 1)
    ]
    overs = [
        element(
            "rect", element("title", words(column)), x=f"{at * width:.2f}", width=f"{width:.2f}",
            height=f"{_HEIGHT:g}", class_="over" if column.rates else "before",
        )
        for at, column in enumerate(columns)
    ]  # fmt: skip
    return element(
        "svg", lines, paths, overs, viewBox=f"0 0 {_WIDTH:g} {_HEIGHT:g}",
        preserveAspectRatio="none", class_="chart", role="img", aria_labelledby="traffic-title",
    )  # fmt: skip


def _path(columns: Sequence[ChartColumn], group: int, top: float, kind: str) -> Html:
    width, parts = _WIDTH / len(columns), []
    for at, column in enumerate(columns):
        if column.rates and column.rates[group]:
            below = _HEIGHT * (1 - sum(column.rates[:group]) / top)
            above = _HEIGHT * (1 - sum(column.rates[: group + 1]) / top)
            left, right = at * width, (at + 1) * width
            parts.append(f"M{left:.1f} {below:.1f}V{above:.1f}H{right:.1f}V{below:.1f}Z")
    return element("path", d="".join(parts), class_=f"k-{kind}")
