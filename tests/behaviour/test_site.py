"""Index documents, passed-on queries, CORS and TLS: what a site can add to an answer."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import pytest

from tests.behaviour.streaming import scripted as behind
from tests.build import EAST, FORWARDED, OUTSIDE, open_bucket, settings
from tests.certificates import client_side, make_certificate
from tests.scripteds3 import Say, ScriptedS3, error, reply
from tests.serving import PATIENCE, Answer, Client, client_at, head_of

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

    from tests.certificates import Tls
    from tests.conftest import LocalS3
    from tests.serving import Serve, Served

FROM = client_at(OUTSIDE)
ORIGIN = "Origin: https://app.example"


def scripted(server: ScriptedS3, *, origin: Any = None, tls: Any = None, **site: Any) -> Any:
    entry = open_bucket(server.endpoint, **(origin or {}))
    return settings(site={"origin": entry, **site}, client_address=FORWARDED, listen={"tls": tls})


@pytest.mark.parametrize(
    ("path", "asked"),
    [("/", "index.html"), ("/docs/", "docs/index.html"), ("/docs", "docs"), ("//", "/index.html")],
)
async def test_a_key_that_ends_in_a_slash_is_its_index(serve: Serve, path: str, asked: str) -> None:
    async with (
        ScriptedS3(Say(reply("200 OK", b"page"))) as server,
        serve(scripted(server, index="index.html")) as served,
    ):
        assert (await served.get(path, FROM)).body == b"page"
        assert server.asked[0].target == f"/downloads/{asked}"


async def test_an_index_is_redirected_like_any_object(serve: Serve) -> None:
    chosen = {"index": "index.html", "redirect": {"paths": ["*"]}}
    async with ScriptedS3() as server, serve(scripted(server, **chosen)) as served:
        answer = await served.get("/docs/", client_at(EAST))
    assert answer.headers["location"].endswith(".com/docs/index.html")


@pytest.mark.parametrize(
    ("head", "host", "action"),
    [
        ("GET /a.tar.gz HTTP/1.1\r\nHost: dl.example", "dl.example", "redirect"),
        ("GET /a.tar.gz HTTP/1.1\r\nHost: b.example:8080", "b.example", "redirect"),
        ("GET /a.tar.gz HTTP/1.1\r\nHost: DL.Example.", "dl.example", "redirect"),
        ("GET http://b.example/a.tar.gz HTTP/1.1\r\nHost: dl.example", "b.example", "redirect"),
        ("HEAD /a.txt HTTP/1.1\r\nHost: dl.example", "dl.example", "stream"),
        ("GET /a.txt HTTP/1.1\r\nHost: dl.example", "dl.example", "stream"),
        ("POST /a.txt HTTP/1.1\r\nHost: dl.example", "dl.example", "refuse"),
        ("GET /../a HTTP/1.1\r\nHost: dl.example", "dl.example", "refuse"),
        ("GET /a.tar.gz HTTP/1.1\r\nHost: evil.example", "other", "refuse"),
        ("GET /a.tar.gz HTTP/1.1\r\nHost: *", "other", "refuse"),
        ("junk\r\nHost: dl.example", "other", "refuse"),
    ],
)
async def test_requests_are_counted_by_the_host_of_the_configuration_that_they_name(
    serve: Serve, head: str, host: str, action: str
) -> None:
    hosts = {"hosts": ["dl.example", "b.example"]}
    async with (
        ScriptedS3(Say(reply("200 OK"))) as server,
        serve(scripted(server, **hosts)) as served,
    ):
        client = await served.connect()
        await client.send(f"{head}\r\n{client_at(EAST)}\r\n\r\n".encode())
        await client.reader.readuntil(b"\r\n\r\n")
        await served.settled()
        counted = served.figures("nearbucket_host_requests_total")
        assert {labels for labels, count in counted.items() if count} == {(host, action)}


async def test_a_site_for_all_hosts_counts_each_of_them_as_other(serve: Serve) -> None:
    async with ScriptedS3() as server, serve(scripted(server)) as served:
        await served.get("/a.tar.gz", client_at(EAST))
        assert served.count("nearbucket_host_requests_total", "other", "redirect") == 1


ALLOWED = {"query": ["response-content-disposition", "versionId"]}
ASKED = "?acl&response-content-type=text/html&versionId=a%20b&response-content-disposition=x%2By"


async def test_only_the_named_arguments_reach_the_origin_and_they_are_streamed(
    serve: Serve,
) -> None:
    async with (
        ScriptedS3(Say(reply("200 OK", b"x"))) as server,
        serve(scripted(server, origin=ALLOWED)) as served,
    ):
        answer = await served.get("/a.tar.gz" + ASKED, client_at(EAST))
        assert server.asked[0].target == (
            "/downloads/a.tar.gz?response-content-disposition=x%2By&versionId=a%20b"
        )
    assert answer.headers["x-nearbucket"] == "stream; region=us-east-1; reason=credentials"


async def test_by_default_no_argument_does(serve: Serve) -> None:
    async with (
        ScriptedS3(Say(reply("200 OK", b"x"))) as server,
        serve(scripted(server)) as served,
    ):
        await served.get("/a.txt" + ASKED, FROM)
        assert server.asked[0].target == "/downloads/a.txt"
        assert (await served.get("/a.tar.gz" + ASKED, client_at(EAST))).status == 301


async def test_a_passed_on_argument_is_signed(serve: Serve, s3: LocalS3) -> None:
    entry = s3.entry(s3.private, query=["response-content-type"]).model_dump()
    chosen = settings(site={"origin": entry}, client_address=FORWARDED)
    async with serve(chosen) as served:
        answer = await served.get("/text.txt?response-content-type=x/y%2Bz", FROM)
    assert (answer.status, answer.headers["content-type"]) == (200, "x/y+z")


async def test_a_version_that_is_a_delete_marker_is_not_there(serve: Serve) -> None:
    marker = error("405 Method Not Allowed", "MethodNotAllowed", "x-amz-delete-marker: true")
    async with (
        ScriptedS3(Say(marker)) as server,
        serve(scripted(server, origin=ALLOWED)) as served,
    ):
        assert (await served.get("/a.txt?versionId=1", FROM)).status == 404


async def test_a_version_that_s3_cannot_read_is_not_there(serve: Serve) -> None:
    said = Say(error("400 Bad Request", "InvalidArgument"))
    async with ScriptedS3(said) as server, serve(scripted(server, origin=ALLOWED)) as served:
        assert (await served.get("/a.txt?versionId=x", FROM)).status == 404


CORS = ("Access-Control-Allow-Origin: https://app.example", "Vary: Origin",
        "Access-Control-Expose-Headers: ETag")  # fmt: skip


def cors_of(answer: Answer) -> dict[str, str]:
    return {
        name: value
        for name, value in answer.headers.items()
        if name.startswith("access-control-") or name == "vary"
    }


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(reply("200 OK", b"x", *CORS), id="200"),
        pytest.param(error("404 Not Found", "NoSuchKey", *CORS), id="404"),
        pytest.param(error("412 Precondition Failed", "PreconditionFailed", *CORS), id="412"),
        pytest.param(error("416 Range Not Satisfiable", "InvalidRange", *CORS), id="416"),
    ],
)
async def test_the_buckets_cors_rules_answer_through_the_proxy(serve: Serve, said: bytes) -> None:
    async with ScriptedS3(Say(said)) as server, serve(scripted(server)) as served:
        answer = await served.get("/a.txt", FROM, ORIGIN)
        assert server.asked[0].headers["origin"] == "https://app.example"
    assert cors_of(answer) == {
        "access-control-allow-origin": "https://app.example",
        "access-control-expose-headers": "ETag",
        "vary": "Origin",
    }


PREFLIGHT = (ORIGIN, "Access-Control-Request-Method: GET",
             "Access-Control-Request-Headers: range")  # fmt: skip


async def test_a_preflight_is_the_buckets_to_answer(serve: Serve) -> None:
    said = reply(
        "200 OK",
        b"",
        *CORS,
        "Access-Control-Allow-Methods: GET",
        "Access-Control-Allow-Headers: range",
        "x-amz-request-id: 1",
    )
    async with ScriptedS3(Say(said)) as server, serve(scripted(server)) as served:
        answer = await served.get("/a.tar.gz", client_at(EAST), *PREFLIGHT, method="OPTIONS")
        asked = server.asked[0]
    assert (asked.method, asked.target) == ("OPTIONS", "/downloads/a.tar.gz")
    assert asked.headers["access-control-request-headers"] == "range"
    assert answer.status == 204
    assert answer.headers["access-control-allow-methods"] == "GET"
    assert answer.headers["access-control-allow-headers"] == "range"
    assert "x-amz-request-id" not in answer.headers


async def test_a_preflight_that_the_bucket_refuses_permits_nothing(serve: Serve) -> None:
    said = Say(error("403 Forbidden", "AccessForbidden"))
    async with ScriptedS3(said) as server, serve(scripted(server)) as served:
        answer = await served.get("/a.txt", FROM, *PREFLIGHT, method="OPTIONS")
    assert (answer.status, cors_of(answer)) == (204, {})


@pytest.mark.parametrize("limit", ["max_streams", "per_client"])
async def test_a_preflight_counts_among_the_streams_while_s3_is_asked(
    serve: Serve, limit: str
) -> None:
    silent, said = Say(b"", "hang"), Say(reply("200 OK", b"", *CORS))
    async with (
        ScriptedS3(silent, said) as server,
        serve(behind(server, limits={limit: 1})) as served,
    ):
        waiting = await served.connect()
        await waiting.send(head_of("/a.txt", FROM, *PREFLIGHT, method="OPTIONS"))
        await server.arrived.wait()
        too_many = await served.get("/a.txt", FROM, *PREFLIGHT, method="OPTIONS")
        assert (too_many.status, cors_of(too_many), len(server.asked)) == (204, {}, 1)
        waiting.reset()
        await server.left.wait()
        answer = await served.get("/a.txt", FROM, *PREFLIGHT, method="OPTIONS")
        assert (answer.status, bool(cors_of(answer))) == (204, True)


async def test_an_options_that_is_no_preflight_asks_nobody(serve: Serve) -> None:
    async with ScriptedS3() as server, serve(scripted(server)) as served:
        answer = await served.get("/a.txt", FROM, ORIGIN, method="OPTIONS")
        assert server.asked == []
    assert (answer.status, answer.headers["allow"]) == (204, "GET, HEAD, OPTIONS")


async def test_a_browser_may_follow_a_redirect_across_origins(serve: Serve) -> None:
    async with ScriptedS3() as server, serve(scripted(server)) as served:
        browser = await served.get("/a.tar.gz", client_at(EAST), ORIGIN)
        other = await served.get("/a.tar.gz", client_at(EAST))
    assert browser.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-origin" not in other.headers


async def over_tls(served: Served, tls: Tls, name: str) -> Client:
    """A connection that trusts just this certificate, for this name."""
    context = client_side(tls)
    context.set_alpn_protocols(["h2", "http/1.1"])
    return Client(
        *await asyncio.open_connection("127.0.0.1", served.port, ssl=context, server_hostname=name)
    )


async def test_tls_serves_both_lanes_speaks_http_1_1_and_takes_new_certificates(
    serve: Serve, tmp_path: Path
) -> None:
    tls = make_certificate(tmp_path, "one.example")
    async with (
        ScriptedS3(Say(reply("200 OK", b"x" * 300_000))) as server,
        serve(given := scripted(server, tls=tls)) as served,
    ):
        first = await over_tls(served, tls, "one.example")
        negotiated = first.writer.get_extra_info("ssl_object").selected_alpn_protocol()
        assert negotiated == "http/1.1"
        assert (await first.get("/a.tar.gz", client_at(EAST))).status == 301
        assert (await first.get("/a.txt", FROM)).body == b"x" * 300_000
        make_certificate(tmp_path, "two.example")
        served.reload(given)
        second = await over_tls(served, tls, "two.example")
        assert (await second.get("/a.tar.gz", client_at(EAST))).status == 301
        assert (await first.get("/a.tar.gz", client_at(EAST))).status == 301
        for client in (first, second):
            await client.close()


async def test_a_tls_client_that_does_not_let_go_holds_up_no_drain(
    serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tls = make_certificate(tmp_path, "one.example")
    async with ScriptedS3() as server, serve(scripted(server, tls=tls)) as served:
        sock = await asyncio.to_thread(blocking_get, served.port, client_side(tls))
        await served.drain()
        assert "drain_timeout is over" not in caplog.text
        assert served.open_connections() == 0
        sock.close()


async def test_a_tls_handshake_in_progress_at_the_drain_is_completed_and_its_request_answered(
    serve: Serve, tmp_path: Path
) -> None:
    tls = make_certificate(tmp_path, "one.example")
    async with ScriptedS3() as server, serve(scripted(server, tls=tls)) as served:
        plain = await asyncio.to_thread(socket.create_connection, ("127.0.0.1", served.port), 5)
        draining = asyncio.create_task(served.drain())
        async with asyncio.timeout(PATIENCE):
            while await accepts(served.port):  # noqa: ASYNC110  # another process would see it
                await asyncio.sleep(0.05)
        assert not draining.done()
        answer = await asyncio.to_thread(get_over, plain, client_side(tls))
        assert answer.startswith(b"HTTP/1.1 301")
        assert b"Connection: close" in answer
        await draining


async def accepts(port: int) -> bool:
    try:
        async with asyncio.timeout(0.2):  # a socket that closes ignores new connections first
            _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return False
    except TimeoutError:
        return True
    writer.close()
    return True


def get_over(plain: socket.socket, context: ssl.SSLContext) -> bytes:
    """The answer of a client that begins its handshake now."""
    with context.wrap_socket(plain, server_hostname="one.example") as sock:
        sock.sendall(head_of("/a.tar.gz", client_at(EAST)))
        return sock.recv(4096)


def blocking_get(port: int, context: ssl.SSLContext) -> ssl.SSLSocket:
    """One answered request on a connection that is then left alone, as a pool does."""
    plain = socket.create_connection(("127.0.0.1", port), PATIENCE)
    sock = context.wrap_socket(plain, server_hostname="one.example")
    sock.sendall(head_of("/a.tar.gz", client_at(EAST)))
    assert sock.recv(4096).startswith(b"HTTP/1.1 301")
    return sock


async def test_plain_http_on_the_tls_port_gets_nothing(serve: Serve, tmp_path: Path) -> None:
    tls = make_certificate(tmp_path, "one.example")
    async with ScriptedS3() as server, serve(scripted(server, tls=tls)) as served:
        client = await (await served.connect()).send(head_of("/a.tar.gz", client_at(EAST)))
        assert not (await client.rest()).startswith(b"HTTP/1.1 301")
