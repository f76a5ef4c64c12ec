"""What a redirected or refused client sees, whichever lane answers."""

from __future__ import annotations

import socket
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.bucketserver import BucketServer, until
from tests.build import EAST, ELSEWHERE, FORWARDED, OUTSIDE, WEST, open_bucket, settings
from tests.serving import client_at, head_of

if TYPE_CHECKING:
    from tests.serving import Serve

NO_ORIGIN = open_bucket("http://127.0.0.1:9")


HEAD_TOO = {"head": "redirect"}


def chosen(**site: Any) -> Any:
    return settings(site={"origin": NO_ORIGIN, **site}, client_address=FORWARDED)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("address", "bucket"),
    [(EAST, "downloads.s3.us-east-1"), (WEST, "us-west-2-downloads.s3.us-west-2")],
)
async def test_a_client_in_a_target_region_is_redirected(
    serve: Serve, method: str, address: str, bucket: str
) -> None:
    async with serve(chosen(redirect=HEAD_TOO)) as served:
        answer = await served.get("/d/a+b.tar.gz", client_at(address), method=method)
    region = bucket.rpartition(".")[2]
    assert answer.status == 301
    assert answer.headers["location"] == f"https://{bucket}.amazonaws.com/d/a%2Bb.tar.gz"
    assert answer.headers["cache-control"] == "private, no-store"
    assert answer.headers["server"] == "nearbucket"
    assert answer.headers["x-nearbucket"] == f"redirect; region={region}; reason=in-region"
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert parsedate_to_datetime(answer.headers["date"])
    assert int(answer.headers["content-length"]) > 0
    if method == "GET":
        assert answer.headers["location"].encode() in answer.body
        assert b"-L" in answer.body


async def test_get_and_head_agree_on_every_field(serve: Serve) -> None:
    async with serve(chosen(redirect=HEAD_TOO)) as served:
        get = await served.get("/a.tar.gz", client_at(EAST))
        head = await served.get("/a.tar.gz", client_at(EAST), method="HEAD")
    assert get.comparable().headers == head.comparable().headers


async def test_a_head_is_answered_with_the_objects_fields_and_the_get_after_it_redirected(
    serve: Serve,
) -> None:
    """Clients that resolve a URL with HEAD: pip's fast-deps, poetry, download managers."""
    async with BucketServer(**{"a.tar.gz": b"the object"}) as origin:
        site = {"origin": origin.entry(), "redirect": {"scheme": "http"},
                "targets": {"us-east-1": origin.entry()}}  # fmt: skip
        async with serve(chosen(**site)) as served:
            head = await served.get("/a.tar.gz", client_at(EAST), method="HEAD")
            get = await served.get("/a.tar.gz", client_at(EAST))
            assert served.count("nearbucket_bypasses_total", "*", "us-east-1", "head") == 1
        assert (head.status, head.headers["content-length"]) == (200, "10")
        assert head.headers["x-nearbucket"] == "stream; region=us-east-1; reason=head"
        assert "location" not in head.headers
        assert get.status == 301
        assert origin.asked == {("HEAD", "a.tar.gz"): 1}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_the_status_is_the_configured_one(serve: Serve, status: int) -> None:
    async with serve(chosen(redirect={"status": status})) as served:
        assert (await served.get("/a.tar.gz", client_at(EAST))).status == status


async def test_a_connection_serves_many_clients_in_turn(serve: Serve) -> None:
    async with serve(chosen()) as served:
        client = await served.connect()
        for address in (EAST, WEST, EAST) * 5:
            answer = await client.get("/a.tar.gz", client_at(address))
            assert ("us-west-2" in answer.headers["location"]) is (address == WEST)
        assert served.count("nearbucket_redirects_total", "*", "us-east-1") == 10
        assert served.count("nearbucket_redirects_total", "*", "us-west-2") == 5
        assert served.open_connections() == 1


async def test_connection_close_is_obeyed(serve: Serve) -> None:
    async with serve(chosen()) as served:
        client = await served.connect()
        answer = await client.get("/a.tar.gz", client_at(EAST), "Connection: close")
        assert answer.headers["connection"] == "close"
        assert await client.rest() == b""


@pytest.mark.parametrize(
    ("target", "method", "status", "reason"),
    [
        ("/a.tar.gz", "POST", 405, "method"),
        ("/a.tar.gz", "PUT", 405, "method"),
        ("/a.tar.gz", "DELETE", 405, "method"),
        ("/a.tar.gz", "TRACE", 405, "method"),
        ("/a.tar.gz", "OPTIONS", 204, "method"),
        ("*", "OPTIONS", 204, "method"),
        ("/../a.tar.gz", "GET", 400, "path-invalid"),
        ("/%2e%2e%2fa.tar.gz", "GET", 400, "path-invalid"),
        ("/%00", "GET", 400, "path-invalid"),
        ("/%0d%0aX:%20y", "GET", 400, "path-invalid"),
        ("/a%5cb", "GET", 400, "path-invalid"),
        ("/" + "a" * 1025, "GET", 400, "path-invalid"),
    ],
)
async def test_a_refusal_says_why(
    serve: Serve, target: str, method: str, status: int, reason: str
) -> None:
    async with serve(chosen()) as served:
        answer = await served.get(target, client_at(EAST), method=method)
        assert served.count("nearbucket_refusals_total", reason) == 1
    assert answer.status == status
    assert answer.headers["x-nearbucket"] == f"refuse; region=UNKNOWN; reason={reason}"
    assert answer.headers["server"] == "nearbucket"
    assert ("allow" in answer.headers) is (reason == "method")
    assert "location" not in answer.headers


async def test_an_unknown_host_is_misdirected(serve: Serve) -> None:
    async with serve(chosen(hosts=["other.example"])) as served:
        answer = await served.get("/a.tar.gz", client_at(EAST))
    assert answer.status == 421
    assert answer.headers["x-nearbucket"].endswith("reason=host")


async def test_a_wrong_secret_is_refused_and_an_absent_one_is_not(serve: Serve) -> None:
    with_secret = settings(
        site={"origin": NO_ORIGIN},
        client_address={**FORWARDED, "origin_secret": {"values": ["right"]}},
    )
    async with serve(with_secret) as served:
        wrong = await served.get("/a.tar.gz", client_at(EAST), "X-Origin-Verify: wrong")
        right = await served.get("/a.tar.gz", client_at(EAST), "X-Origin-Verify: right")
        absent = await served.get("/a.tar.gz", client_at(EAST))
    assert (wrong.status, right.status) == (403, 301)
    assert absent.headers["x-nearbucket"] == "stream; region=UNKNOWN; reason=client-unknown"


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /a HTTP/1.1\r\n\r\n", 400),
        (b"GET /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
         400),
        (b"junk\r\n\r\n", 400),
    ],
    ids=["no host", "two hosts", "length and chunked", "junk"],
)  # fmt: skip
async def test_what_is_no_request_is_answered_400_and_closed(
    serve: Serve, head: bytes, status: int
) -> None:
    async with serve(chosen()) as served:
        client = await (await served.connect()).send(head)
        answer = await client.answer()
        assert await client.rest() == b""
        assert served.count("nearbucket_refusals_total", "bad-request") == 1
    assert answer.status == status
    assert answer.headers["connection"] == "close"
    assert answer.headers["x-nearbucket"] == "refuse; region=UNKNOWN; reason=bad-request"


async def test_pipelined_requests_are_answered_in_order(serve: Serve) -> None:
    heads = [head_of(f"/{number}.tar.gz", client_at(EAST)) for number in range(5)]
    async with serve(chosen()) as served:
        client = await (await served.connect()).send(b"".join(heads))
        for number in range(5):
            assert (await client.answer()).headers["location"].endswith(f"/{number}.tar.gz")


async def test_a_head_in_pieces_is_answered_as_one(serve: Serve) -> None:
    head = head_of("/a.tar.gz", client_at(EAST))
    async with serve(chosen()) as served:
        client = await (await served.connect()).send(*(bytes([byte]) for byte in head))
        assert (await client.answer()).status == 301


async def test_a_half_closed_client_gets_its_answer(serve: Serve) -> None:
    async with serve(chosen()) as served:
        client = await served.connect()
        client.writer.write(head_of("/a.tar.gz", client_at(EAST)))
        client.writer.write_eof()
        assert (await client.answer()).status == 301
        assert await client.rest() == b""


async def test_an_origin_that_cannot_be_reached_is_a_502_with_retry_after(serve: Serve) -> None:
    async with serve(chosen()) as served:
        answer = await served.get("/a.tar.gz", client_at(OUTSIDE))
    assert answer.status == 502
    assert int(answer.headers["retry-after"]) > 0
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-nearbucket"] == "stream; region=UNKNOWN; reason=outside-aws"


async def test_the_labels_hold_target_regions_and_two_words(serve: Serve) -> None:
    async with serve(chosen()) as served:
        for address in (OUTSIDE, ELSEWHERE):
            await served.get("/a.tar.gz", client_at(address))
        await served.get("/readme.txt", client_at(EAST))
        figures = served.figures("nearbucket_bypasses_total")
        assert {labels: value for labels, value in figures.items() if value} == {
            ("*", "outside", "outside-aws"): 1,
            ("*", "other-aws", "no-target"): 1,
            ("*", "us-east-1", "path"): 1,
        }


async def test_the_series_do_not_grow_with_what_clients_send(serve: Serve) -> None:
    async with serve(chosen()) as served:
        client = await served.connect()
        await client.get("/a.tar.gz", client_at(EAST))
        before = served.series()
        for number in range(200):
            await client.get(f"/{number}.tar.gz?q={number}", client_at(EAST), f"X-{number}: 1")
        assert served.series() == before


async def test_over_the_limit_of_connections_a_client_is_told_503(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    limited = settings(
        site={"origin": NO_ORIGIN}, client_address=FORWARDED, limits={"max_connections": 1}
    )
    async with serve(limited) as served:
        first = await served.connect()
        assert (await first.get("/a.tar.gz", client_at(EAST))).status == 301
        second = await served.connect()
        assert (await second.answer()).status == 503
        assert await second.rest() == b""
        assert "1 connections are open, this worker's part of limits.max_conn" in caplog.text
        assert (await first.get("/a.tar.gz", client_at(EAST))).status == 301


async def test_a_head_that_does_not_arrive_and_an_idle_connection_are_closed(
    serve: Serve,
) -> None:
    async with serve(chosen()) as served:
        idle, slow, used = [await served.connect() for _ in range(3)]
        await slow.send(b"GET /a.tar.gz HTT")
        await used.get("/a.tar.gz", client_at(EAST))
        await until(lambda: (served.open_connections(), served.begun_heads()) == (3, 1))
        served.pass_time(11)
        assert await slow.rest() == b""
        assert (await used.get("/a.tar.gz", client_at(EAST))).status == 301
        served.pass_time(189)
        assert await idle.rest() == b""
        assert await used.rest() == b""


async def test_a_head_that_was_begun_behind_a_request_has_no_longer_to_arrive(
    serve: Serve,
) -> None:
    request = head_of("/a.tar.gz", client_at(EAST))
    async with serve(chosen()) as served:
        client = await (await served.connect()).send(request + request[:20])
        assert (await client.answer()).status == 301
        served.pass_time(11)
        assert await client.rest() == b""


async def test_a_connection_whose_request_had_a_body_is_idle_afterwards(serve: Serve) -> None:
    async with serve(chosen()) as served:
        client = await served.connect()
        await client.send(head_of("/a", "Content-Length: 3", method="POST"), b"abc")
        assert (await client.answer()).status == 405
        served.pass_time(11)
        assert (await client.get("/a.tar.gz", client_at(EAST))).status == 301


async def test_the_reason_header_can_be_turned_off(serve: Serve) -> None:
    quiet = settings(
        site={"origin": NO_ORIGIN}, client_address=FORWARDED, log={"reason_header": False}
    )
    async with serve(quiet) as served:
        for target in ("/a.tar.gz", "/%00"):
            assert "x-nearbucket" not in (await served.get(target, client_at(EAST))).headers


async def test_a_client_that_is_gone_leaves_nothing_behind(serve: Serve) -> None:
    async with serve(chosen()) as served:
        for _ in range(20):
            client = await served.connect()
            sock = client.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            await client.send(head_of("/a.tar.gz", client_at(OUTSIDE)))
            client.writer.transport.abort()
        assert (await served.get("/a.tar.gz", client_at(EAST))).status == 301
        await served.settled()
        assert served.streams() == 0
