"""Any bytes, in any pieces, get the same answers and log lines whichever lanes are switched on."""

from __future__ import annotations

import asyncio
import os
import re
from contextlib import AsyncExitStack, suppress
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, BinaryIO, Self

import pytest
from aiohttp import web
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests import build
from tests.bucketserver import until
from tests.build import CDN, EAST, ELSEWHERE, OUTSIDE, WEST
from tests.serving import LOOPS, PATIENCE, Served, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_LINE = 4096
"""Bytes that a pipe keeps whole (POSIX, PIPE_BUF): no line of the access log may be longer."""

_TIMES = re.compile(rb'"time":"[^"]*","seconds":[0-9.]*')
_DATE = re.compile(rb"\r\nDate: [^\r]*")


async def _object(request: web.BaseRequest) -> web.StreamResponse:
    """An origin where every key exists, with its path for content."""
    fields = {"ETag": '"e"', "Cache-Control": "public, max-age=9", "Expires": "x"}
    if request.raw_path.endswith("xz"):
        del fields["Cache-Control"]
    return web.Response(body=request.raw_path.encode(), headers=fields)


COUNTED = tuple(
    f"nearbucket_{name}_total"
    for name in (
        "redirects", "bypasses", "refusals", "redirected_bytes", "streamed_bytes", "shadow_bytes",
        "host_requests", "stream_ends",
    )
)  # fmt: skip

LANES = ((True, True), (True, False), (False, False))
"""Whether there are a fast lane and a relay beside aiohttp."""


class Trio:
    """Workers in one loop, with all lanes, without the relay, with aiohttp's alone."""

    def __init__(self, new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self._runner = asyncio.Runner(loop_factory=new_loop)
        self._stack = AsyncExitStack()
        self._lanes: list[Served] = []
        self._logs: list[BinaryIO] = []
        self._read = [0] * len(LANES)

    def __enter__(self) -> Self:
        self._runner.run(self._open())
        return self

    def __exit__(self, *_failure: object) -> None:
        self._runner.run(self._stack.aclose())
        self._runner.close()

    async def _open(self) -> None:
        runner = web.ServerRunner(web.Server(_object))
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        chosen = build.settings(
            site={
                "hosts": ["*", "dl.example"],
                "origin": build.open_bucket(f"http://127.0.0.1:{port}"),
                "redirect": {"head": "redirect"},
            },
            client_address=build.FORWARDED,
        )
        for fast_lane, relay in LANES:
            log = self._stack.enter_context(TemporaryFile())  # noqa: SIM115  # entered here
            self._logs.append(log)
            entered = serving(chosen, fast_lane=fast_lane, relay=relay, log=log.fileno())
            self._lanes.append(await self._stack.enter_async_context(entered))

    def answers(self, pieces: list[bytes]) -> list[bytes]:
        """What each worker answers, Date apart."""

        async def all_of_them() -> list[bytes]:
            return await asyncio.gather(*(_say(lane, pieces) for lane in self._lanes))

        return self._runner.run(all_of_them())

    def logged(self) -> list[list[bytes]]:
        """The new lines of each worker's access log, but for time and duration."""

        async def written() -> None:
            for lane in self._lanes:
                await until(lambda: lane.open_connections() == 0)  # noqa: B023  # awaited here
                await lane.write_log()

        self._runner.run(written())
        found = []
        for number, log in enumerate(self._logs):
            new = os.pread(log.fileno(), 1 << 20, self._read[number])
            self._read[number] += len(new)
            found.append(new.splitlines(keepends=True))
        assert all(len(line) <= MAX_LINE for lines in found for line in lines)
        return [[_TIMES.sub(b"", line) for line in lines] for lines in found]

    def counted(self) -> list[list[object]]:
        """What each worker has counted of its requests so far."""
        return [[lane.figures(name) for name in COUNTED] for lane in self._lanes]


async def _say(lane: Served, pieces: list[bytes]) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", lane.port)
    with suppress(ConnectionError):
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0)
        writer.write_eof()
    try:
        answer = await asyncio.wait_for(reader.read(), PATIENCE)
    except ConnectionError:
        answer = b"reset"
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
    return _DATE.sub(b"", answer)


@pytest.fixture(params=LOOPS)
def trio(request: pytest.FixtureRequest) -> Iterator[Trio]:
    with Trio(LOOPS[request.param]) as opened:
        yield opened


_METHODS = st.sampled_from([b"GET"] * 6 + [b"HEAD", b"POST", b"OPTIONS", b"TRACE", b"get", b"G T"])
_TARGETS = st.sampled_from([
    b"/a.tar.gz", b"/d/a%20b+c.tar.xz?x=1", b"/a.txt", b"/", b"//evil.example/a.tar.gz", b"/../a",
    b"/%00", b"/%zz", b"/a.tar.gz#f", b"http://h.example/a.tar.gz", b"*", b"a", b"/\xc3\xa9", b"",
    b"/a.tar.gz?redirect=no", b"/a\\b", b"/" + b"a" * 300 + b".tar.gz",
    b"/" + b"%41" * 1000 + b".tar.gz", b"/" + b"a" * 3000 + b".txt",
])  # fmt: skip
_VERSIONS = st.sampled_from([b" HTTP/1.1"] * 8 + [b" HTTP/1.0", b" HTTP/1.2", b" HTTP/2.0", b""])
_FIELDS = st.sampled_from([
    *(b"X-Forwarded-For: " + address.encode()
      for address in (EAST, EAST, WEST, OUTSIDE, ELSEWHERE, CDN)),
    b"X-Forwarded-For: junk", b"X-Forwarded-For:", b"Connection: close", b"Connection: keep-alive",
    b"Connection: x-forwarded-for", b"Connection: Upgrade", b"Upgrade: websocket",
    b"Content-Length: 0", b"Content-Length: 3", b"Content-Length: -1", b"Content-Length: 1, 2",
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip", b"Range: bytes=0-1",
    b"Authorization: Basic x", b"Cookie: a=b", b"User-Agent: a", b"User-Agent: b",
    b"Accept: */*", b"X-No-Redirect: 1", b"Host: other", b"X : y", b" folded", b": nothing",
    b"X: \x00", b"X: \xff", b"X: a\rb", b"X", b"Expect: x", b"X: " + b"v" * 9000, b"TE: trailers",
    b"User-Agent: " + b"u" * 6000, b"User-Agent: " + b'"' * 900, b"User-Agent: " + b"u" * 1700,
    b"Referer: https://r.example/" + b"r" * 3000 + b"?q", b"Range: bytes=" + b"1" * 2000 + b"-",
    b'If-None-Match: "e"', b"Host: dl.example:80", b"Trailer: x", b"HTTP2-Settings: x",
])  # fmt: skip
_ENDS = st.sampled_from([b"\r\n"] * 12 + [b"\n", b"\r", b"\r\r\n"])


@st.composite
def _heads(draw: st.DrawFn) -> bytes:
    """A request head, mostly well-formed, with what the table above can do to it."""
    end = draw(_ENDS)
    line = draw(_METHODS) + b" " + draw(_TARGETS) + draw(_VERSIONS)
    fields = draw(st.lists(_FIELDS, max_size=4))
    if draw(st.integers(0, 9)):
        fields.insert(0, b"Host: dl.example")
    return end.join([line, *fields, b"", draw(st.sampled_from([b""] * 6 + [b"abc", b"0\r\n\r\n"]))])


@st.composite
def _pieces(draw: st.DrawFn) -> list[bytes]:
    """Some heads, or junk, cut anywhere."""
    heads = draw(st.lists(_heads() | st.binary(max_size=30), min_size=1, max_size=3))
    if draw(st.booleans()):
        return heads
    whole = b"".join(heads)
    cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=4)))
    return [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]


_PLAIN = b"GET /a.tar.gz HTTP/1.1\r\nHost: dl.example\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n"
_LONG = _PLAIN[:-2] + b"User-Agent: " + b"u" * 6000 + b"\r\n\r\n"
_STREAM = b"GET /a.txt HTTP/1.1\r\nHost: dl.example\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n"

_OUTSIDE = _PLAIN.replace(b"192.0.2.7", OUTSIDE.encode())
"""For an object that others are redirected for: its answers are kept by no shared cache."""


def same_answers(trio: Trio, pieces: list[bytes]) -> None:
    every, no_relay, plain = trio.answers(pieces)
    assert every == plain
    assert no_relay == plain
    lines, *others = trio.logged()
    assert others == [lines, lines]
    counts, *others_counts = trio.counted()
    assert others_counts == [counts, counts]


@settings(max_examples=50, suppress_health_check=list(HealthCheck))
@given(pieces=_pieces())
@example(pieces=[_PLAIN, _STREAM, _PLAIN])
@example(pieces=[_STREAM, _PLAIN + _STREAM, _PLAIN])
@example(pieces=[_PLAIN[:20], _PLAIN[20:] + _STREAM])
@example(pieces=[_STREAM + b"junk\r\n\r\n"])
@example(pieces=[_LONG, _LONG, _LONG.replace(b".tar.gz", b".txt")])
@example(pieces=[_PLAIN.replace(b"/a", b"/" + b"%41" * 1000), _LONG])
@example(pieces=[_STREAM, _STREAM, b"GET /a.txt HTTP/1.1\r\n\r\n"])
@example(pieces=[_OUTSIDE] * 3)
@example(pieces=[_OUTSIDE.replace(b".gz", b".xz")] * 3)
@example(pieces=[_OUTSIDE.replace(b"\r\n\r\n", b"\r\nRange: bytes=0-1\r\n\r\n")] * 2)
def test_all_lanes_give_the_same_answers(trio: Trio, pieces: list[bytes]) -> None:
    same_answers(trio, pieces)


@pytest.mark.long
@settings(max_examples=3000, suppress_health_check=list(HealthCheck))
@given(pieces=_pieces())
def test_all_lanes_give_the_same_answers_to_many_more(trio: Trio, pieces: list[bytes]) -> None:
    same_answers(trio, pieces)
