"""The page in headless Chromium: light, dark, on a phone, printed, and with hostile text.

``python -m tests.analysis.report.test_page_in_browser`` takes the screenshots of the documentation.
"""

from __future__ import annotations

import asyncio
import tempfile
from base64 import b64decode
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from nearbucket.analysis.report import render
from tests.analysis.made_report import YAML, hostile_report, made_report
from tests.browser import Tab, chromium, complaints, look, new_tab, open_quietly, requests, take
from tests.e2e.running import PATIENCE

if TYPE_CHECKING:
    from nearbucket.analysis.answers import Report

pytestmark = pytest.mark.clients

DOCS = Path(__file__).parents[3] / "docs"
DOLLARS_CUT = """() => [...document.querySelectorAll('#regions > .wide, #policy > .wide')]
  .filter(each => each.scrollWidth > each.clientWidth).map(each => each.textContent)"""
"""Tables by region and policy that are wider than the page: their last column is dollars."""
LOOKS = [(1200, "light"), (390, "dark")]
"""Widths, of which the smaller one is a phone's, and colour schemes: each is seen once."""
CHARTS = ["bill-chart", "days-chart", "sizes-chart", "folders-chart"]

# Names of the charts whose text leaves its box, or that have no text.
CUT = """() => [...document.querySelectorAll(".chart")].filter((chart) => {
  const box = chart.getBoundingClientRect(), texts = [...chart.querySelectorAll("svg text")];
  const inside = (text) => {
    const it = text.getBoundingClientRect();
    return it.left > box.left - 2 && it.right < box.right + 2
      && it.top > box.top - 2 && it.bottom < box.bottom + 2;
  };
  return texts.length < 4 || !texts.every(inside);
}).map((chart) => chart.id)"""
# Pairs of colours of the style sheet with less contrast than WCAG 2.2 wants of text (AA, 4.5).
FAINT = """(pairs) => {
  const style = getComputedStyle(document.documentElement);
  const light = (name) => {
    const hex = style.getPropertyValue("--" + name).trim();
    const [r, g, b] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255)
      .map((c) => c <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  return pairs.filter(([a, b]) => {
    const [low, high] = [light(a), light(b)].sort((x, y) => x - y);
    return (high + .05) / (low + .05) < 4.5;
  });
}"""
PAIRS = [
    ["ink", "paper"], ["quiet", "paper"], ["good", "paper"], ["ink", "note"], ["ink", "panel"],
    ["link", "paper"],
]  # fmt: skip


async def show(tab: Tab, folder: Path, report: Report, width: int, scheme: str) -> Path:
    """Show a report's page in a new tab, with a width and a colour scheme."""
    file = folder / "report.html"
    file.write_text(render(report, "html"), encoding="utf-8")
    await open_quietly(tab)
    await look(tab, file.as_uri(), width, scheme)
    return file


async def until(tab: Tab, condition: str) -> None:
    """Wait until a condition of JavaScript holds."""
    wait = "new Promise((done) => setTimeout(done, 20))"
    async with asyncio.timeout(PATIENCE):
        await tab.run(f"async () => {{ while (!({condition})) await {wait}; }}")


async def test_it_loads_nothing_says_nothing_and_fits(tmp_path: Path, browser: str) -> None:
    async with new_tab(browser) as tab:
        for width, scheme in LOOKS:
            file = await show(tab, tmp_path, made_report(), width, scheme)
            assert await tab.run(CUT) == []
            drawn = "() => [...document.querySelectorAll('.chart:not([hidden]) svg')].length"
            assert await tab.run(drawn) == len(CHARTS)
            assert await tab.run("() => document.documentElement.scrollWidth") <= width
            assert await tab.run(DOLLARS_CUT) == []
            assert await tab.run(FAINT, PAIRS) == []
            background = await tab.run("() => getComputedStyle(document.body).backgroundColor")
            assert (background == "rgb(255, 255, 255)") == (scheme == "light")
            assert complaints(tab) == []
            assert requests(tab) == [file.as_uri()]


async def test_hostile_text_runs_nothing(tmp_path: Path, browser: str) -> None:
    async with new_tab(browser) as tab:
        file = await show(tab, tmp_path, hostile_report(), 1200, "light")
        assert "obeyed" in await tab.run("() => document.body.innerText")
        assert (await tab.run("() => document.title")).startswith("<script>")
        assert await tab.run("() => document.documentElement.scrollWidth") <= 1200
        assert complaints(tab) == []
        assert requests(tab) == [file.as_uri()]


async def test_a_tooltip_shows_figures_and_breaks_no_rule_of_the_page(
    tmp_path: Path, browser: str
) -> None:
    async with new_tab(browser) as tab:
        await show(tab, tmp_path, hostile_report(), 1200, "light")
        for chart, words in (("days", "all"), ("bill", "a month"), ("sizes", "requests")):
            place = f"document.getElementById('{chart}-chart')"
            await tab.run(f"() => {place}.scrollIntoView({{ block: 'center' }})")
            x, y = await tab.run(
                f"() => {{ const box = {place}.getBoundingClientRect();"
                " return [box.left + box.width / 2, box.top + box.height / 2]; }"
            )
            await tab.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
            await until(tab, f"{place}.innerText.includes('{words}')")
        assert await tab.run("() => document.querySelectorAll('.tip img, .tip script').length") == 0
        assert complaints(tab) == []


async def test_the_button_copies_the_policy(tmp_path: Path, browser: str) -> None:
    async with new_tab(browser) as tab:
        await show(tab, tmp_path, made_report(), 1200, "light")
        await tab.run(
            "() => { navigator.clipboard.writeText = async (text) => { window.copied = text; } }"
        )
        await tab.run("() => document.getElementById('copy').click()")
        assert await tab.run("() => window.copied") == YAML
        assert await tab.run("() => document.getElementById('copied').textContent") == "Copied"


async def test_where_copying_is_not_allowed_the_policy_is_selected(
    tmp_path: Path, browser: str
) -> None:
    async with new_tab(browser) as tab:
        await show(tab, tmp_path, made_report(), 1200, "light")
        await tab.run("() => { navigator.clipboard.writeText = async () => { throw Error(); } }")
        await tab.run("() => document.getElementById('copy').click()")
        assert (await tab.run("() => getSelection().toString()")).strip() == YAML.strip()
        assert "Ctrl-C" in await tab.run("() => document.getElementById('copied').textContent")


async def test_it_can_be_read_without_javascript(tmp_path: Path, browser: str) -> None:
    async with new_tab(browser) as tab:
        await tab.open("about:blank")
        await tab.call("Emulation.setScriptExecutionDisabled", value=True)
        file = tmp_path / "report.html"
        file.write_text(render(made_report(), "html"), encoding="utf-8")
        await tab.call("Page.navigate", url=file.as_uri())
        await tab.event("Page.loadEventFired")
        text = await tab.run("() => document.body.innerText")
        assert await tab.run("() => document.querySelectorAll('svg text').length") == 0
        for words in ("$3,636", "2026-11-07", "1.80 TB", "256 MiB", ".qcow2", "min_size: 16MiB"):
            assert words in text
        assert "Copy\n" not in text


async def test_it_prints_dark_on_light_from_a_dark_screen(tmp_path: Path, browser: str) -> None:
    async with new_tab(browser) as tab:
        await show(tab, tmp_path, made_report(), 1200, "dark")
        pdf = await tab.call("Page.printToPDF")
        assert b64decode(pdf["data"]).startswith(b"%PDF")
        look = """() => {
          dispatchEvent(new Event("beforeprint"));
          const paper = () => getComputedStyle(document.body).backgroundColor;
          const printed = paper(), width = document.querySelector("#bill-chart svg").clientWidth;
          dispatchEvent(new Event("afterprint"));
          return [printed, width, paper()];
        }"""
        paper, width, screen = await tab.run(look)
        assert paper == "rgb(255, 255, 255)" != screen
        assert width <= 690  # A4 less its margins, at 96 dpi
        assert complaints(tab) == []


async def test_a_change_of_the_colour_scheme_changes_the_charts(
    tmp_path: Path, browser: str
) -> None:
    async with new_tab(browser) as tab:
        await show(tab, tmp_path, made_report(), 1200, "light")
        fill = "() => document.querySelector('#bill-chart svg text').getAttribute('fill')"
        await tab.run(f"() => {{ window.before = ({fill})(); }}")
        feature = {"name": "prefers-color-scheme", "value": "dark"}
        await tab.call("Emulation.setEmulatedMedia", features=[feature])
        await until(tab, f"({fill})() !== window.before")


def terminal() -> str:
    """The first lines of the text report, as a terminal shows them, for a browser."""
    console = Console(record=True, file=StringIO(), width=92, highlight=False)
    text = render(made_report(), "text", width=92, colour=True)
    console.print(Text.from_ansi("\n".join(text.splitlines()[:48])))
    return console.export_html(
        inline_styles=True, theme=MONOKAI, code_format="<pre style='font:13px/1.3 monospace; "
        "background:#16191d; color:#d8dce2; padding:1em; margin:0'>{code}</pre>",
    )  # fmt: skip


async def take_screenshots() -> None:
    """Write the pictures of the documentation."""
    with tempfile.TemporaryDirectory() as name, chromium() as browser:
        folder = Path(name)
        async with new_tab(browser) as tab:
            for label, width, height, scheme in (
                ("light", 1000, 1330, "light"),
                ("dark", 1000, 1330, "dark"),
                ("phone", 390, 1330, "light"),
            ):
                await show(tab, folder, made_report(), width, scheme)
                await take(tab, DOCS / f"analyze-{label}.png", width, height)
            file = folder / "terminal.html"
            file.write_text(f"<style>body {{ margin: 0 }}</style>{terminal()}", encoding="utf-8")
            await tab.call("Page.navigate", url=file.as_uri())
            await tab.event("Page.loadEventFired")
            width, height = await tab.run(
                "() => { const pre = document.querySelector('pre');"
                " pre.style.width = 'max-content'; return [pre.offsetWidth, pre.offsetHeight]; }"
            )
            await take(tab, DOCS / "analyze-terminal.png", width, height)


if __name__ == "__main__":
    asyncio.run(take_screenshots())
