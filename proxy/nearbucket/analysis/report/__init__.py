"""Shows a report on access logs: on a terminal, as JSON, or as a page for a browser.

It computes nothing about requests: what it shows are the values of ``analysis/answers.py``. All
text that comes from a log (paths, User-Agents, names of files) is made harmless (``figures.py``
of the package), for each form in its own way.

In reading order:

* ``findings.py``: what several forms say alike: the main sentences, the way from bill to bill.
* ``text_report.py``: sections and tables of a terminal; in a pipe TAB-separated facts.
* ``text_tables.py``: the tables of a terminal.
* ``json_report.py``: the JSON document and its schema.
* ``markup.py``: makes HTML in which all text is escaped.
* ``html_report.py``: the page; its content follows ``page.html``, ``page.css`` and ``page.js``.
* ``html_sections.py``: the sections of the page, with a table for each chart.
* ``html_policy.py``: the section with the policy to paste.
* ``html_tables.py``: the page's lists, such as the files with the most bytes.
* ``chart_data.py``: the data of the charts, which ``page.js`` draws with ECharts.

``echarts.min.js`` is the full build of Apache ECharts, with its licence and notice beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nearbucket.analysis.answers import Report


def render(report: Report, kind: str, *, width: int | None = None, colour: bool = False) -> str:
    """A report as text that ends in a newline.

    Args:
        report: The report.
        kind: ``text``, ``json`` or ``html``.
        width: Columns of a terminal; None: for a pipe, one fact a line, TAB-separated. Only for
            ``text``.
        colour: Whether the terminal shows colours. Only for ``text``.

    Raises:
        ValueError: There is no such kind.
    """
    if kind == "text":
        from nearbucket.analysis.report.text_report import as_text  # noqa: PLC0415  # one is used

        return as_text(report, width=width, colour=colour)
    if kind == "json":
        from nearbucket.analysis.report.json_report import as_json  # noqa: PLC0415

        return as_json(report)
    if kind == "html":
        from nearbucket.analysis.report.html_report import as_html  # noqa: PLC0415

        return as_html(report)
    raise ValueError(f"no such kind of report: {kind!r}")
