"""The sections of the page, from the bill to the policy. Each chart has its table below it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nearbucket.analysis.report import html_tables as tables
from nearbucket.analysis.report.chart_data import (
    day_colours,
    day_regions,
    day_values,
    folder_name,
    suffix_name,
)
from nearbucket.analysis.report.findings import (
    aws_bytes,
    aws_text,
    bill_steps,
    costs_text,
    doubt,
    host_name,
    how_computed,
    other_notes,
    place,
    result_name,
)
from nearbucket.analysis.report.markup import (
    Column,
    Html,
    Part,
    element,
    joined,
    legend,
    table,
    with_options,
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
    from nearbucket.analysis.answers import Recommendation, Report


_BUCKETS = (
    "The last column is dollars a month, less what the copies cost. Bold: a bucket of the "
    "recommended policy, and what it adds to those before it; others are left out."
)


def section(name: str, title: str, about_it: str, *parts: Part) -> Html:
    """A section with a heading and a sentence."""
    return element(
        "section",
        element("h2", title, id=f"{name}-title"),
        element("p", about_it, class_="about") if about_it else None,
        *parts,
        id=name,
        aria_labelledby=f"{name}-title",
    )


def chart(name: str, label: str, data: Html, colours: Part = None) -> Html:
    """The place of a chart, and its data as a table; without JavaScript the table is open."""
    return element(
        "figure",
        colours,
        element("div", id=f"{name}-chart", class_="chart", role="img", aria_label=label, hidden=""),
        element("details", element("summary", "The figures as a table"), data, open=""),
    )


def cards(report: Report) -> Html:
    """The four figures."""
    bill, found, whole = report.bill, report.recommendation, report.counts.bytes
    inside = aws_bytes(report)
    made = [
        _card("The CDN's bill now", money(bill.usd_month), _bill_text(report)),
        _card("Logged bytes to machines in AWS", share(inside, whole), aws_text(report)),
    ]
    if found is None:
        return element("div", made, class_="cards")
    saved = share(found.saving_usd_month, bill.usd_month)
    best = _card(
        "A month less, with the policy below",
        money(found.saving_usd_month),
        f"{doubt(found)}; {saved} of the bill",
        _range(found, bill.usd_month),
        kind="best",
    )
    cost = _card("Copies cost, already subtracted", money(found.costs_usd_month), costs_text(found))
    return element("div", best, made, cost, class_="cards")


def _bill_text(report: Report) -> str:
    """What the bill is for."""
    bill = report.bill
    requests = f", {about(bill.requests_month)} requests" if bill.requests_month else ""
    return f"{volume(bill.bytes_month)}{requests} a month"


def _card(name: str, figure: str, more: str, drawn: Part = None, kind: str = "") -> Html:
    return element(
        "div",
        element("h2", name),
        element("p", figure, class_="figure"),
        drawn,
        element("p", more, class_="more"),
        class_=f"card {kind}".strip(),
    )


def _range(found: Recommendation, bill: float) -> Html:
    """The saving and its range, on a line from nothing to the whole bill."""
    top = max(bill, found.high, 0.01)

    def at(usd: float) -> float:
        return round(200 * max(0.0, min(1.0, usd / top)), 1)

    return element(
        "svg",
        element("rect", class_="all", y="5", width="200", height="2"),
        element("rect", class_="part", x=at(found.low), y="2",
                width=max(at(found.high) - at(found.low), 1), height="8", rx="2"),
        element("rect", class_="mark", x=at(found.saving_usd_month) - 1, width="2", height="12"),
        class_="range", viewBox="0 0 200 12", preserveAspectRatio="none", aria_hidden="true",
    )  # fmt: skip


def notes(report: Report) -> Part:
    """Sentences that a reader must see first."""
    found = other_notes(report)
    if not found:
        return None
    return element(
        "aside",
        element("ul", [element("li", with_options(harmless(note, 600))) for note in found]),
        aria_label="Read this first",
    )


def bill_section(report: Report) -> Part:
    """The way from today's bill to the one after."""
    steps = bill_steps(report)
    if not steps:
        return None
    rows = [
        (
            step.name if step in {steps[0], steps[-1]} else tables.path(step.name),
            money(step.usd),
            money(step.end),
        )
        for step in steps
    ]
    columns = (Column("step", "key"), Column("adds to the bill", "n"), Column("bill then", "n"))
    data = table("From today's bill to the bill after, US dollars a month", columns, rows)
    label = (
        f"Bars from {money(steps[0].end)} a month today, less what each pattern saves, to "
        f"{money(steps[-1].end)} after."
    )
    return section(
        "bill",
        "From today's bill to the bill after",
        "US dollars a month. Each pattern counts after those above it and pays for its copies. The "
        "last gigabytes of a month are the cheapest, so in another order the parts would differ; "
        f"the sum would not. Of the bill after, {money(steps[-1].costs)} are copies, storage and "
        "S3 requests.",
        chart("bill", label, data),
    )


def days_section(report: Report) -> Html:
    """Bytes by day and region."""
    days = report.counts.days
    names = day_regions(days)
    values = {name: day_values(days, name, names) for name in names}
    columns = (Column("day (UTC)", "day"), *(Column(place(name), "n") for name in names))
    rows = [
        (f"{day.day:%Y-%m-%d}", *(volume(values[name][at]) for name in names))
        for at, day in enumerate(days)
    ]
    colours = legend((place(name), colour) for name, colour in day_colours(names))
    label = f"Bars of {plural(len(days), 'day')}, each divided by the clients' regions."
    return section(
        "regions",
        "Where the bytes go",
        "Bytes a day by the AWS region of the client. What comes from a bucket in the client's own "
        "region does not pass the CDN; all else is served as today.",
        chart("days", label, table("Bytes by day and region", columns, rows), colours),
        element("h3", "By region"),
        element("p", _BUCKETS, class_="about") if report.recommendation else None,
        tables.regions_table(report),
    )


def sizes_section(report: Report) -> Html:
    """Requests and bytes by the size of objects."""
    counts, found = report.counts, report.recommendation
    columns = (
        Column("size at least"), Column("objects", "n"), Column("requests", "n"),
        Column("of requests", "n less"), Column("bytes", "n"), Column("of bytes", "n"),
    )  # fmt: skip
    rows = [
        (
            "not known" if each.at_least is None else size(each.at_least),
            count(each.objects),
            count(each.requests),
            share(each.requests, counts.requests),
            volume(each.bytes),
            share(each.bytes, counts.bytes),
        )
        for each in counts.sizes
    ]
    words = "Share of requests and of bytes, by the size of the object."
    if found and found.min_size:
        small = [
            each for each in counts.sizes if (each.at_least or found.min_size) < found.min_size
        ]
        words += (
            f" Pale: below the floor of {size(found.min_size)}, and not redirected: "
            f"{share(sum(each.requests for each in small), counts.requests)} of the requests, "
            f"{share(sum(each.bytes for each in small), counts.bytes)} of the bytes."
        )
    label = "Two bars for each size of objects: its share of requests and its share of bytes."
    data = table("Requests and bytes by size of the object", columns, rows)
    colours = legend((("requests", "many"), ("bytes", "accent")))
    drawn = chart("sizes", label, data, colours)
    return section("sizes", "Requests and bytes by size", words, drawn)


def folders_section(report: Report) -> Part:
    """Bytes by folder and suffix."""
    folders = report.counts.folders
    if not folders:
        return None
    columns = (
        Column("folder", "key"), Column("suffix", "key"), Column("bytes", "n"),
        Column("to AWS", "n"), Column("objects", "n"), Column("requests", "n less"),
    )  # fmt: skip
    rows = [
        (
            element("bdi", folder_name(each.folder)),
            element("bdi", suffix_name(each.suffix)),
            volume(each.bytes),
            share(each.aws_bytes, each.bytes),
            count(each.objects),
            count(each.requests),
        )
        for each in folders
    ]
    label = "Boxes of folders and suffixes: the area is bytes, the colour the share to AWS."
    return section(
        "folders",
        "What is downloaded",
        "Area: bytes of a folder and suffix. Colour: the share that goes to machines in AWS.",
        chart("folders", label, table("Bytes by folder and suffix", columns, rows), _scale()),
    )


def _scale() -> Html:
    """The colours of the boxes, from no byte to AWS to all of them."""
    stops = [element("stop", offset=at, class_=f"k-box{at}") for at in range(2)]
    shade = element("linearGradient", stops, id="shade")
    box = element("rect", width="90", height="10", rx="2", fill="url(#shade)")
    drawn = element("svg", shade, box, class_="shade", viewBox="0 0 90 10", aria_hidden="true")
    return element("p", "to AWS: 0 % ", drawn, " 100 %", class_="legend", hidden="")


def lists(report: Report) -> Html:
    """The lists of files, clients and networks."""
    counts = report.counts
    parts = [
        section("files", f"{plural(len(counts.top_files), 'file')} with the most bytes", "",
                tables.files_table(report)),
        section(
            "agents", f"{plural(len(counts.user_agents), 'User-Agent')} with the most bytes", "",
            tables.agents_table(report),
        ),
    ]  # fmt: skip
    if counts.networks:
        parts.append(section(
            "networks", "Heaviest networks inside AWS",
            "A /24 of IPv4 or a /56 of IPv6. One network with most of a region's bytes is one "
            "customer, or one build system.",
            tables.networks_table(report),
        ))  # fmt: skip
    if report.next_regions:
        parts.append(section(
            "next", "One bucket more",
            f"Added to the policy that is compared ({harmless(report.what_if.policy)}), a month.",
            tables.next_regions_table(report),
        ))  # fmt: skip
    hosts = tables.named_table("host", counts.hosts, counts.bytes, host_name)
    results = tables.named_table("result", counts.results, counts.bytes, result_name)
    parts.append(
        element(
            "div",
            section("hosts", "Hosts", "", hosts) if counts.hosts else None,
            section("results", "Results", "", results) if counts.results else None,
            class_="two",
        )
    )
    return joined(parts)


def computed_section(report: Report) -> Html:
    """How the figures come about, and what was left out."""
    return section(
        "computed", "How this is computed", "",
        element("ul", [element("li", with_options(sentence)) for sentence in how_computed(report)]),
        tables.geographies_table(report),
        element("h3", "Left out"),
        tables.left_out(report),
    )  # fmt: skip
