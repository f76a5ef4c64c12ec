"""The page: one file that loads nothing, in which text of a log is text."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import zipfile
from base64 import b64encode
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from nearbucket.analysis import report as report_package
from nearbucket.analysis.answers import NamedTraffic
from nearbucket.analysis.reading.sources import DamagedFile
from nearbucket.analysis.report import render
from nearbucket.analysis.report.markup import with_options
from nearbucket.figures import harmless
from tests.analysis.made_report import HOSTILE, YAML, hostile_report, made_report
from tests.analysis.report.test_findings import without_requests
from tests.test_names import FOLDER as FOLDER_OF_SOURCES

ROOT = Path(__file__).parents[3]
FOLDER = Path(report_package.__path__[0])
ECHARTS_SHA256 = "b66b25aeb4df84e33199dc21694014d336d222cbd9deb0e5a7c14bd6aa0d0fd0"
"""Of echarts.min.js in the release 6.1.0, as published."""
VOID = {"meta"}


class Page(HTMLParser):
    """Elements of a page, and the text that a reader sees."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.names: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.images: list[dict[str, str | None]] = []
        self.texts: dict[str, list[str]] = {}
        self.crossed: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.images += [each for each in [dict(attrs)] if each.get("role") == "img"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.open.pop() != tag:
            self.crossed.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self.open[-1] if self.open else "", []).append(data)

    def values(self, name: str) -> list[str]:
        """Values of an attribute."""
        return [value for _, key, value in self.attributes if key == name]

    def shown(self) -> str:
        """Text outside of scripts and styles."""
        return "".join(
            "".join(parts) for tag, parts in self.texts.items() if tag not in {"script", "style"}
        )


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render(made_report(), "html"))


@pytest.fixture(scope="module")
def hostile() -> Page:
    return Page(render(hostile_report(), "html"))


def test_an_option_of_a_sentence_is_code_with_its_value() -> None:
    sentence = "use --since and --plan flat:premium-75."
    assert with_options(sentence) == [
        "use ", "<code>--since</code>", " and ", "<code>--plan flat:premium-75</code>", ".",
    ]  # fmt: skip


def test_every_element_is_closed(page: Page, hostile: Page) -> None:
    for each in (page, hostile):
        assert each.open == []
        assert each.crossed == []


def test_it_names_no_address_to_load_anything_from(page: Page, hostile: Page) -> None:
    for each in (page, hostile):
        assert {"link", "img", "iframe", "object", "form", "base"}.isdisjoint(each.names)
        assert each.values("src") == each.values("style") == []
        assert {link[0] for link in each.values("href")} == {"#"}
        assert not [name for _, name, _ in each.attributes if name.startswith("on")]
        assert "url(" not in "".join(each.texts["style"])


def test_only_the_two_scripts_and_the_style_of_the_page_are_allowed(page: Page) -> None:
    (policy,) = [value for value in page.values("content") if "default-src" in value]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "*" not in policy
    text = render(made_report(), "html")
    bodies = re.findall(r"<(?:style|script)>(.*?)</(?:style|script)>", text, re.DOTALL)
    digests = {
        f"'sha256-{b64encode(hashlib.sha256(each.encode()).digest()).decode()}'" for each in bodies
    }
    assert len(bodies) == 3
    assert set(re.findall(r"'sha256-[^']*'", policy)) == digests


def test_the_policy_comes_before_everything_that_it_is_for() -> None:
    text = render(made_report(), "html")
    assert text.index("Content-Security-Policy") < text.index("<style") < text.index("<script")


def test_text_of_a_log_adds_no_element(page: Page, hostile: Page) -> None:
    assert set(hostile.names) <= set(page.names)
    assert hostile.names.count("script") == 3
    assert "".join(hostile.texts["title"]).startswith(harmless(HOSTILE[0]))


def test_text_of_a_log_is_shown_as_text(hostile: Page) -> None:
    text = hostile.shown()
    for each in HOSTILE:
        assert harmless(each) in text
    assert "".join(letter for letter in text if not letter.isprintable()).strip() == ""


def test_what_a_log_says_is_no_field_of_the_page(hostile: Page) -> None:
    assert "{{charts}}" in hostile.shown()
    assert sum("echarts" in part for part in hostile.texts["script"]) == 2


def test_the_data_of_the_charts_cannot_end_their_element() -> None:
    text = render(hostile_report(), "html")
    data = text.partition('<script type="application/json" id="data">')[2].partition("</script>")[0]
    assert data.isascii()
    assert "<" not in data
    assert data.endswith("}")


def test_every_chart_has_a_name_and_its_figures_in_a_table(page: Page) -> None:
    charts = [each["id"] for each in page.images]
    assert charts == ["bill-chart", "days-chart", "sizes-chart", "folders-chart"]
    assert page.names.count("details") == len(charts)
    assert all(each.get("aria-label") for each in page.images)


def test_every_link_leads_to_a_section(page: Page) -> None:
    links = {link.removeprefix("#") for link in page.values("href")}
    assert {"bill", "policy", "computed"} < links <= set(page.values("id"))
    bare = Page(render(replace(made_report(), recommendation=None), "html"))
    links = {link.removeprefix("#") for link in bare.values("href")}
    assert {"policy", "computed"} < links <= set(bare.values("id"))


def test_every_table_has_a_caption_and_headings(page: Page) -> None:
    assert (
        page.names.count("caption")
        == page.names.count("table")
        == page.values("role").count("region")
    )
    assert set(page.values("scope")) == {"col", "row"}


def test_without_javascript_tables_are_open_and_nothing_waits_for_a_script(page: Page) -> None:
    open_ = [tag for tag, name, _ in page.attributes if name == "open"]
    hidden = {tag for tag, name, _ in page.attributes if name == "hidden"}
    assert open_ == ["details"] * 4
    assert hidden == {"div", "ul", "p", "button"}


def test_a_reader_learns_from_top_to_bottom_what_to_do(page: Page) -> None:
    text = render(made_report(), "html")
    order = [
        "189,000 requests in 42 files", "$3,636 a month less", "The CDN&#x27;s bill now", "78 %",
        "Copies cost", "flat-rate plan", "From today&#x27;s bill", "Where the bytes go",
        "Requests and bytes by size", "What is downloaded", "The policy to paste",
        "mode: shadow", "Patterns and regions that were chosen", "left out", "Who would notice",
        "20 files with", "10 User-Agents with", "Heaviest networks", "One bucket more",
        "How this is computed", "ends early",
    ]  # fmt: skip
    body = text.partition("<body>")[2]
    at = 0
    for words in order:
        at = body.find(words, at)
        assert at >= 0, words
    assert YAML in page.shown()


def test_files_without_a_request_have_a_page() -> None:
    page = Page(render(without_requests(), "html"))
    assert "There is no request in these logs." in page.shown()
    assert "-chart" not in "".join(page.values("id"))


def test_a_page_without_a_recommendation_has_no_bill_after_and_no_block_to_paste() -> None:
    without = replace(made_report(), recommendation=None, notes=())
    page = Page(render(without, "html"))
    assert page.shown().count("No policy was asked for.") == 2
    why = "No policy is recommended: the best one would save less than $5.00 a month."
    shown = Page(render(replace(without, notes=("Other.", why)), "html")).shown()
    assert shown.count(why) == 2
    assert "with the recommended policy" not in shown
    assert "policy was asked for" not in shown
    assert "bill-chart" not in page.values("id")
    assert "yaml" not in page.values("id")
    assert "aside" not in page.names


def test_of_many_hosts_and_files_the_first_are_listed_and_the_rest_is_counted() -> None:
    report = made_report()
    hosts = tuple(NamedTraffic(f"host-{number:04}", 1, 1) for number in range(5_000))
    files = tuple(DamagedFile(f"file-{number:04}", "ends early", 1) for number in range(30))
    many = replace(
        report,
        counts=replace(report.counts, hosts=hosts),
        scope=replace(report.scope, damaged=files),
    )
    for text in (Page(render(many, "html")).shown(), render(many, "text", width=80)):
        assert "host-0019" in text
        assert "host-0020" not in text
        assert "and 4,980 more, in JSON" in text
        assert "file-0019" in text
        assert "file-0020" not in text
        assert "and 10 more, in JSON" in text


def test_logs_without_a_host_have_a_title() -> None:
    report = made_report()
    counts = replace(report.counts, hosts=(NamedTraffic("", 1, 1),))
    page = Page(render(replace(report, counts=counts), "html"))
    assert "".join(page.texts["title"]) == "Access logs, 1 to 14 November 2026"
    assert "no host in the log" in page.shown()


def test_the_charts_library_is_the_published_file_with_its_licence() -> None:
    assert hashlib.sha256((FOLDER / "echarts.min.js").read_bytes()).hexdigest() == ECHARTS_SHA256
    licence = (FOLDER / "echarts-LICENSE.txt").read_text("utf-8")
    assert "Apache License" in licence
    assert "BSD 3-Clause" in licence
    assert "Copyright 2010-" in licence  # of the parts from d3
    assert "Apache ECharts" in (FOLDER / "echarts-NOTICE.txt").read_text("utf-8")


def test_the_library_has_no_end_of_a_script_and_needs_no_evaluation() -> None:
    text = (FOLDER / "echarts.min.js").read_text("utf-8")
    assert "</script" not in text
    assert "eval(" not in text


def test_a_wheel_has_everything_that_a_page_is_made_of(tmp_path: Path) -> None:
    made = [sys.executable, "-m", "pip", "wheel", "--no-index", "--no-deps", "--no-build-isolation"]
    copied = tmp_path / "source"
    copied.mkdir()
    for name in (FOLDER_OF_SOURCES, "docs", "pyproject.toml", "README.md", "LICENSE"):
        (copied / name).symlink_to(ROOT / name)
    subprocess.run([*made, "-q", "-w", tmp_path, copied], check=True, timeout=100, cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {Path(each).name for each in archive.namelist() if "analysis/report/" in each}
    assert {
        "page.html", "page.css", "page.js", "echarts.min.js", "echarts-LICENSE.txt",
        "echarts-NOTICE.txt", "text_report.py",
    } <= names  # fmt: skip
    assert wheel.stat().st_size < 2_000_000
