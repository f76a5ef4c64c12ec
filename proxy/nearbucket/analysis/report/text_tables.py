"""The tables of a terminal, with the same figures as the page's."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from nearbucket.analysis.report.findings import (
    LONGEST_LIST,
    bill_steps,
    follows,
    host_name,
    in_aws,
    more,
    place,
    result_name,
)
from nearbucket.figures import (
    about,
    count,
    harmless,
    money,
    share,
    size,
    volume,
)
from nearbucket.plural import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nearbucket.analysis.answers import Recommendation, Report, WhatIf

_BAR = 24
"""Cells of the longest bar."""


class TextTable(NamedTuple):
    """A table of a terminal.

    Attributes:
        title: Its heading.
        columns: Names of the columns; one that begins with ``>`` has figures, on the right.
        rows: Texts, harmless already.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def bill(report: Report) -> TextTable:
    """From today's bill to the one after, with bars."""
    steps = bill_steps(report)
    top = max(max(step.start, step.end) for step in steps) or 1
    rows = [
        (
            harmless(step.name, 40),
            money(step.usd),
            money(step.end),
            _bar(step.start / top, step.end / top),
        )
        for step in steps
    ]
    columns = ("step", ">adds", ">bill then", "")
    return TextTable("From today's bill to the bill after, US dollars a month", columns, rows)


def _bar(start: float, end: float) -> str:
    """A bar from one share of the width to another."""
    first, last = sorted(round(_BAR * max(0.0, min(1.0, at))) for at in (start, end))
    return " " * first + "█" * max(last - first, 1)


def regions(report: Report) -> TextTable:
    """Traffic by region."""
    whole = report.counts.bytes
    rows = [
        (
            place(each.region),
            volume(each.bytes),
            share(each.bytes, whole),
            count(each.requests),
            count(each.downloads),
            count(each.addresses),
        )
        for each in report.counts.regions
    ]
    columns = ("region", ">bytes", ">share", ">requests", ">downloads", ">addresses")
    return TextTable("Where the bytes go", columns, rows)


def days(report: Report) -> TextTable:
    """Bytes by day, with bars, and the AWS region with the most of them."""
    top = max((day.bytes for day in report.counts.days), default=0) or 1
    rows = []
    for day in report.counts.days:
        inside = {name: part for name, part in day.by_region.items() if in_aws(name)}
        most = max(inside, key=lambda name: inside[name], default="")
        rows.append(
            (
                f"{day.day:%Y-%m-%d}",
                volume(day.bytes),
                share(sum(inside.values()), day.bytes),
                f"{place(most)}, {share(inside[most], day.bytes)}" if most else "",
                _bar(0, day.bytes / top),
            )
        )
    return TextTable("Bytes by day", ("day (UTC)", ">bytes", ">to AWS", "most to", ""), rows)


def sizes(report: Report) -> TextTable:
    """Requests and bytes by size of the object."""
    counts = report.counts
    rows = [
        (
            "not known" if each.at_least is None else size(each.at_least),
            count(each.requests),
            share(each.requests, counts.requests),
            volume(each.bytes),
            share(each.bytes, counts.bytes),
        )
        for each in counts.sizes
    ]
    return TextTable(
        "Requests and bytes by size of the object",
        ("size at least", ">requests", ">share", ">bytes", ">share"),
        rows,
    )


def compared(report: Report) -> TextTable:
    """The policy that is compared, and the recommended one."""
    what, found = report.what_if, report.recommendation
    pairs: list[tuple[str, WhatIf | Recommendation]] = [
        (harmless(what.policy, 300), what),
        *([("recommended", found)] if found else []),
    ]
    rows = [
        (
            name,
            about(each.redirects_month),
            volume(each.bytes_month),
            money(each.costs_usd_month),
            money(each.saving_usd_month),
        )
        for name, each in pairs
    ]
    columns = ("policy", ">redirects", ">bytes less", ">copies cost", ">saves")
    return TextTable("What a policy would change in a month", columns, rows)


def why(found: Recommendation) -> TextTable:
    """Each pattern and region, chosen or left out, and why."""
    rows = [
        (
            harmless(line.name),
            ("excluded" if line.kind == "exclude" else "chosen") if line.chosen else "left out",
            money(line.saving_usd_month) if line.kind != "floor" else "",
            harmless(line.why, 300),
        )
        for line in sorted(found.why, key=lambda line: not line.chosen)
    ]
    columns = ("pattern or region", ">", ">adds", "why")
    return TextTable("The recommended policy", columns, rows)


def lists(report: Report) -> Iterator[TextTable]:
    """Files, clients, networks, further buckets, hosts and results."""
    counts = report.counts
    yield TextTable(
        f"{plural(len(counts.top_files), 'file')} with the most bytes",
        ("file", ">bytes", ">requests", ">addresses", ">to AWS"),
        [
            (
                harmless(each.key),
                volume(each.bytes),
                count(each.requests),
                count(each.addresses),
                share(each.aws_bytes, each.bytes),
            )
            for each in counts.top_files
        ],
    )
    yield TextTable(
        f"{plural(len(counts.user_agents), 'User-Agent')} with the most bytes",
        ("User-Agent", ">bytes", ">requests", "follows redirects"),
        [
            (
                harmless(each.agent) if each.agent not in {"", "-"} else "none sent",
                volume(each.bytes),
                count(each.requests),
                follows(each),
            )
            for each in counts.user_agents
        ],
    )
    yield TextTable(
        "Heaviest networks inside AWS",
        ("network", "region", ">bytes", ">requests", "most of it"),
        [
            (
                harmless(each.network),
                place(each.region),
                volume(each.bytes),
                count(each.requests),
                harmless(each.top_key),
            )
            for each in counts.networks
        ],
    )
    yield TextTable(
        f"One bucket more, added to the policy {harmless(report.what_if.policy)}, a month",
        ("region", ">redirects", ">bytes less", ">copies cost", ">saves"),
        [
            (
                each.region,
                about(each.redirects_month),
                volume(each.bytes_month),
                money(each.costs_usd_month),
                money(each.saving_usd_month),
            )
            for each in report.next_regions
        ],
    )
    for name, rows, named in (
        ("Hosts", counts.hosts, host_name),
        ("Results", counts.results, result_name),
    ):
        yield TextTable(
            name,
            (name.lower().removesuffix("s"), ">requests", ">bytes"),
            [
                *(
                    (named(each.name), count(each.requests), volume(each.bytes))
                    for each in rows[:LONGEST_LIST]
                ),
                *_more(len(rows)),
            ],
        )


def _more(number: int) -> list[tuple[str, ...]]:
    """The last row of a list that is cut, which has three columns."""
    text = more(number)
    return [(text, "", "")] if text else []


def left_out(report: Report) -> Iterator[TextTable]:
    """Lines and files that do not count."""
    scope = report.scope
    if scope.left_out:
        rows = [(harmless(why), count(lines)) for why, lines in scope.left_out.items()]
        yield TextTable("Lines left out", ("reason", ">lines"), rows)
    if scope.damaged:
        files = [
            *(
                (harmless(each.name), harmless(each.why), count(each.lines))
                for each in scope.damaged[:LONGEST_LIST]
            ),
            *_more(len(scope.damaged)),
        ]
        columns = ("file", "what is wrong", ">lines that count")
        yield TextTable("Files that are damaged or left out", columns, files)
