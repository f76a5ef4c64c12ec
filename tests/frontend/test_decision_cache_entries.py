"""Which entries the decision cache makes, and which of them it finds."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from nearbucket.frontend import decision_cache
from nearbucket.frontend.cached_decision import ClientEntry, ObjectEntry
from nearbucket.frontend.decision_cache import DecisionCache
from nearbucket.frontend.request_parser import RequestHead
from nearbucket.policy.model import Action, Reason, Refuse
from nearbucket.telemetry.metrics import Counters

if TYPE_CHECKING:
    import pytest

ARCHIVE, PAGE = b"GET /a.tar.gz HTTP/1.1", b"GET /a.txt HTTP/1.1"
OBJECT = ObjectEntry(key="a", path=b"", head=False, log_part=(), mark=0, size=0, until=inf)


def client(reason: Reason = Reason.IN_REGION) -> ClientEntry:
    """A client's entry; by default of one that is redirected."""
    return ClientEntry(
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
    cache.put(peer, RequestHead(line, ()), entry, OBJECT)


def found(cache: DecisionCache, peer: str, line: bytes) -> ClientEntry | None:
    """The client's entry that is found for a request."""
    decision = cache.get_parsed(peer, RequestHead(line, ()), request(line), 0.0)
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
