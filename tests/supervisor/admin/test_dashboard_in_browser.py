"""The dashboard of a made day in headless Chromium: it fits at every width, and colours contrast.

``python -m tests.supervisor.admin.test_dashboard_in_browser`` takes the screenshots of the
documentation.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

import pytest

from tests.browser import chromium, complaints, look, new_tab, open_quietly, take
from tests.e2e.test_dashboard import SCHEMES, WIDTHS
from tests.supervisor.admin.made_documents import page

pytestmark = pytest.mark.clients

DOCS = Path(__file__).parents[3] / "docs"
PICTURES = (
    ("light", 1280, 1000, "light"), ("dark", 768, 900, "dark"), ("phone", 390, 1000, "light"),
)  # fmt: skip
# Texts with less contrast than WCAG 2.2 wants (AA, 4.5), by their own colour and their background.
FAINT = """() => {
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [[r, .2126], [g, .7152], [b, .0722]]
    .map(([c, share]) => [c / 255, share])
    .map(([c, share]) => share * (c <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4))
    .reduce((sum, c) => sum + c, 0);
  const paper = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parts(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
  };
  const own = (element) => [...element.childNodes]
    .some((node) => node.nodeType === 3 && node.data.trim());
  return [...document.querySelectorAll("body *")].filter((element) => own(element)
    && element.checkVisibility() && !["SCRIPT", "TITLE"].includes(element.tagName.toUpperCase()))
    .filter((element) => {
      const [low, high] = [light(parts(getComputedStyle(element).color)), light(paper(element))]
        .sort((x, y) => x - y);
      return (high + .05) / (low + .05) < 4.5;
    }).map((element) => element.outerHTML);
}"""
# Cells that cannot be seen though they have text: a table must not lose columns on a phone.
LOST = """() => [...document.querySelectorAll("td, tbody th")]
  .filter((cell) => cell.textContent && (!cell.checkVisibility()
    || cell.getBoundingClientRect().right > innerWidth)).length"""
# Text that runs over the edge of its cell.
OVERFLOWING = """() => [...document.querySelectorAll("td > div, th > div")]
  .filter((cell) => cell.scrollWidth > cell.clientWidth).map((cell) => cell.outerHTML)"""
LONG_HOST = f"downloads.{'internal' * 7}.example.com"


async def test_it_fits_with_all_its_columns_and_its_text_can_be_read(
    tmp_path: Path, browser: str
) -> None:
    file = tmp_path / "dashboard.html"
    file.write_text(page("day"), encoding="utf-8")
    async with new_tab(browser) as tab:
        await open_quietly(tab)
        for width in WIDTHS:
            for scheme in SCHEMES:
                await look(tab, file.as_uri(), width, scheme)
                assert await tab.run("() => document.documentElement.scrollWidth") <= width
                await tab.run("() => { document.querySelector('details').open = true; }")
                assert await tab.run(LOST) == 0
                assert await tab.run(FAINT) == []
        assert await tab.run("() => document.querySelectorAll('main img, main script').length") == 0
        assert complaints(tab) == []


async def test_long_names_fit_on_phones_and_beside_all_columns(
    tmp_path: Path, browser: str
) -> None:
    file = tmp_path / "dashboard.html"
    file.write_text(page("day").replace("downloads.example.com", LONG_HOST), encoding="utf-8")
    async with new_tab(browser) as tab:
        await open_quietly(tab)
        for width in (720, 390, 320):
            await look(tab, file.as_uri(), width, "light")
            assert await tab.run("() => document.documentElement.scrollWidth") <= width
            assert await tab.run(OVERFLOWING) == []


async def take_screenshots(folder: Path, *, whole: bool) -> None:
    """Write the pictures of the documentation, or of the whole page."""
    with tempfile.TemporaryDirectory() as name, chromium() as browser:
        file = Path(name) / "dashboard.html"
        file.write_text(page("day"), encoding="utf-8")
        async with new_tab(browser) as tab:
            await open_quietly(tab)
            for label, width, height, scheme in PICTURES:
                await look(tab, file.as_uri(), width, scheme)
                full = await tab.run("() => document.documentElement.scrollHeight")
                await take(tab, folder / f"dashboard-{label}.png", width, full if whole else height)


if __name__ == "__main__":
    given = sys.argv[1:]
    asyncio.run(take_screenshots(Path(given[0]) if given else DOCS, whole=bool(given)))
