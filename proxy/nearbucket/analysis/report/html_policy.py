"""The section with the policy: what to change, what that brings, and who would notice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nearbucket.analysis.report.findings import floor_text, no_policy, surprise
from nearbucket.analysis.report.html_sections import section
from nearbucket.analysis.report.html_tables import path
from nearbucket.analysis.report.markup import Column, Html, Part, element, table
from nearbucket.figures import (
    about,
    count,
    harmless,
    money,
    share,
    visible,
    volume,
)
from nearbucket.plural import plural

if TYPE_CHECKING:
    from nearbucket.analysis.answers import Recommendation, RecommendedLine, Report


def policy_section(report: Report) -> Html:
    """What to change, what that brings, who would notice, and the block to paste."""
    found = report.recommendation
    if found is None:
        parts: list[Part] = [_compared(report)]
        words = no_policy(report)
    else:
        words = (
            f"Redirect {plural(len(found.paths), 'pattern')}, {floor_text(found)}, in "
            f"{plural(len(found.regions), 'region')}. Begin with mode: shadow: it counts what "
            "would be redirected, and redirects nothing."
        )
        parts = [
            _yaml(found),
            _compared(report),
            _why(found, chosen=True),
            _why(found, chosen=False),
        ]
    parts += [element("h3", "Who would notice"), element("p", surprise(report))]
    title = "The policy to paste" if found else "What a policy would change in a month"
    return section("policy", title, words, parts)


def _yaml(found: Recommendation) -> Html:
    text = "\n".join(visible(line) for line in found.yaml.split("\n"))
    return element(
        "div",
        element("span", id="copied", role="status"),
        element("button", "Copy", type="button", id="copy", hidden=""),
        element("pre", element("code", text), id="yaml", tabindex="0",
                aria_label="Policy as YAML"),
        class_="paste",
    )  # fmt: skip


def _compared(report: Report) -> Part:
    what, found = report.what_if, report.recommendation
    columns = (
        Column("policy", "key"), Column("redirects", "n less"), Column("bytes less", "n"),
        Column("copies cost", "n"), Column("saves", "n"), Column("of the bill", "n less"),
    )  # fmt: skip
    bill = report.bill.usd_month
    rows = [
        (
            [name, element("small", path(words))],
            about(each.redirects_month),
            volume(each.bytes_month),
            money(each.costs_usd_month),
            money(each.saving_usd_month),
            share(each.saving_usd_month, bill),
        )
        for name, words, each in (
            ("compared with", what.policy, what),
            *((("recommended", _words(found), found),) if found else ()),
        )
    ]
    return table("The recommended policy and the one it is compared with, a month", columns, rows)


def _words(found: Recommendation) -> str:
    return f"{', '.join(found.paths)}; {floor_text(found)}; {', '.join(found.regions)}"


def _figures(line: RecommendedLine) -> tuple[str, str, str]:
    return money(line.saving_usd_month), volume(line.bytes_month), count(line.objects)


def _why(found: Recommendation, *, chosen: bool) -> Part:
    lines = [line for line in found.why if line.chosen == chosen]
    columns = (
        Column("pattern or region", "key"), Column("adds", "n"), Column("bytes", "n less"),
        Column("objects", "n less"), Column("why", "why"),
    )  # fmt: skip
    rows = [
        (
            [path(line.name), " (excluded)" if chosen and line.kind == "exclude" else None],
            *(_figures(line) if line.kind != "floor" else ("", "", "")),
            harmless(line.why, 300),
        )
        for line in lines
    ]
    name = "Patterns and regions that were chosen" if chosen else "Patterns and regions left out"
    return [element("h3", name), table(f"{name}, a month", columns, rows)] if rows else None
