"""What hostile and odd bytes get: their answer, their connection's end, and nothing at S3.

The rows are those of ``vectors``.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Self

import pytest

from tests.behaviour.vectors import (
    BAD_TARGETS,
    BUCKET,
    DECLINED,
    EVIL,
    REFUSED,
    SERVED,
    TAR,
    TARGETS,
    UPGRADE,
    chunked,
    fields,
    in_groups,
    naming,
)
from tests.build import open_bucket, settings
from tests.serving import PATIENCE, head_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tests.behaviour.vectors import Vector
    from tests.serving import Answer, Client, Serve, Served

ONLY_OURS = {b"host", b"accept-encoding", b"user-agent", b"via", b"accept", b"range"}


class Recorder:
    """An origin that has every object, and remembers each request head as it came."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_failure: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # not in _serve: a task that is cancelled before its first step has no end
        task.add_done_callback(lambda _task: writer.close())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.heads.append(head)
                body = b"" if head.startswith(b"HEAD ") else b"object"
                writer.write(b'HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: 6\r\n\r\n' + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass

    def asked(self) -> list[bytes]:
        """Method and target of each request, once its fields are seen to be ours alone."""
        lines = []
        for head in self.heads:
            line, *fields = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
            names = {field.partition(b":")[0].lower() for field in fields}
            assert names <= ONLY_OURS
            assert b"evil" not in b"\n".join(fields).lower()
            assert f"host: 127.0.0.1:{self.port}".encode() in [one.lower() for one in fields]
            assert re.fullmatch(rb"(GET|HEAD) /downloads/[A-Za-z0-9_.~/%-]* HTTP/1\.1", line)
            lines.append(line.removesuffix(b" HTTP/1.1"))
        return lines


@asynccontextmanager
async def recorded(serve: Serve, **more: Any) -> AsyncIterator[tuple[Served, Recorder]]:
    """A worker for the host dl.example alone; loopback counts as us-east-1."""
    async with Recorder() as origin:
        entry = open_bucket(f"http://127.0.0.1:{origin.port}")
        chosen = settings(
            site={"hosts": ["dl.example"], "origin": entry},
            regions={"overrides": {"127.0.0.0/8": "us-east-1"}},
        )
        async with serve(chosen, **more) as served:
            yield served, origin


@pytest.mark.parametrize("rows", in_groups(REFUSED + DECLINED + SERVED))
async def test_a_vector_gets_its_answer_and_the_origin_its_part(
    serve: Serve, rows: Sequence[Any]
) -> None:
    async with recorded(serve) as (served, origin):
        for row in rows:
            with naming(row):
                await _gets_its_answer(served, origin, *row.values)


async def _gets_its_answer(served: Served, origin: Recorder, vector: Vector) -> None:
    origin.heads.clear()
    client = await (await served.connect()).send(vector.raw)
    for status in vector.statuses:
        answer = await _ours(client, head=vector.raw.startswith(b"HEAD"))
        assert answer.status == status
    await _ends(client, closes=vector.closes)
    assert tuple(origin.asked()) == vector.asked


@pytest.mark.parametrize("rows", in_groups(REFUSED))
async def test_nothing_behind_a_refused_request_is_answered(
    serve: Serve, rows: Sequence[Any]
) -> None:
    async with recorded(serve) as (served, origin):
        for row in rows:
            with naming(row):
                (vector,) = row.values
                client = await (await served.connect()).send(vector.raw + EVIL + EVIL)
                answer = await _ours(client)
                assert (answer.status,) == vector.statuses
                await _ends(client, closes=True)
                assert origin.asked() == []


def get(target: bytes) -> bytes:
    """A request for a target."""
    return fields(line=b"GET " + target + b" HTTP/1.1")


@pytest.mark.parametrize("rows", in_groups(TARGETS))
async def test_an_odd_target_is_one_key_of_the_configured_bucket(
    serve: Serve, rows: Sequence[Any]
) -> None:
    async with recorded(serve) as (served, origin):
        for row in rows:
            with naming(row):
                await _is_one_key(served, origin, *row.values)


async def _is_one_key(served: Served, origin: Recorder, target: bytes, key: str) -> None:
    query = b"?evil=//evil.example%0d%0aEvil:%201"
    origin.heads.clear()
    client = await (await served.connect()).send(get(target + b".tar.gz" + query))
    answer = await _ours(client)
    assert answer.status == 301
    assert answer.headers["location"] == f"{BUCKET}{key}.tar.gz"
    assert origin.asked() == []
    await client.send(get(target + b".txt" + query))
    assert (await _ours(client)).status == 200
    assert origin.asked() == [f"GET /downloads/{key}.txt".encode()]
    await _ends(client, closes=False)


@pytest.mark.parametrize("end", [b".tar.gz", b".txt"], ids=["to a redirect", "to a stream"])
@pytest.mark.parametrize("rows", in_groups(BAD_TARGETS))
async def test_a_target_that_is_no_one_key_is_a_400_and_the_connection_goes_on(
    serve: Serve, rows: Sequence[Any], end: bytes
) -> None:
    async with recorded(serve) as (served, origin):
        for row in rows:
            with naming(row):
                (target,) = row.values
                client = await (await served.connect()).send(get(target + end))
                answer = await _ours(client)
                assert answer.status == 400
                said = answer.headers["x-nearbucket"]
                assert said == "refuse; region=UNKNOWN; reason=path-invalid"
                await _ends(client, closes=False)
                assert origin.asked() == []


@pytest.mark.parametrize(
    ("head", "status"),
    [
        pytest.param(fields(b"Content-Length: 44"), 200, id="length"),
        pytest.param(fields(b"Content-Length: 44", line=TAR), 301, id="length to a redirect"),
        pytest.param(fields(b"Content-Length: 44", b"Expect: 100-continue"), 200, id="expected"),
        pytest.param(fields(b"Content-Length: 44", b"Expect: evil"), 417, id="expected in vain"),
        pytest.param(
            fields(b"Content-Length: 44", line=b"POST /a.txt HTTP/1.1"), 405, id="to POST"
        ),
    ],
)
async def test_a_body_is_not_waited_for_and_never_taken_for_a_request(
    serve: Serve, head: bytes, status: int
) -> None:
    async with recorded(serve) as (served, origin):
        client = await (await served.connect()).send(head)
        assert (await _ours(client)).status == status
        await client.send(EVIL)
        await _ends(client, closes=False)
        assert b"GET /downloads/evil.txt" not in origin.asked()


@pytest.mark.parametrize("start", [b"HEAD / HTTP/1.1\r\n", b"FOO / HTTP/1.1\r\n"])
@pytest.mark.parametrize("apart", [False, True], ids=["in one chunk", "apart"])
async def test_a_body_does_not_decide_the_answer_to_what_is_behind_it(
    serve: Serve, start: bytes, *, apart: bool
) -> None:
    head = fields(b"Content-Length: %d" % len(start), line=b"POST /a.txt HTTP/1.1")
    async with recorded(serve) as (served, _):
        client = await (await served.connect()).send(head)
        assert (await _ours(client)).status == 405
        for chunk in (start, b"e vil\r\n\r\n") if apart else (start + b"e vil\r\n\r\n",):
            await client.send(chunk)
        answer = await client.rest()
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert answer.partition(b"\r\n\r\n")[2] != b""


@pytest.mark.parametrize("line", [b"GET /a.txt HTTP/1.1", TAR, b"POST /a.txt HTTP/1.1"])
async def test_nothing_behind_a_body_that_turns_bad_is_answered(serve: Serve, line: bytes) -> None:
    async with recorded(serve) as (served, origin):
        client = await (await served.connect()).send(chunked(b"", line))
        await _ours(client)
        await client.send(b"zz\r\n" + EVIL)
        client.writer.write_eof()
        assert await client.rest() == b""
        assert b"GET /downloads/evil.txt" not in origin.asked()


@pytest.mark.parametrize("upgrade", [b"Upgrade: websocket", b"Upgrade: h2c", b"Upgrade: evil"])
async def test_no_request_is_skipped_behind_one_that_asks_for_an_upgrade(
    serve: Serve, upgrade: bytes
) -> None:
    """A skipped request would give its successor's answer to the wrong one."""
    async with recorded(serve) as (served, _):
        client = await (await served.connect()).send(fields(UPGRADE, upgrade) + get(b"/2.tar.gz"))
        assert (await _ours(client)).status == 200
        client.writer.write(get(b"/3.tar.gz"))
        rest = await _until_closed(client)
        assert rest == b"" or b"/2.tar.gz\r\n" in rest.partition(b"\r\n\r\n")[0]


TRAILERS = (
    b"Host: dl.example", b"Range: bytes=0-0", b"Authorization: evil", b"Expect: evil",
    b"X-No-Redirect: 1", b"Connection: close", b"X-Forwarded-For: 192.0.2.7",
)  # fmt: skip


@pytest.mark.parametrize("apart", [False, True], ids=["in one chunk", "apart"])
@pytest.mark.parametrize("method", [b"GET", b"POST"])
async def test_a_trailer_is_no_field_of_the_request_behind_it(
    serve: Serve, method: bytes, *, apart: bool
) -> None:
    """Else a CDN that shares its connections would add it to another client's request."""
    second = get(b"/3.tar.gz")
    async with recorded(serve) as (served, _):
        for trailer in TRAILERS:
            first = chunked(b"0\r\n" + trailer + b"\r\n\r\n", method + b" /a.txt HTTP/1.1")
            client = await (await served.connect()).send(first if apart else first + second)
            await _ours(client)
            if apart:
                client.writer.write(second)
            rest = await _until_closed(client)
            assert rest == b"" or rest.startswith(b"HTTP/1.1 301 "), trailer


@pytest.mark.parametrize("version", [b" HTTP/0.9", b" HTTP/2.0", b"", b" HTTP/1.2"])
async def test_an_answer_names_our_version_whatever_the_request_does(
    serve: Serve, version: bytes
) -> None:
    async with recorded(serve) as (served, _):
        client = await (await served.connect()).send(fields(line=b"GET /a.tar.gz" + version))
        assert (await client.rest()).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("in_one_chunk", [True, False])
async def test_what_comes_before_a_broken_request_is_answered_and_nothing_behind_it(
    serve: Serve, *, in_one_chunk: bool
) -> None:
    first, rest = get(b"/a.txt"), b"evil\r\n\r\n" + EVIL
    async with recorded(serve) as (served, origin):
        client = await (await served.connect()).send(first + rest if in_one_chunk else first)
        assert (await _ours(client)).status == 200
        if not in_one_chunk:
            await client.send(rest)
        assert (await _ours(client)).status == 400
        await _ends(client, closes=True)
        assert origin.asked() == [b"GET /downloads/a.txt"]


@pytest.mark.parametrize(
    ("raw", "statuses"),
    [
        pytest.param(get(b"/a.tar.gz"), [301], id="redirect"),
        pytest.param(get(b"/a.txt"), [200], id="stream"),
        pytest.param(get(b"/a.tar.gz") + get(b"/a.txt"), [301, 200], id="pipelined"),
        pytest.param(get(b"/../a"), [400], id="bad path"),
        pytest.param(fields(b"Content-Length: 44", body=EVIL[:9]), [200], id="half a body"),
        pytest.param(get(b"/a.tar.gz")[:-2], [], id="half a head"),
        pytest.param(get(b"/a.tar.gz") + b"GET /ev", [301], id="one and a half"),
        pytest.param(b"", [], id="nothing"),
    ],
)
async def test_a_half_closed_client_gets_what_it_asked_for_in_whole(
    serve: Serve, raw: bytes, statuses: list[int]
) -> None:
    async with recorded(serve) as (served, origin):
        client = await served.connect()
        client.writer.write(raw)
        client.writer.write_eof()
        for status in statuses:
            assert (await _ours(client)).status == status
        await _ends(client, closes=True)
        assert len(origin.asked()) == statuses.count(200)


async def _ours(client: Client, *, head: bool = False) -> Answer:
    """The next answer, which shows nothing of the client's and sends it nowhere else."""
    answer = await client.answer(head=head)
    others = {name: value for name, value in answer.headers.items() if name != "location"}
    assert "evil" not in str(others).lower()
    assert answer.headers["server"] == "nearbucket"
    location = answer.headers.get("location", BUCKET)
    assert location.startswith(BUCKET)
    assert location.isascii()
    assert location.isprintable()
    if answer.status >= 400:
        assert b"evil" not in answer.body.lower()
        assert answer.headers["cache-control"] == "no-store"
    if answer.status == 405:
        assert answer.headers["allow"] == "GET, HEAD, OPTIONS"
    return answer


async def _ends(client: Client, *, closes: bool) -> None:
    """The connection is closed without another byte, or its next request is right."""
    if closes:
        assert await asyncio.wait_for(client.reader.read(), PATIENCE) == b""
        return
    await client.send(head_of("/probe.tar.gz", "Connection: close"))
    probe = await _ours(client)
    assert probe.status == 301
    assert probe.headers["location"] == f"{BUCKET}probe.tar.gz"
    assert await asyncio.wait_for(client.reader.read(), PATIENCE) == b""


async def _until_closed(client: Client) -> bytes:
    """What comes until the server closes, or until the answer to ``/3.tar.gz`` is there."""
    rest = b""
    while not rest.endswith(b"/3.tar.gz\nTo follow redirects with curl, add -L.\n"):
        try:
            more = await asyncio.wait_for(client.reader.read(65536), PATIENCE)
        except ConnectionError:
            break
        if not more:
            break
        rest += more
    return rest
