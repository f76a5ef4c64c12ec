"""Headless Chromium, driven through its DevTools protocol: one browser for a test process."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from base64 import b64decode
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.e2e.clients import quiet
from tests.e2e.running import PATIENCE
from tests.programs import program

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

FLAGS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--disable-extensions", "--disable-default-apps",
    "--no-proxy-server", "--remote-debugging-port=0",
]  # fmt: skip


_MESSAGES = {"Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"}


class Tab:
    """One page of a running browser.

    Attributes:
        context: The browser context that it is in, with a cache and cookies of its own.
        seen: All events, as they came.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self._session: dict[str, str] = {}
        self._events: list[dict[str, Any]] = []
        self.context = ""
        self.seen: list[dict[str, Any]] = []

    async def open(self, url: str) -> None:
        """Show a page in a new tab, in place of this one, and wait until it is there."""
        self._session = {}
        target = await self.call(
            "Target.createTarget", url="about:blank", browserContextId=self.context
        )
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


async def open_quietly(tab: Tab) -> None:
    """Open an empty page whose console and requests are watched."""
    await tab.open("about:blank")
    for part in ("Log", "Runtime", "Network"):
        await tab.call(f"{part}.enable")
    tab.seen.clear()


async def look(tab: Tab, url: str, width: int, scheme: str) -> None:
    """Show a page with a width and a colour scheme."""
    await tab.call(
        "Emulation.setDeviceMetricsOverride",
        width=width, height=900, deviceScaleFactor=1, mobile=width < 500,
    )  # fmt: skip
    feature = {"name": "prefers-color-scheme", "value": scheme}
    await tab.call("Emulation.setEmulatedMedia", features=[feature])
    await tab.call("Page.navigate", url=url)
    await tab.event("Page.loadEventFired")


def complaints(tab: Tab) -> list[dict[str, Any]]:
    """What the browser wrote to its console."""
    return [event for event in tab.seen if event.get("method") in _MESSAGES]


def requests(tab: Tab) -> list[str]:
    """Addresses that the browser asked for."""
    return [
        event["params"]["request"]["url"]
        for event in tab.seen
        if event.get("method") == "Network.requestWillBeSent"
    ]


async def take(tab: Tab, file: Path, width: int, height: int) -> None:
    """Write a picture of the upper left corner of a page."""
    clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
    shot = await tab.call(
        "Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True
    )
    file.write_bytes(b64decode(shot["data"]))  # noqa: ASYNC240  # nothing else runs


@pytest.fixture(scope="session")
def browser() -> Iterator[str]:
    """Where the test process's browser listens: a start takes half a second of CPU time."""
    with chromium() as address:
        yield address


@asynccontextmanager
async def new_tab(browser: str) -> AsyncIterator[Tab]:
    """A tab of a browser that has nothing to do with its other tabs."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(browser, max_msg_size=0) as socket,
    ):
        tab = Tab(socket)
        made = await tab.call("Target.createBrowserContext", disposeOnDetach=True)
        tab.context = made["browserContextId"]
        yield tab


@contextmanager
def chromium() -> Iterator[str]:
    """A browser that leaves nothing; where it listens."""
    # It has a socket at home, whose name the kernel bounds to 107 bytes.
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as home:
        profile = Path(home) / "profile"
        process = subprocess.Popen(
            [program("chromium"), *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            cwd=home,
            env=quiet(Path(home)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield _devtools(profile / "DevToolsActivePort")
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _devtools(file: Path) -> str:
    """Where the browser listens, which it writes into a file of two lines."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with suppress(FileNotFoundError, ValueError):
            port, path = file.read_text(encoding="ascii").split()
            return f"ws://127.0.0.1:{port}{path}"
        time.sleep(0.05)
    raise TimeoutError(f"{file} is not there after {PATIENCE:g} s")
