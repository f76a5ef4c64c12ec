"""Headless Chromium: a page that fetches an object, and a download, whole and after a break.

The browser is driven through its DevTools protocol. The page is there only to have an origin.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import tempfile
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.e2e.clients import KEY, MIDDLE, PAYLOAD, Way, open_way, quiet, store
from tests.e2e.running import PATIENCE
from tests.programs import program

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

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
FLAGS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--disable-extensions", "--disable-default-apps",
    "--no-proxy-server", "--remote-debugging-port=0",
]  # fmt: skip


@pytest.fixture(scope="module", params=[True, False], ids=["redirect", "stream"])
def the_way(
    request: pytest.FixtureRequest, s3: LocalS3, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Way]:
    with open_way(s3, tmp_path_factory.mktemp("way"), redirected=request.param) as way:
        store(way.objects, {PAGE: b"<!DOCTYPE html><title>a page</title>"})
        asyncio.run(_allow_pages(way.objects))
        yield way


@pytest.fixture
def way(the_way: Way) -> Way:
    the_way.forget()
    return the_way


async def _allow_pages(s3: LocalS3) -> None:
    """Let pages from anywhere read the regional bucket, as its owner has to."""
    rule = {"AllowedMethods": ["GET", "HEAD"], "AllowedOrigins": ["*"], "AllowedHeaders": ["*"]}
    async with s3.server.client() as client:
        await client.put_bucket_cors(Bucket=s3.public, CORSConfiguration={"CORSRules": [rule]})


class Tab:
    """One page of a running browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self._session: dict[str, str] = {}
        self._events: list[dict[str, Any]] = []
        self.seen: list[dict[str, Any]] = []
        """All events, as they came."""

    async def open(self, url: str) -> None:
        """Show a page in a new tab, in place of this one, and wait until it is there."""
        self._session = {}
        target = await self.call("Target.createTarget", url="about:blank")
        attached = await self.call(
            "Target.attachToTarget", targetId=target["targetId"], flatten=True
        )
        self._session = {"sessionId": attached["sessionId"]}
        await self.call("Page.enable")
        await self.call("Page.navigate", url=url)
        await self.event("Page.loadEventFired")

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Do something, and return its result."""
        self._number += 1
        sent = {"id": self._number, "method": method, "params": params, **self._session}
        await self._socket.send_json(sent)
        while True:
            message = await self._socket.receive_json(timeout=PATIENCE)
            if message.get("id") == self._number:
                assert "result" in message, message
                result: dict[str, Any] = message["result"]
                return result
            self._events.append(message)
            self.seen.append(message)

    async def event(self, method: str, **having: Any) -> dict[str, Any]:
        """Wait for an event that has these values."""
        while True:
            while self._events:
                message = self._events.pop(0)
                params: dict[str, Any] = message.get("params", {})
                if message.get("method") == method and having.items() <= params.items():
                    return params
            self._events.append(await self._socket.receive_json(timeout=PATIENCE))
            self.seen.append(self._events[-1])

    async def run(self, function: str, *arguments: Any) -> Any:
        """Call a function of JavaScript there, and return what it comes to."""
        given = ", ".join(json.dumps(argument) for argument in arguments)
        done = await self.call(
            "Runtime.evaluate",
            expression=f"({function})({given})",
            awaitPromise=True,
            returnByValue=True,
        )
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")


@asynccontextmanager
async def chromium(folder: Path) -> AsyncIterator[Tab]:
    """A browser that leaves its log in ``folder``, and nothing else."""
    # It has a socket at home, whose name the kernel bounds to 107 bytes.
    home = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
    profile = Path(home.name) / "profile"
    with (folder / "chromium.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            program("chromium"),
            *FLAGS,
            f"--user-data-dir={profile}",
            "about:blank",
            cwd=home.name,
            env=quiet(Path(home.name)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        async with aiohttp.ClientSession() as session:
            async with asyncio.timeout(PATIENCE):
                address = await _devtools(profile / "DevToolsActivePort")
            async with session.ws_connect(address, max_msg_size=0) as socket:
                yield Tab(socket)
    finally:
        await _end(process)
        home.cleanup()


async def _end(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(PATIENCE):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def _devtools(file: Path) -> str:
    """Where the browser listens, which it writes into a file of two lines."""
    while True:
        with suppress(FileNotFoundError, ValueError):
            port, path = file.read_text(encoding="ascii").split()  # noqa: ASYNC240 - 60 bytes
            return f"ws://127.0.0.1:{port}{path}"
        await asyncio.sleep(0.05)


async def test_a_page_fetches_identical_bytes(way: Way, tmp_path: Path) -> None:
    async with chromium(tmp_path) as tab:
        await tab.open(way.url(PAGE, HOST))
        assert await tab.run(FETCH, way.url(KEY, HOST), "no-store") == [[200], DIGEST]
    assert way.taken()


async def test_a_page_whose_fetch_breaks_is_told_and_asks_for_the_rest(
    way: Way, tmp_path: Path
) -> None:
    async with chromium(tmp_path) as tab:
        await tab.open(way.url(PAGE, HOST))
        way.cut()
        found = await tab.run(FETCH, way.url(KEY, HOST), "no-store")
    assert found == [[200, ERROR, 206], DIGEST]
    assert way.last.cuts == 1
    (rest,) = way.last.ranges
    assert MIDDLE // 2 < int(rest.removesuffix("-")) < MIDDLE


async def test_the_browsers_cache_asks_for_the_rest_of_a_broken_fetch(
    way: Way, tmp_path: Path
) -> None:
    async with chromium(tmp_path) as tab:
        await tab.open(way.url(PAGE, HOST))
        way.cut()
        found = await tab.run(FETCH, way.url(KEY, HOST), "default")
    assert found == [[200, ERROR, 200], DIGEST]
    assert way.last.cuts == 1
    assert MIDDLE // 2 < int(way.last.ranges[-1].partition("-")[0]) < MIDDLE


async def test_a_download_that_breaks_goes_on_by_itself(way: Way, tmp_path: Path) -> None:
    folder = tmp_path / "got"
    async with chromium(tmp_path) as tab:
        await tab.call(
            "Browser.setDownloadBehavior",
            behavior="allow",
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
