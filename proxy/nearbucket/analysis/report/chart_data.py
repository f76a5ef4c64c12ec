"""The data of the charts, which ``page.js`` draws. Names that come from a log are harmless here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from nearbucket.analysis.answers import AMAZON_NO_REGION, NO_ADDRESS
from nearbucket.analysis.report.figures import harmless, share, size
from nearbucket.analysis.report.findings import bill_steps, place
from nearbucket.policy.model import UNKNOWN

if TYPE_CHECKING:
    from nearbucket.analysis.answers import DayTraffic, Report

_COLOURED = 6
"""AWS regions that the chart of days tells apart; the others are one area."""
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


def _days(days: tuple[DayTraffic, ...]) -> Data:
    names = day_regions(days)
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


def day_colours(names: list[str]) -> list[tuple[str, str]]:
    """The areas of the chart of days, each with its colour of ``page.css``."""
    return [(name, _GREYS.get(name, f"r{number}")) for number, name in enumerate(names)]


def _sizes(report: Report) -> list[Data]:
    counts, found = report.counts, report.recommendation
    floor = found.min_size if found else 0
    return [
        {
            "name": size(each.at_least),
            "requests": each.requests / (counts.requests or 1),
            "bytes": each.bytes / (counts.bytes or 1),
            "requests_text": share(each.requests, counts.requests),
            "bytes_text": share(each.bytes, counts.bytes),
            "below": each.at_least < floor,
        }
        for each in counts.sizes
        if each.at_least is not None
    ]


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
