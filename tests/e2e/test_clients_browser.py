"""Headless Chromium: a page that fetches an object, and a download, whole and after a break.

The page is there only to have an origin.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

import pytest

from tests.browser import new_tab
from tests.e2e.clients import KEY, MIDDLE, PAYLOAD, Way, open_way, store
from tests.e2e.running import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import LocalS3

pytestmark = pytest.mark.clients

PAGE = "clients/page.html"
# A secure context, which crypto.subtle wants, is one from localhost too.
HOST = "localhost"
FETCH = """
async (url, cache) => {
  const parts = [], statuses = [];
  const size = () => parts.reduce((sum, part) => sum + part.length, 0);
  const get = async () => {
    const headers = size() ? { Range: `bytes=${size()}-` } : {};
    const answer = await fetch(url, { headers, cache });
    statuses.push(answer.status);
    const reader = answer.body.getReader();
    for (let step; !(step = await reader.read()).done; ) parts.push(step.value);
  };
  try { await get(); }
  catch (error) {
    statuses.push(String(error));
    if (cache !== "no-store") parts.length = 0;  // the browser itself kept what came
    await get();
  }
  const whole = await new Blob(parts).arrayBuffer();
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", whole));
  return [statuses, [...digest].map(byte => byte.toString(16).padStart(2, "0")).join("")];
}
"""
DIGEST = hashlib.sha256(PAYLOAD).hexdigest()
ERROR = "TypeError: network error"


@pytest.fixture(scope="module", params=[True, False], ids=["redirect", "stream"])
def the_way(
    request: pytest.FixtureRequest, s3: LocalS3, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Way]:
    with open_way(s3, tmp_path_factory.mktemp("way"), redirected=request.param) as way:
        store(way.objects, {PAGE: b"<!DOCTYPE html><title>a page</title>"})
        asyncio.run(_allow_pages(way.objects))
        yield way


async def _allow_pages(s3: LocalS3) -> None:
    """Let pages from anywhere read the regional bucket, as its owner has to."""
    rule = {"AllowedMethods": ["GET", "HEAD"], "AllowedOrigins": ["*"], "AllowedHeaders": ["*"]}
    async with s3.server.client() as client:
        await client.put_bucket_cors(Bucket=s3.public, CORSConfiguration={"CORSRules": [rule]})


async def test_a_page_fetches_identical_bytes(way: Way, browser: str) -> None:
    async with new_tab(browser) as tab:
        await tab.open(way.url(PAGE, HOST))
        assert await tab.run(FETCH, way.url(KEY, HOST), "no-store") == [[200], DIGEST]
    assert way.taken()


async def test_a_page_whose_fetch_breaks_is_told_and_asks_for_the_rest(
    way: Way, browser: str
) -> None:
    async with new_tab(browser) as tab:
        await tab.open(way.url(PAGE, HOST))
        way.cut()
        found = await tab.run(FETCH, way.url(KEY, HOST), "no-store")
    assert found == [[200, ERROR, 206], DIGEST]
    assert way.last.cuts == 1
    (rest,) = way.last.ranges
    assert MIDDLE // 2 < int(rest.removesuffix("-")) < MIDDLE


async def test_the_browsers_cache_asks_for_the_rest_of_a_broken_fetch(
    way: Way, browser: str
) -> None:
    async with new_tab(browser) as tab:
        await tab.open(way.url(PAGE, HOST))
        way.cut()
        found = await tab.run(FETCH, way.url(KEY, HOST), "default")
    assert found == [[200, ERROR, 200], DIGEST]
    assert way.last.cuts == 1
    assert MIDDLE // 2 < int(way.last.ranges[-1].partition("-")[0]) < MIDDLE


async def test_a_download_that_breaks_goes_on_by_itself(
    way: Way, tmp_path: Path, browser: str
) -> None:
    folder = tmp_path / "got"
    async with new_tab(browser) as tab:
        await tab.call(
            "Browser.setDownloadBehavior",
            behavior="allow",
            browserContextId=tab.context,
            downloadPath=str(folder),
            eventsEnabled=True,
        )
        await tab.open(way.url(PAGE, HOST))
        way.cut()
        await tab.run("(url) => { location = url }", way.url(KEY, HOST))
        async with asyncio.timeout(PATIENCE):
            await tab.event("Browser.downloadProgress", state="completed")
    assert [file.name for file in folder.iterdir()] == [KEY.rpartition("/")[2]]
    assert (folder / KEY.rpartition("/")[2]).read_bytes() == PAYLOAD
    assert way.last.cuts == 1
    assert MIDDLE // 2 < int(way.last.ranges[-1].removesuffix("-")) < MIDDLE
    assert way.taken()
