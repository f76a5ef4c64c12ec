"""Which entries the decision cache makes, how many, and which of them it finds."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import pytest

from bench.lib.heads import varied
from nearbucket.frontend import decision_cache
from nearbucket.frontend.cached_decision import ClientEntry, ObjectEntry
from nearbucket.frontend.decision_cache import DecisionCache
from nearbucket.policy.model import Action, Reason, Refuse
from nearbucket.telemetry.metrics import Counters
from tests.build import EAST, OUTSIDE

if TYPE_CHECKING:
    from tests.frontend.socketless_lane import Serve

ARCHIVE, PAGE = b"GET /a.tar.gz HTTP/1.1", b"GET /a.txt HTTP/1.1"
OBJECT = ObjectEntry(key="a", path=b"", head=False, log_part=(), mark=0, size=0, until=inf)


def client(reason: Reason = Reason.IN_REGION) -> ClientEntry:
    """A client's entry; by default of one that is redirected."""
    return ClientEntry(
        client=None,
        headers={},
        site="*",
        region="us-east-1" if reason is Reason.IN_REGION else None,
        action=Action.REDIRECT if reason is Reason.IN_REGION else Action.STREAM,
        reason=reason,
        text=None,
        network=b"",
        range=None,
        range_mark=0,
        streamable=True,
        keep_alive=True,
        log_part=(),
        own_fields=b"",
        asker=0,
        part=0,
        recent_redirects=None,
        free_until=inf,
        counters=Counters().decision_counters(Refuse(405, Reason.METHOD)),
    )


def put(cache: DecisionCache, peer: str, line: bytes, entry: ClientEntry) -> None:
    """Cache a decision on one request."""
    head = (line, ())
    cache.put(peer, head, (entry, OBJECT), cache.get_client(peer, head, request(line)))


def found(cache: DecisionCache, peer: str, line: bytes) -> ClientEntry | None:
    """The client's entry that is found for a request."""
    known = cache.get_client(peer, (line, ()), request(line))
    decision = None if known is None else known.decision(line, 0.0)
    return None if decision is None else decision[0]


def request(line: bytes) -> bytes:
    """The bytes of a request."""
    return line + b"\r\nHost: b\r\n\r\n"


def test_an_object_that_two_clients_got_is_found_for_a_third() -> None:
    cache, third = DecisionCache(), client()
    put(cache, "first", ARCHIVE, client())
    put(cache, "second", ARCHIVE, client())
    for other in (b"GET /b.tar.gz HTTP/1.1", b"GET /c.tar.gz HTTP/1.1"):
        put(cache, "third", other, third)
    assert found(cache, "third", ARCHIVE) is third


def test_that_an_object_matches_no_pattern_is_found_once_the_client_got_such_a_one() -> None:
    cache, redirected, streamed = DecisionCache(), client(), client(Reason.PATH)
    for _ in range(2):
        put(cache, "first", ARCHIVE, redirected)
        put(cache, "second", PAGE, client(Reason.PATH))
    assert found(cache, "first", PAGE) is None
    put(cache, "first", b"GET /b.txt HTTP/1.1", streamed)
    assert found(cache, "first", PAGE) is streamed
    assert found(cache, "first", ARCHIVE) is redirected


def test_a_request_is_looked_for_until_too_many_in_a_row_were_not_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(decision_cache, "_ALL_DIFFER", 8)
    cache, entry = DecisionCache(), client()
    for _ in range(3):  # once noted, once for the client's entry, once for its header section
        put(cache, "first", ARCHIVE, entry)
        found(cache, "first", ARCHIVE)
    for _ in range(8):
        assert cache.get("second", request(ARCHIVE), 0.0) is None
    assert cache.get("first", request(ARCHIVE), 0.0) == (entry, OBJECT)


def test_what_comes_once_is_not_kept_and_what_came_before_the_cache_was_emptied_is(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving = serve()
    cache = serving.context.decision_cache
    head = f"GET /a.tar.gz HTTP/1.1\r\nHost: b\r\nX-Forwarded-For: {EAST}\r\n\r\n".encode()
    first = serving.answer(head)
    assert not cache._clients
    assert not any(cache._objects.values())
    cache.clear()
    serving.answer(head)
    monkeypatch.setattr(type(serving.context.decider.engine), "decide", None)
    assert serving.answer(head) == first


def test_a_line_of_the_log_is_kept_only_for_an_object_that_came_before(serve: Serve) -> None:
    serving = serve("json")

    def ask(path: str) -> None:
        serving.answer(
            f"GET {path} HTTP/1.1\r\nHost: b\r\nX-Forwarded-For: {EAST}\r\n\r\n".encode()
        )

    for _ in range(3):
        ask("/a.tar.gz")
    (known,) = serving.context.decision_cache._clients.values()
    kept = known.entry.last_line
    assert kept is not None
    ask("/b.tar.gz")
    assert known.entry.last_line is kept
    ask("/b.tar.gz")
    assert known.entry.last_line is not kept


def test_what_came_once_is_forgotten_in_the_end(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nearbucket.frontend.decision_cache._MOST_MARKED", 8)
    serving = serve()
    cache = serving.context.decision_cache
    for number in range(50):
        head = f"GET /{number}.tar.gz HTTP/1.1\r\nHost: b\r\nX-Forwarded-For: {EAST}\r\n\r\n"
        assert b"301" in serving.answer(head.encode())
        assert cache._marked <= 8
        assert sum(byte.bit_count() for byte in cache._seen) == cache._marked


def test_requests_are_looked_for_again_when_one_comes_again(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nearbucket.frontend.decision_cache._ALL_DIFFER", 8)
    serving = serve()
    fields = f"Host: b\r\nX-Forwarded-For: {EAST}"
    for number in range(50):
        head = f"GET /a.tar.gz HTTP/1.1\r\n{fields}\r\nX-Amz-Cf-Id: {number}\r\n\r\n"
        assert b"301" in serving.answer(head.encode())
    head = f"GET /a.tar.gz HTTP/1.1\r\n{fields}\r\n\r\n"
    answers = {serving.answer(head.encode()) for _ in range(40)}
    monkeypatch.setattr(serving.context, "parser", None)
    assert {serving.answer(head.encode()) for _ in range(20)} == answers


@pytest.mark.parametrize("client", [EAST, OUTSIDE])
def test_a_header_section_that_came_before_is_not_parsed(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, client: str
) -> None:
    serving = serve()
    heads = [
        f"GET /{key}.tar.gz HTTP/1.1\r\nHost: b\r\nX-Forwarded-For: {client}\r\n\r\n".encode()
        for key in "ab"
    ]
    first = [serving.answer(head) for head in heads]
    for _ in range(2):
        assert [serving.answer(head) for head in heads] == first
    monkeypatch.setattr(serving.context, "parser", None)
    assert [serving.answer(head) for head in heads] == first
    assert len(serving.context.decision_cache._sections) == 1


def test_a_header_section_takes_room_once_whatever_is_asked_for(serve: Serve) -> None:
    serving = serve()
    fields = f"HTTP/1.1\r\nHost: b\r\nX-Forwarded-For: {EAST}\r\n\r\n"
    for _ in range(4):
        serving.answer(f"GET /a.tar.gz {fields}".encode())
    before = serving.context.decision_cache._bytes
    for number in range(4):  # decided each time
        serving.answer(f"GET /a.tar.gz?redirect=no&{number} {fields}".encode())
    assert serving.context.decision_cache._bytes == before


def test_a_header_section_with_an_id_of_its_own_is_not_remembered(serve: Serve) -> None:
    serving = serve()
    for number in range(20):
        fields = f"Host: b\r\nX-Forwarded-For: {EAST}\r\nX-Amz-Cf-Id: {number}"
        serving.answer(f"GET /a.tar.gz HTTP/1.1\r\n{fields}\r\n\r\n".encode())
    assert not serving.context.decision_cache._sections


def test_a_request_that_came_before_is_found_without_a_look_at_its_lines(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving = serve()
    heads = [
        f"GET /a.{end} HTTP/1.1\r\nHost: b\r\nX-Forwarded-For: {client}\r\n\r\n".encode()
        for client in (EAST, OUTSIDE)
        for end in ("tar.gz", "txt")
    ]
    first = [serving.answer(head) for head in heads * 4][-len(heads) :]
    cache = serving.context.decision_cache
    monkeypatch.setattr(cache, "_sections", {})
    monkeypatch.setattr(serving.context, "parser", None)
    assert [serving.answer(head) for head in heads] == first
    cache.clear()
    assert not cache._requests


def test_too_many_or_too_long_requests_are_not_kept_whole(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nearbucket.frontend.decision_cache.MAX_REQUESTS", 3)
    serving = serve()
    cache = serving.context.decision_cache
    fields = f"HTTP/1.1\r\nHost: b\r\nX-Forwarded-For: {EAST}\r\n\r\n"
    heads = [f"GET /{number}.tar.gz {fields}".encode() for number in range(8)]
    first = [serving.answer(head) for head in heads]
    for _ in range(4):
        for head, answer in zip(heads, first, strict=True):
            assert serving.answer(head) == answer
            assert len(cache._requests) <= 3
    assert cache._requests
    before = len(cache._requests)
    long = f"GET /{'a' * 1000}.tar.gz {fields}".encode()
    assert len({serving.answer(long) for _ in range(4)}) == 1
    assert len(cache._requests) == before


def test_what_is_remembered_is_bounded(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nearbucket.frontend.decision_cache.MAX_BYTES", 20_000)
    serving = serve("json")
    cache = serving.context.decision_cache
    for number in range(200):
        head = f"GET /{number}.tar.gz HTTP/1.1\r\nHost: b\r\nX-Forwarded-For: {EAST}\r\n\r\n"
        for _ in range(2):  # nothing is kept of what comes once
            assert b"301" in serving.answer(head.encode())
        assert 0 <= sum(map(len, cache._objects.values())) < 40
    assert any(cache._objects.values())


def test_twenty_thousand_clients_of_a_cdn_are_remembered(serve: Serve) -> None:
    serving = serve("json")
    cache = serving.context.decision_cache
    clients = [f"52.94.{number}.7" for number in range(64)]
    for _ in range(2):  # nothing is kept of what comes once
        for head in varied(clients).split(b"\r\n\r\n")[:64]:
            serving.answer(head + b"\r\n\r\n")
    assert len(cache._clients) == len(clients)
    assert cache._bytes / len(clients) * 20_000 < decision_cache.MAX_BYTES
