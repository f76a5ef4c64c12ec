"""The data of the charts, which ``page.js`` draws. Names that come from a log are harmless here."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from nearbucket.analysis.answers import AMAZON_NO_REGION, NO_ADDRESS, DayTraffic, SizeTraffic
from nearbucket.analysis.report.findings import bill_steps, place
from nearbucket.figures import harmless, share, size
from nearbucket.policy.model import UNKNOWN

if TYPE_CHECKING:
    from nearbucket.analysis.answers import Counts, Report

_COLOURED = 6
"""AWS regions that the chart of days tells apart; the others are one area."""
_MOST_DAYS = 400
"""Days that a chart shows in their distance."""
_POWERS = 63
"""Size classes that there can be."""
_BOXES = 60
"""Boxes of the map of folders; the smallest are left to its table."""
_NO_REGION = (AMAZON_NO_REGION, NO_ADDRESS, UNKNOWN)
OTHERS = "other AWS regions"
_GREYS = {UNKNOWN: "outside", AMAZON_NO_REGION: "amazon", NO_ADDRESS: "none", OTHERS: "others"}
"""Colours of what is no region; regions have ``r0`` to ``r5``."""

Data = dict[str, Any]


def chart_data(report: Report) -> Data:
    """Everything that the charts show."""
    return {
        "bill": _bill(report),
        "days": _days(report.counts.days),
        "sizes": _sizes(report),
        "folders": _folders(report),
    }


def script_text(data: Data) -> str:
    """JSON that may stand in a ``script`` element: it contains no ``<``."""
    return json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _bill(report: Report) -> list[Data]:
    return [
        {
            "name": harmless(step.name, 40),
            "usd": step.usd,
            "start": step.start,
            "end": step.end,
            "costs": step.costs,
        }
        for step in bill_steps(report)
    ]


def day_regions(days: tuple[DayTraffic, ...]) -> list[str]:
    """The names of the areas in the chart of days, from the bottom: AWS regions, the rest last."""
    sums: dict[str, int] = {}
    for day in days:
        for name, size_ in day.by_region.items():
            sums[name] = sums.get(name, 0) + size_
    regions = sorted((name for name in sums if name not in _NO_REGION), key=lambda n: -sums[n])
    most, others = regions[:_COLOURED], regions[_COLOURED:]
    return most + [OTHERS] * bool(others) + [name for name in _NO_REGION if sums.get(name)]


def day_values(days: tuple[DayTraffic, ...], name: str, names: list[str]) -> list[int]:
    """Bytes of one area of the chart of days, day by day."""
    if name != OTHERS:
        return [day.by_region.get(name, 0) for day in days]
    apart = {*names, *_NO_REGION}
    return [
        sum(size_ for region, size_ in day.by_region.items() if region not in apart) for day in days
    ]


def _days(logged: tuple[DayTraffic, ...]) -> Data:
    names, days = day_regions(logged), _all_days(logged)
    return {
        "days": [day.day.isoformat() for day in days],
        "areas": [
            {
                "name": place(name),
                "colour": colour,
                "bytes": day_values(days, name, names),
            }
            for name, colour in day_colours(names)
        ],
    }


def _all_days(days: tuple[DayTraffic, ...]) -> tuple[DayTraffic, ...]:
    """The days and those between them without requests, unless these are too many."""
    if not days or (length := (days[-1].day - days[0].day).days) > _MOST_DAYS:
        return days
    known = {each.day: each for each in days}
    every = (days[0].day + timedelta(number) for number in range(length + 1))
    return tuple(known.get(day, DayTraffic(day, 0, 0, {})) for day in every)


def day_colours(names: list[str]) -> list[tuple[str, str]]:
    """The areas of the chart of days, each with its colour of ``page.css``."""
    return [(name, _GREYS.get(name, f"r{number}")) for number, name in enumerate(names)]


def _sizes(report: Report) -> list[Data]:
    """The size classes from the smallest to the largest, empty ones too."""
    counts, found = report.counts, report.recommendation
    floor = found.min_size if found else 0
    known = {each.at_least: each for each in counts.sizes if each.at_least is not None}
    first, last = min(known, default=1), max(known, default=0)
    classes = {1 << power for power in range(_POWERS) if first <= 1 << power <= last}
    return [
        _size_class(known.get(low, SizeTraffic(low, 0, 0, 0)), counts, below=low < floor)
        for low in sorted({*known, *classes})
    ]


def _size_class(each: SizeTraffic, counts: Counts, *, below: bool) -> Data:
    return {
        "name": size(each.at_least or 0),
        "requests": each.requests / (counts.requests or 1),
        "bytes": each.bytes / (counts.bytes or 1),
        "requests_text": share(each.requests, counts.requests),
        "bytes_text": share(each.bytes, counts.bytes),
        "below": below,
    }


def _folders(report: Report) -> list[Data]:
    """Folders with the suffixes in them."""
    boxes: dict[str, list[Data]] = {}
    for each in sorted(report.counts.folders, key=lambda folder: -folder.bytes)[:_BOXES]:
        boxes.setdefault(folder_name(each.folder), []).append(
            {
                "name": suffix_name(each.suffix),
                "bytes": each.bytes,
                "aws": each.aws_bytes / each.bytes if each.bytes else 0,
                "objects": each.objects,
            }
        )
    return [{"name": name, "children": children} for name, children in boxes.items()]


def folder_name(folder: str) -> str:
    """A folder with its slash, or words for none."""
    return harmless(f"{folder.rstrip('/')}/", 60) if folder else "in no folder"


def suffix_name(suffix: str) -> str:
    """A suffix, or words for none."""
    return harmless(suffix, 40) if suffix else "no suffix"
