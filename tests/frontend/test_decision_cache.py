"""A decision cache changes nothing: not an answer, not a metric, not a line of the log."""

from __future__ import annotations

import asyncio
import itertools
import random
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nearbucket.frontend import decision_cache
from nearbucket.frontend.returning_clients.recent_redirects import STUCK, RecentRedirects
from nearbucket.policy.model import Reason, ReplicaStatus
from tests import build
from tests.build import CDN, EAST, EAST_V6, ELSEWHERE, OUTSIDE, WEST
from tests.frontend.socketless_lane import Serving

if TYPE_CHECKING:
    from tests.frontend.socketless_lane import Serve

_TARGETS = st.sampled_from([
    "/a.tar.gz", "/b%20c.tar.xz", "/a.txt", "/x/a.tar.gz", "/", "/d/", "/a.tar.gz?redirect=no",
    "/a.tar.gz?versionId=1", "/a.tar.gz?X-Amz-Signature=1", "/a.tar.gz?q=1", "/../a",
])  # fmt: skip
_FIELDS = st.lists(
    st.sampled_from([
        *(f"X-Forwarded-For: {address}" for address in (EAST, EAST, WEST, ELSEWHERE, OUTSIDE, CDN,
                                                        EAST_V6, "junk")),
        "User-Agent: curl/8", "User-Agent: old/1", "X-No-Redirect: 1", "Authorization: x",
        "Cookie: a=b", "Range: bytes=0-1", "Range: bytes=5-2", "Origin: https://o.example",
        "Accept: */*", "Via: 1", "Via: 2", "Connection: keep-alive", 'If-None-Match: "e"',
        "Referer: https://r.example/?q", "Connection: close",
    ]), max_size=3, unique=True,
)  # fmt: skip
_HEADS = st.builds(
    lambda method, target, host, fields: "\r\n".join(
        [f"{method} {target} HTTP/1.1", f"Host: {host}", *fields, "", ""]
    ).encode(),
    st.sampled_from(["GET", "GET", "HEAD"]),
    _TARGETS,
    st.sampled_from(["a.example", "b.example"]),
    _FIELDS,
)


@pytest.mark.parametrize(
    ("form", "percent", "came_back", "room"),
    [
        ("json", 100, "off", 1 << 20),
        ("w3c", 50, "off", 1 << 20),
        ("json", 100, "1h", 1 << 20),
        ("w3c", 100, "off", 3000),
    ],
)
@settings(max_examples=20, suppress_health_check=list(HealthCheck))
@given(heads=st.lists(_HEADS, min_size=1, max_size=6), order=st.randoms(use_true_random=False))
def test_a_worker_that_remembers_is_one_that_forgets(  # noqa: PLR0913, PLR0917  # a table's columns
    form: str, percent: int, came_back: str, room: int, heads: list[bytes], order: Any
) -> None:
    asked = heads * 4
    order.shuffle(asked)
    remembering = Serving(form, forgetful=False, percent=percent, came_back=came_back)
    forgetful = Serving(form, forgetful=True, percent=percent, came_back=came_back)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nearbucket.frontend.decision_cache.MAX_BYTES", room)
        for head in asked:
            assert remembering.answer(head) == forgetful.answer(head)
    figures = [one.context.counters.snapshot() for one in (remembering, forgetful)]
    for each in figures:
        del each["nearbucket_request_seconds"]
    assert figures[0] == figures[1]
    assert asyncio.run(remembering.log()) == asyncio.run(forgetful.log())


@pytest.mark.parametrize("came_back", ["off", "1h"])
@pytest.mark.parametrize("form", ["json", "w3c"])
@pytest.mark.parametrize("host", ["a.example", "b.example"])
def test_a_client_that_came_before_gets_a_new_object_like_a_new_client(
    host: str, form: str, came_back: str
) -> None:
    clients = (EAST, WEST, ELSEWHERE, OUTSIDE, EAST_V6, "junk")
    more = ("", *(f"\r\n{each}" for each in (
        "Range: bytes=5-", "Cookie: a=b", "Origin: https://o.example", "Connection: close",
        'If-None-Match: "e"', "User-Agent: old/1",
    )))  # fmt: skip
    targets = ("a.tar.gz", "b%20c.tar.xz", "x/a.tar.gz", "c.txt", "", "a.tar.gz?redirect=no",
               "a.tar.gz?versionId=1", "a.tar.gz?q=1", "..", "d/")  # fmt: skip
    servings = [Serving(form, forgetful=each, came_back=came_back) for each in (False, True)]
    for client, field in itertools.product(clients, more):
        fields = f"Host: {host}\r\nX-Forwarded-For: {client}{field}"
        for target in ("1.tar.gz", "2.tar.gz", *targets, "3.txt", "4.tar.gz", "5.txt"):
            head = f"GET /{target} HTTP/1.1\r\n{fields}\r\n\r\n".encode()
            first, second = (each.answer(head) for each in servings)
            assert first == second, head
    figures = [each.context.counters.snapshot() for each in servings]
    for each in figures:
        del each["nearbucket_request_seconds"]
    assert figures[0] == figures[1]
    first_log, second_log = (asyncio.run(each.log()) for each in servings)
    assert first_log == second_log


def test_a_client_that_came_before_is_not_looked_for_in_its_fields(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving = serve()
    heads = [
        f"GET /{number}.tar.gz HTTP/1.1\r\nHost: b\r\nX-Forwarded-For: {EAST}\r\n\r\n".encode()
        for number in range(3)
    ]
    first, _ = (serving.answer(head) for head in heads[:2])
    monkeypatch.setattr("nearbucket.policy.client_address.Trust.client", None)
    assert serving.answer(heads[2]) == first.replace(b"/0.", b"/2.")


def test_a_redirect_that_comes_again_is_not_decided_again(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving = serve()
    head = f"GET /a.tar.gz HTTP/1.1\r\nHost: b\r\nX-Forwarded-For: {EAST}\r\n\r\n".encode()
    first, _ = serving.answer(head), serving.answer(head)  # nothing is kept of what comes once
    monkeypatch.setattr(type(serving.context.decider.engine), "decide", None)
    assert [serving.answer(head) for _ in range(4)] == [first] * 4
    other = head.replace(b"\r\n\r\n", b"\r\nX-Amz-Cf-Id: 1\r\n\r\n")
    assert serving.answer(other) == first


@pytest.mark.parametrize("field", ["Authorization: x", "Cookie: session=b", "X-No-Redirect: 1"])
def test_a_client_among_many_requests_that_all_differ_keeps_its_own_decision(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    monkeypatch.setattr(decision_cache, "_ALL_DIFFER", 64)
    serving, chance, ids = serve(cookies=["session"]), random.Random(2), itertools.count()  # noqa: S311
    start = f"GET /a.tar.gz HTTP/1.1\r\nHost: b\r\nX-Forwarded-For: {EAST}\r\n"

    def another() -> bytes:
        return serving.answer(f"{start}X-Amz-Cf-Id: {next(ids)}\r\n\r\n".encode())

    redirect, *_ = [another() for _ in range(80)]
    own = serving.answer(f"{start}{field}\r\n\r\n".encode())
    assert own[:20] != redirect[:20]
    for _ in range(300):
        for _ in range(chance.randrange(3)):
            assert another() == redirect
        assert serving.answer(f"{start}{field}\r\n\r\n".encode()) == own


def test_a_redirect_that_comes_again_has_the_location_for_its_client_and_the_date_of_now(
    serve: Serve,
) -> None:
    serving = serve()
    fields = [EAST, EAST_V6, f"{EAST}\r\nOrigin: https://o.example"]
    heads = [
        f"GET /a.tar.gz HTTP/1.1\r\nHost: b\r\nX-Forwarded-For: {field}\r\n\r\n".encode()
        for field in fields
    ]
    dates = [f"Sun, 29 Nov 2026 08:00:0{second} GMT".encode() for second in range(3)]
    serving.context.date = dates[0]
    first = {head: serving.answer(head) for head in heads}
    assert len(set(first.values())) == len(heads)
    for date in dates:
        serving.context.date = date
        for head in heads + heads[::-1]:  # the next date begins with the same client
            assert serving.answer(head) == first[head].replace(dates[0], date)


@pytest.mark.parametrize(("method", "size"), [("GET", 5), ("HEAD", 0)])
def test_a_redirect_saves_the_bytes_of_its_object_but_for_head(
    serve: Serve, method: str, size: int
) -> None:
    serving = serve(head="redirect")
    head = f"{method} /a.tar.gz HTTP/1.1\r\nHost: b\r\nX-Forwarded-For: {EAST}\r\n\r\n"
    assert [b"301" in serving.answer(head.encode()) for _ in range(4)] == [True] * 4
    saved = serving.context.counters.snapshot()["nearbucket_redirected_bytes_total"]
    assert saved["*", "us-east-1"] == 4 * size


def test_what_is_known_of_a_copy_is_remembered_as_long_as_it_holds(serve: Serve) -> None:
    serving = serve()
    head = f"GET /a.tar.gz HTTP/1.1\r\nHost: b\r\nX-Forwarded-For: {EAST}\r\n\r\n".encode()
    replicas = cast("Any", serving.context.decider.replicas)
    for known, answer in [
        (ReplicaStatus(None, 5, monotonic() + 3600), b"301"),
        (ReplicaStatus(Reason.SMALL, 5, inf), b"301"),  # no client comes back so soon
    ]:
        replicas.status = lambda *_, known=known: known
        for _ in range(4):
            assert answer in serving.answer(head)
    for entry in serving.context.decision_cache._objects["*", "us-east-1"].values():
        entry.until = 0.0
    assert serving.answer(head).startswith(b"<handed over>")


def test_what_is_known_anew_of_a_copy_is_remembered_in_place_of_what_no_longer_holds(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving = serve()
    head = f"GET /a.tar.gz HTTP/1.1\r\nHost: b\r\nX-Forwarded-For: {EAST}\r\n\r\n".encode()
    replicas = cast("Any", serving.context.decider.replicas)
    for now, until in [(1000.0, 1005.0), (1010.0, inf)]:
        monkeypatch.setattr("nearbucket.frontend.client_connection.monotonic", lambda now=now: now)
        replicas.status = lambda *_, until=until: ReplicaStatus(None, 5, until)
        first = serving.answer(head)
    monkeypatch.setattr(type(serving.context.decider.engine), "decide", None)
    assert serving.answer(head) == first


def test_a_client_that_comes_back_is_decided_again(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving = serve(came_back="1h")
    head = f"GET /a.tar.gz HTTP/1.1\r\nHost: b\r\nX-Forwarded-For: {EAST}\r\n\r\n".encode()
    now = [1000.0]
    for module in ("client_connection.monotonic", "decider.time.monotonic"):
        monkeypatch.setattr(f"nearbucket.frontend.{module}", lambda: now[0])
    redirected = []
    for _ in range(4):
        redirected.append(b"301" in serving.answer(head))
        now[0] += 11
    assert redirected == [True, True, False, False]
    other = head.replace(b"Host: b", b"Host: b\r\nUser-Agent: another")
    assert [b"301" in serving.answer(other) for _ in range(4)] == [True] * 4  # a crowd's


def test_a_client_that_comes_back_with_equal_bytes_is_decided_again(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving = serve(came_back="1h")
    head = f"GET /a.tar.gz HTTP/1.1\r\nHost: b\r\nX-Forwarded-For: {EAST}\r\n\r\n".encode()
    assert all(b"301" in serving.answer(head) for _ in range(6))  # within a moment: a crowd
    assert serving.context.decision_cache._requests
    for client, _ in serving.context.decision_cache._requests.values():
        client.free_until = 0.0
    monkeypatch.setattr(RecentRedirects, "verdict", lambda *_: STUCK)
    assert serving.answer(head).startswith(b"<handed over>")


def test_a_stream_that_no_redirect_changes_is_served_without_a_look_at_recent_redirects(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving = serve(came_back="1h")
    head = f"GET /a.tar.gz HTTP/1.1\r\nHost: b\r\nX-Forwarded-For: {OUTSIDE}\r\n\r\n".encode()
    path = head.replace(b"/a.tar.gz", b"/a.txt").replace(OUTSIDE.encode(), EAST.encode())
    for _ in range(2):  # the second time they are cached
        first = [serving.answer(head), serving.answer(path)]
    for name in ("verdict", "stream_began", "stream_completed"):
        monkeypatch.setattr(RecentRedirects, name, None)
    assert [serving.answer(head), serving.answer(path)] == first


def test_a_percentage_is_kept_to_whatever_was_decided_before(serve: Serve) -> None:
    serving = serve(percent=50)
    clients = [f"192.0.2.{number}" for number in range(8)]
    for _ in range(4):
        for number, client in itertools.product(range(8), clients):
            asked = build.request(f"/{number}.tar.gz", peer=client)
            decided = serving.context.decider.engine.for_client().decide(asked).reason
            head = f"GET /{number}.tar.gz HTTP/1.1\r\nHost: b\r\nX-Forwarded-For: {client}\r\n\r\n"
            assert (b"301" in serving.answer(head.encode())) is (decided is Reason.IN_REGION)


def test_a_signed_location_is_asked_for_each_time(serve: Serve) -> None:
    class Presigner:
        made = 0

        def location(self, _method: str, url: str) -> str:
            self.made += 1
            return f"{url}?{self.made}"

    serving = serve(presign="15m")
    serving.context.decider.presigners = {("*", "us-east-1"): cast("Any", Presigner())}
    head = f"GET /a.tar.gz HTTP/1.1\r\nHost: b\r\nX-Forwarded-For: {EAST}\r\n\r\n".encode()
    for number in range(1, 5):  # an older one would outlive its signature
        assert f"a.tar.gz?{number}\r\n".encode() in serving.answer(head)


def test_a_reload_forgets(serve: Serve) -> None:
    serving = serve()
    head = f"GET /a.tar.gz HTTP/1.1\r\nHost: b\r\nX-Forwarded-For: {EAST}\r\n\r\n".encode()
    for _ in range(4):
        assert b"301" in serving.answer(head)
    off = build.snapshot(build.settings(site={"redirect": {"mode": "off"}}))
    serving.context.apply(off.settings, off.table, off.cdn)
    assert serving.answer(head).startswith(b"<handed over>")


def test_what_is_redirected_to_the_cdn_says_nothing_of_what_only_this_host_can_answer(
    serve: Serve,
) -> None:
    serving = serve()
    bypass = {"mode": "redirect", "to": "https://cdn.example"}
    made = build.snapshot(build.settings(site={"bypass": bypass}))
    serving.context.apply(made.settings, made.table, made.cdn)
    fields = "HTTP/1.1\r\nHost: b\r\n\r\n"
    first, _ = [serving.answer(f"GET /a.tar.gz {fields}".encode()) for _ in range(2)]
    assert b"Location: https://cdn.example/a.tar.gz\r\n" in first
    for _ in range(3):
        head = f"GET /a.tar.gz?X-Amz-Signature=1 {fields}".encode()
        assert serving.answer(head).startswith(b"<handed over>")
