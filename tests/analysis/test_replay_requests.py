"""The requests that a replay sends: what each line of a log asks for, and what a redirect saves."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nearbucket.analysis.live_replay.replay_requests import SentRequest, sizes_of
from tests.analysis.replayed_log import rows_of


@pytest.mark.parametrize(
    ("fields", "asks_for", "size"),
    [
        ("200\t999\t900\t-\t-", "", 900),
        ("200\t999\t-\t-\t-", "", 999),
        ("200\t480\t0\t-\t-", "", 0),
        ("206\t999\t100\t0\t99", "bytes=0-99", 100),
        ("206\t999\t100\t100\t199", "bytes=100-199", 200),
        ("206\t999\t100\t50\t-", "bytes=50-", 999),
        ("206\t999\t100\t-\t100", "bytes=-100", 999),
        ("206\t999\t-\t-\t-", "bytes=0-998", 999),
        ("200\t999\t900\t5\t2", "", 900),
    ],
)
def test_a_request_asks_for_the_range_that_was_logged(
    fields: str, asks_for: str, size: int
) -> None:
    head = "#Fields: c-ip cs-method cs-uri-stem x-host-header sc-status sc-bytes sc-content-len "
    head += "sc-range-start sc-range-end\n"
    (found,) = rows_of(f"{head}192.0.2.1\tGET\t/a%2520b\tdl.example\t{fields}\n")
    assert found == SentRequest("192.0.2.1", "dl.example", "GET", "/a%20b", "", "", asks_for, size)


@pytest.mark.parametrize("target", ["@other.example/a", ".other.example/a", "80/a", "*", "a", "-"])
def test_a_target_without_a_slash_is_not_sent_since_it_could_name_another_host(target: str) -> None:
    head = "#Fields: c-ip cs-method cs-uri-stem x-host-header sc-status sc-bytes\n"
    line = "192.0.2.1\tGET\t{}\tdl.example\t200\t9\n"
    assert rows_of(head + line.format(target)) == []
    assert [each.target for each in rows_of(head + line.format("/" + target))] == ["/" + target]


def own_line(action: str, status: int, **more: Any) -> str:
    """A line of nearbucket's own log."""
    own = {"time": "2026-11-02T03:00:00Z", "client": "192.0.2.1", "host": "dl.example"}
    asked = {"method": "GET", "path": "/a.tar.gz?x=1", "bytes": 0, "status": status}
    return json.dumps(own | asked | {"action": action, "reason": "in-region"} | more) + "\n"


def test_of_answers_without_an_object_only_redirects_in_the_own_log_are_sent() -> None:
    found = rows_of(
        own_line("redirect", 301)
        + own_line("redirect", 301, range="bytes=0-9")
        + own_line("stream", 200, user_agent="curl/8")
        + own_line("stream", 404)
        + own_line("refuse", 405, method="POST")
    )
    assert [(each.target, each.agent, each.range, each.size) for each in found] == [
        ("/a.tar.gz?x=1", "", "", None),
        ("/a.tar.gz?x=1", "", "bytes=0-9", None),
        ("/a.tar.gz?x=1", "curl/8", "", 0),
    ]


@pytest.mark.parametrize(
    ("range_", "saved", "of_unknown"),
    [
        (None, 300, None),
        ("bytes=0-", 300, None),
        ("bytes=0-99", 100, None),
        ("bytes=250-349", 50, None),
        ("bytes=400-500", 0, None),
        ("bytes=-100", 100, None),
        ("bytes=-900", 300, None),
        ("bytes=100-", 0, 0),
    ],
)
def test_a_redirect_saves_the_bytes_that_the_proxy_counts(
    range_: str | None, saved: int, of_unknown: int | None
) -> None:
    lines_ = own_line("stream", 206, range="bytes=200-9999", bytes=100)
    *others, redirect_ = rows_of(lines_ + own_line("redirect", 301, range=range_))
    size = sizes_of(others)[redirect_.object]
    assert size == 300
    assert redirect_.bytes_saved(size) == saved
    assert redirect_.bytes_saved(None) == of_unknown
    assert redirect_._replace(method="HEAD").bytes_saved(size) == 0
