"""The lists of the page: regions, files, User-Agents, networks, and what was left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nearbucket.analysis.report.findings import (
    LONGEST_LIST,
    follows,
    more,
    place,
)
from nearbucket.analysis.report.markup import Column, Html, Part, bar, element, joined, table
from nearbucket.config.prices import GB
from nearbucket.figures import about, count, harmless, money, share, volume

if TYPE_CHECKING:
    from collections.abc import Callable

    from nearbucket.analysis.answers import NamedTraffic, Report

_BYTES, _REQUESTS = Column("bytes", "n"), Column("requests", "n")
_ADDRESSES = Column("addresses", "n less")


def path(text: str) -> Html:
    """A path or another text of a log, in a direction of its own."""
    return element("bdi", harmless(text))


def _region(region: str) -> Part:
    """A region, not broken over lines, or words for what is none."""
    words = place(region)
    return element("span", words, class_="region") if words == region else words


def _share(part: float, whole: float, kind: str = "") -> Part:
    return [bar(part, whole, kind), element("span", share(part, whole), class_="share")]


def regions_table(report: Report) -> Html:
    """Traffic by region, and what a bucket there is worth."""
    whole = report.counts.bytes
    columns = (
        Column("region of the client"),
        _BYTES,
        Column("share", "n"),
        Column("requests", "n less"),
        Column("downloads", "n less"),
        _ADDRESSES,
        Column("a bucket there saves", "n"),
    )
    worth = _worth(report)
    rows = [
        (
            _region(each.region),
            volume(each.bytes),
            _share(each.bytes, whole),
            count(each.requests),
            count(each.downloads),
            count(each.addresses),
            worth.get(each.region, ""),
        )
        for each in report.counts.regions
    ]
    return table("Traffic by the client's region", columns, rows)


def _worth(report: Report) -> dict[str, Part]:
    """By region, what a bucket there saves."""
    found = report.recommendation
    worth: dict[str, Part] = {
        each.region: money(each.saving_usd_month) for each in report.next_regions
    }
    for line in found.why if found else ():
        if line.kind == "region":
            saved = money(line.saving_usd_month)
            worth[line.name] = element("b", saved) if line.chosen else saved
    return worth


def files_table(report: Report) -> Html:
    """The objects with the most bytes."""
    columns = (
        Column("file", "key"), _BYTES, Column("of all", "n less"), _REQUESTS, _ADDRESSES,
        Column("to AWS", "n"),
    )  # fmt: skip
    rows = [
        (
            path(each.key),
            volume(each.bytes),
            share(each.bytes, report.counts.bytes),
            count(each.requests),
            count(each.addresses),
            _share(each.aws_bytes, each.bytes, "aws"),
        )
        for each in report.counts.top_files
    ]
    return table("Files with the most bytes", columns, rows)


def agents_table(report: Report) -> Html:
    """The User-Agents with the most bytes, and whether they follow redirects."""
    columns = (
        Column("User-Agent", "key"), _BYTES, Column("share", "n"), _REQUESTS,
        Column("follows redirects"),
    )  # fmt: skip
    rows = [
        (
            path(each.agent) if each.agent not in {"", "-"} else "none sent",
            volume(each.bytes),
            _share(each.bytes, report.counts.bytes),
            count(each.requests),
            follows(each),
        )
        for each in report.counts.user_agents
    ]
    return table("User-Agents with the most bytes", columns, rows)


def networks_table(report: Report) -> Html:
    """The heaviest networks inside AWS."""
    columns = (
        Column("network"), Column("region"), _BYTES, _REQUESTS, _ADDRESSES,
        Column("most of it", "key"),
    )  # fmt: skip
    rows = [
        (
            harmless(each.network),
            _region(each.region),
            volume(each.bytes),
            count(each.requests),
            count(each.addresses),
            path(each.top_key),
        )
        for each in report.counts.networks
    ]
    return table("Networks inside AWS with the most bytes", columns, rows)


def named_table(
    title: str, rows: tuple[NamedTraffic, ...], whole: int, named: Callable[[str], str]
) -> Html:
    """Traffic by host, or by result.

    Args:
        title: ``host`` or ``result``.
        rows: The traffic.
        whole: All bytes.
        named: What a reader is shown for a name.
    """
    columns = (Column(title, "key"), _REQUESTS, _BYTES, Column("share", "n"))
    cells = [
        (
            element("bdi", named(each.name)),
            count(each.requests),
            volume(each.bytes),
            _share(each.bytes, whole),
        )
        for each in rows[:LONGEST_LIST]
    ]
    return joined([table(f"Traffic by {title}", columns, cells), _more(len(rows))])


def _more(number: int) -> Part:
    text = more(number)
    return element("p", text, class_="about") if text else None


def next_regions_table(report: Report) -> Html:
    """What each further bucket would bring."""
    columns = (
        Column("one bucket more in"), Column("redirects", "n"), Column("bytes", "n"),
        Column("copies cost", "n"), Column("saves", "n"),
    )  # fmt: skip
    rows = [
        (
            each.region,
            about(each.redirects_month),
            volume(each.bytes_month),
            money(each.costs_usd_month),
            money(each.saving_usd_month),
        )
        for each in report.next_regions
    ]
    return table("What one more bucket would bring a month", columns, rows)


def geographies_table(report: Report) -> Part:
    """What the CDN delivers in a month by the price geography of the edge, and what remains."""
    bill, found = report.bill, report.recommendation
    if not bill.gb_month:
        return None
    removed = found.gb_month if found else {}
    after = [Column("with the recommended policy", "n")] if found else []
    columns = (Column("edge in"), Column("now", "n"), *after)
    rows = [
        (name, volume(gb * GB), volume((gb - removed.get(name, 0)) * GB))[: len(columns)]
        for name, gb in sorted(bill.gb_month.items(), key=lambda pair: -pair[1])
    ]
    return [
        element("h3", "Bytes a month by the price geography of the edge"),
        table("Bytes a month by the price geography of the edge", columns, rows),
    ]


def left_out(report: Report) -> Part:
    """Lines and files that do not count, and why."""
    scope = report.scope
    parts: list[Part] = []
    if scope.left_out:
        rows = [(path(why), count(lines)) for why, lines in scope.left_out.items()]
        columns = (Column("lines left out", "key"), Column("lines", "n"))
        parts.append(table("Lines left out, by reason", columns, rows))
    if scope.damaged:
        files = [
            (path(each.name), path(each.why), count(each.lines))
            for each in scope.damaged[:LONGEST_LIST]
        ]
        names = (
            Column("file", "key"),
            Column("what is wrong", "key"),
            Column("lines that count", "n"),
        )
        parts += [
            table("Files that are damaged or left out", names, files),
            _more(len(scope.damaged)),
        ]
    return parts or element("p", "Every line was read.", class_="about")
