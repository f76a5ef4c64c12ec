"""The dashboard of the admin port in a browser: what it says, and how it looks.

The proxy has a target that works, one in shadow mode and one that is down, and clients that send
hostile text.
"""

from __future__ import annotations

import asyncio
import re
import signal
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.browser import Tab, complaints, look, new_tab, open_quietly, requests
from tests.build import EAST, ELSEWHERE, OUTSIDE, WEST
from tests.e2e.running import PATIENCE, Running, config_of, keys_of, site_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import LocalS3

pytestmark = pytest.mark.clients

CHOSEN, OTHER = "/big/pack-1.0.tar.xz", "/text.txt"
ALERT = "<img src=x onerror=alert(1)>"
MISSING = "new/<script>alert(1)</script>.tar.xz"
MISSING_PATH = "/new/%3Cscript%3Ealert(1)%3C/script%3E.tar.xz"
SYDNEY = "203.0.113.70"
WIDTHS = (1280, 768, 390)
SCHEMES = ("light", "dark")


class Scene(NamedTuple):
    """A running proxy with traffic, and the configuration that it was started with."""

    running: Running
    config: dict[str, Any]


def scene_config(s3: LocalS3, folder: Path) -> dict[str, Any]:
    """One target on, one in shadow mode, and one that is down: nobody has made its bucket."""
    site: dict[str, Any] = site_of(s3, redirect={"percent": 100})
    targets = site["targets"]
    targets["eu-west-1"] = {**targets["us-west-2"], "bucket": "nobody-made-this"}
    targets["eu-west-1"]["region"] = "eu-west-1"
    targets["us-east-1"]["mode"] = "shadow"
    return config_of(folder, site, overrides={f"{SYDNEY}/32": "ap-southeast-2"})


async def put_at_origin(s3: LocalS3, key: str) -> None:
    async with s3.server.client() as client:
        await client.put_object(Bucket=s3.private, Key=key, Body=b"only at the origin")


def make_traffic(scene: Scene) -> None:
    """Requests of every kind, one refused reload and one that is applied."""
    running = scene.running
    for path, client in (
        (CHOSEN, WEST), (OTHER, WEST), (CHOSEN, OUTSIDE), (CHOSEN, ELSEWHERE), (CHOSEN, EAST),
        (CHOSEN, SYDNEY), (MISSING_PATH, WEST), ("/not/there.tar.xz", OUTSIDE),
    ):  # fmt: skip
        answer = running.get(path, client, {"User-Agent": ALERT})
        assert answer.status in {200, 301, 404}
    running.config.write_text("sites: [{hosts: []}]", encoding="utf-8")
    running.signal(signal.SIGHUP)
    refused = 'nearbucket_config_reloads_total{result="refused"} 1.0'
    running.until("/metrics", lambda _, text: refused in text)
    running.write({**scene.config, "log": {"level": "warning"}})
    running.signal(signal.SIGHUP)
    applied = 'nearbucket_config_reloads_total{result="applied"} 1.0'
    running.until("/metrics", lambda _, text: applied in text)
    running.until("/api/decisions", lambda _, text: "/not/there" in text)


@pytest.fixture(scope="module")
def scene(s3: LocalS3, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("scene")
    asyncio.run(put_at_origin(s3, MISSING))
    config = scene_config(s3, folder)
    with Running(folder, config, keys_of(s3)) as running:
        running.ready()
        down = 'nearbucket_target_up{region="eu-west-1",site="*"} 0.0'
        running.until("/metrics", lambda _, text: down in text)
        made = Scene(running, config)
        make_traffic(made)
        yield made


async def shown(tab: Tab, *wanted: str) -> None:
    """Wait until the page shows all of this, in whatever order; blanks are one space."""
    deadline = time.monotonic() + PATIENCE
    missing: list[str] = [*wanted]
    while missing:
        text = re.sub(r"\s+", " ", await tab.run("() => document.body.innerText"))
        missing = [part for part in wanted if part not in text]
        assert not missing or time.monotonic() < deadline, (missing, text)
        await asyncio.sleep(0.05 if missing else 0)


async def test_it_says_what_is_down_what_is_saved_and_what_happened(
    scene: Scene, browser: str
) -> None:
    async with new_tab(browser) as tab:
        await tab.open(f"http://127.0.0.1:{scene.running.admin_port}/?show=requests")
        await shown(
            tab,
            "eu-west-1 is down since ",
            "Why: there is no bucket",
            "saved a month at most $0.3",
            "shadow would save at most $0.3",
            "still paid a month ",
            "A month like the first",
            "redirected 1, 12 %",
            "not redirected, in AWS 5, 62 %",
            "outside AWS 2, 25 %",
            "2xx 6 ", "3xx 1 ", "4xx 1 ",
            "us-west-2 1 2 5.0",
            "other-aws 0 1 0 5.0",
            "ap-southeast-2",
            "new/<script>alert(1)</script>.tar.xz us-west-2 * 1 ",
            ALERT,
            "redirect in-region 198.51.100.7 us-west-2 GET /big/pack-1.0.tar.xz",
            "stream target-down 203.0.113.7",
            "refused ", "applied ", "log.level: info -> warning",
        )  # fmt: skip
        said = scene.running.said()
        down = "site * in eu-west-1, bucket nobody-made-this"
        assert f"target down, clients are no longer redirected to it: {down}: " in said


async def test_it_fits_says_nothing_and_loads_nothing_at_every_width(
    scene: Scene, browser: str
) -> None:
    url = f"http://127.0.0.1:{scene.running.admin_port}/"
    async with new_tab(browser) as tab:
        await open_quietly(tab)
        papers = set()
        for width in WIDTHS:
            for scheme in SCHEMES:
                await look(tab, url, width, scheme)
                await shown(tab, "eu-west-1 is down")
                assert await tab.run("() => document.documentElement.scrollWidth") <= width
                papers.add(await tab.run("() => getComputedStyle(document.body).backgroundColor"))
        assert len(papers) == len(SCHEMES)
        assert complaints(tab) == []
        assert {each for each in requests(tab) if each != url} == set()


async def test_it_refreshes_itself_and_explains_an_address(scene: Scene, browser: str) -> None:
    async with new_tab(browser) as tab:
        await open_quietly(tab)
        await look(tab, f"http://127.0.0.1:{scene.running.admin_port}/", 1280, "light")
        await tab.run("() => { document.getElementById('traffic-table').click(); }")
        await tab.run("() => { document.getElementById('to-bytes').focus(); }")
        fill = "(values) => { for (const [n, v] of values) document.getElementById(n).value = v; }"
        given = [["explain-ip", EAST], ["explain-path", CHOSEN], ["explain-header", f"A: {ALERT}"]]
        await tab.run(fill, given)
        await tab.run("() => { document.querySelector('#explain button').click(); }")
        await shown(tab, "Reason: shadow", "Workers by reason: shadow 2", "192.0.2.7", "us-east-1")
        assert scene.running.get("/refreshed/by/itself", OUTSIDE).status == 404
        await shown(tab, "GET /refreshed/by/itself")
        assert await tab.run("() => document.getElementById('traffic-details').open")
        assert await tab.run("() => document.activeElement.id") == "to-bytes"
        select = "() => getSelection().selectAllChildren(document.getElementById('money-title'))"
        await tab.run(select)
        await shown(tab, "Not refreshed while text is selected: what is shown is ")
        await tab.run("() => getSelection().empty()")
        await tab.run(fill, [["explain-ip", "<b>no address"]])
        await tab.run("() => { document.querySelector('#explain button').click(); }")
        await shown(tab, "give ip=, an address, and path=/...")
        assert [each for each in complaints(tab) if "400" not in str(each)] == []


async def test_it_can_be_read_without_javascript_and_printed_from_a_dark_screen(
    scene: Scene, browser: str
) -> None:
    async with new_tab(browser) as tab:
        await open_quietly(tab)
        await tab.call("Emulation.setScriptExecutionDisabled", value=True)
        url = f"http://127.0.0.1:{scene.running.admin_port}/?window=week&show=requests"
        await look(tab, url, 1280, "dark")
        await shown(tab, "eu-west-1 is down", "saved a month", "Without JavaScript: /api/explain?")
        assert not await tab.run("() => document.getElementById('explain').checkVisibility()")
        chosen = "() => [...document.querySelectorAll('nav a[aria-current]')].map((a) => a.text)"
        assert await tab.run(chosen) == ["last week", "requests"]
        feature = {"name": "prefers-color-scheme", "value": "dark"}
        await tab.call("Emulation.setEmulatedMedia", media="print", features=[feature])
        paper = await tab.run("() => getComputedStyle(document.body).backgroundColor")
        assert paper == "rgb(255, 255, 255)"
        pdf = await tab.call("Page.printToPDF")
        assert pdf["data"].startswith("JVBERi0")  # %PDF-
