"""The page: one file with everything in it, which loads nothing and runs only its own scripts.

Its Content-Security-Policy forbids everything (``default-src 'none'``) but the two scripts and the
style sheet whose SHA-256 it names.
"""

from __future__ import annotations

import re
from importlib.resources import files
from typing import TYPE_CHECKING

from nearbucket import __version__
from nearbucket.analysis.report import html_sections as sections
from nearbucket.analysis.report.chart_data import chart_data, script_text
from nearbucket.analysis.report.findings import headline, scope_text, title
from nearbucket.analysis.report.html_policy import policy_section
from nearbucket.analysis.report.markup import Html, Part, element, joined, source_hash
from nearbucket.figures import period

if TYPE_CHECKING:
    from nearbucket.analysis.answers import Report

_FIELD = re.compile(r"\{\{(\w+)\}\}")
_UNIT = re.compile(r"(?<=\d) (?=%|[KMGTP]B\b)")
_SECTIONS = {
    "bill": "Bill", "regions": "Regions", "sizes": "Sizes", "policy": "Policy",
    "files": "Files", "agents": "User-Agents", "computed": "How computed",
}  # fmt: skip
"""Ids of sections that the page links to, and their words."""
ECHARTS = "echarts.min.js"


def as_html(report: Report) -> str:
    """The page."""
    style, charts, script = _own("page.css"), _own(ECHARTS), _own("page.js")
    name = f"{title(report)}, {period(report.scope.first, report.scope.last)}"
    parts = {
        "policy": joined(_policy(style, charts, script)),
        "title": joined(name),
        "style": style,
        "header": _header(report, name),
        "main": _main(report),
        "footer": joined(f"Made by nearbucket {__version__}."),
        "data": script_text(chart_data(report)),
        "charts": charts,
        "script": script,
    }
    # In one pass: what a part holds is not looked at again.
    return _FIELD.sub(lambda field: parts[field[1]], _own("page.html"))


def _own(name: str) -> str:
    """A file of this folder."""
    return files(__package__).joinpath(name).read_text("utf-8")


def _policy(style: str, *scripts: str) -> str:
    allowed = " ".join(source_hash(script) for script in scripts)
    return (
        f"default-src 'none'; script-src {allowed}; style-src {source_hash(style)}; "
        "base-uri 'none'; form-action 'none'"
    )


def _header(report: Report, name: str) -> Html:
    return joined(
        [
            element("h1", name),
            element("p", scope_text(report), class_="about"),
            element("p", _unbroken(" ".join(headline(report))), class_="lead"),
            _contents(report),
        ]
    )


def _contents(report: Report) -> Part:
    """Links to the sections."""
    if not report.counts.requests:
        return None
    names = {
        name: words for name, words in _SECTIONS.items() if name != "bill" or report.recommendation
    }
    links = [element("a", words, href=f"#{name}") for name, words in names.items()]
    return element("nav", [[link, " "] for link in links], aria_label="Sections")


def _unbroken(text: str) -> str:
    """Text in which no line ends between a figure and its unit."""
    return _UNIT.sub("\u00a0", text)


def _main(report: Report) -> Html:
    if not report.counts.requests:
        return sections.computed_section(report)
    return joined(
        [
            sections.cards(report),
            sections.notes(report),
            sections.bill_section(report),
            sections.days_section(report),
            element(
                "div",
                sections.sizes_section(report),
                sections.folders_section(report),
                class_="two",
            ),
            policy_section(report),
            sections.lists(report),
            sections.computed_section(report),
        ]
    )
