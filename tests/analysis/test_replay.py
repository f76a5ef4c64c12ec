"""Logged requests that are decided again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nearbucket.analysis.replay import HELD, Replay
from nearbucket.policy.engine import FixedKnowledge
from nearbucket.policy.model import RedirectTo, Refuse, ReplicaStatus
from nearbucket.telemetry.log_format import JsonFormat, W3cFormat
from tests.analysis.compared_policies import GONE, OPT_OUT, TARGET, count, site
from tests.analysis.test_log_reader import ASKED, FULL, KEY, lines
from tests.build import ELSEWHERE, OUTSIDE, WEST, engine, request, settings
from tests.log_lines import line_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nearbucket.policy.engine import Engine
    from nearbucket.policy.model import Decision, Request
    from tests.log_lines import LogRecord


def fate(before: Engine, after: Engine, **asked: Any) -> tuple[str, str, bool]:
    found = Replay(before, after).replay(ASKED._replace(**asked))
    return str(found.before), str(found.after), found.kept


STAY = "stream/{}/-"
UNSEEN = ["credentials", "opt-out", "small", "not-replicated", "absent", "unverified",
          "target-down", "came-back"]  # fmt: skip


@pytest.mark.parametrize("reason", UNSEEN)
def test_what_the_log_alone_knows_stays_as_logged(reason: str) -> None:
    same = STAY.format(reason)
    assert fate(site(), site(status=302), reason=reason) == (same, same, True)


@pytest.mark.parametrize("reason", UNSEEN)
def test_an_earlier_rule_that_now_applies_is_seen(reason: str) -> None:
    stay = STAY.format(reason)
    found = fate(site(), site(exclude=["a.*"]), reason=reason)
    assert found == (stay, "stream/path/-", False)
    other = engine(settings(site={"hosts": ["other.example"]}))
    assert fate(site(), other, reason=reason) == (stay, "refuse/host/421", False)


@pytest.mark.parametrize("reason", UNSEEN)
def test_before_it_is_redirected_nothing_is_known_of_the_bucket(reason: str) -> None:
    """Shadow counts what would really be redirected; ``off`` asks no bucket."""
    _, shadow, kept = fate(site(), site(mode="shadow"), reason=reason)
    assert (shadow, kept) == (STAY.format(reason), True)
    _, off, _ = fate(site(), site(mode="off"), reason=reason)
    assert off == STAY.format(reason if reason in {"credentials", "opt-out"} else "off")


@pytest.mark.parametrize("reason", ["not-modified", "other-etag"])
def test_a_304_that_needed_no_request_to_s3_stays_as_logged(reason: str) -> None:
    same = STAY.format(reason)
    assert fate(site(), site(status=302), reason=reason) == (same, same, True)
    _, shadow, kept = fate(site(), site(mode="shadow"), reason=reason)
    streamed_anyway = reason == "other-etag"
    expected = reason if streamed_anyway else "shadow"
    assert (shadow, kept) == (STAY.format(expected), streamed_anyway)


def test_an_opt_out_that_the_log_shows_is_decided_again() -> None:
    both = engine(settings())
    assert fate(site(), both, agent="wget/1.2", reason="opt-out") == (
        "stream/opt-out/-",
        GONE,
        False,
    )
    assert fate(both, site(), agent="wget/1.2", reason="in-region") == (
        GONE,
        "stream/opt-out/-",
        False,
    )
    assert fate(both, site(), agent="wget/1.2", reason="credentials")[1] == "stream/opt-out/-"


def test_a_refused_origin_secret_stays_refused_behind_the_rules_before_it() -> None:
    same = "refuse/secret/403"
    assert fate(site(), site(mode="off"), reason="secret", client=None) == (same, same, True)
    other = engine(settings(site={"hosts": ["other.example"]}))
    assert fate(site(), other, reason="secret", client=None)[1] == "refuse/host/421"


def test_bytes_that_were_no_request_stay_that() -> None:
    same = "refuse/bad-request/400"
    asked: dict[str, Any] = {"method": "-", "target": "-", "client": None, "reason": "bad-request"}
    assert fate(site(), site(mode="off"), **asked) == (same, same, True)


def test_who_was_refused_has_no_client_in_the_log() -> None:
    named = engine(settings(site={"hosts": ["other.example"]}))
    found = fate(named, site(), reason="host", client=None)
    assert found == ("refuse/host/421", "stream/client-not-logged/-", False)
    same = "stream/client-unknown/-"
    assert fate(site(), site(status=302), reason="client-unknown", client=None)[:2] == (same, same)


@pytest.mark.parametrize(
    ("shown", "reason"),
    [
        pytest.param({"target": f"{KEY}?redirect=no"}, "opt-out", id="opt-out"),
        pytest.param({"target": f"{KEY}?X-Amz-Signature=1"}, "credentials", id="signed"),
        pytest.param({"cookie": "s=1"}, "credentials", id="cookie"),
    ],
)
def test_what_a_cdns_log_shows_is_decided_and_not_taken_as_logged(
    shown: Mapping[str, Any], reason: str
) -> None:
    found = Replay(site(), site(mode="off")).replay(ASKED._replace(reason=None, **shown))
    assert str(found.before) == str(found.after) == STAY.format(reason)
    assert (found.kept, found.other, found.path) == (False, False, KEY)


@pytest.mark.parametrize(
    ("cookie", "after"), [("_ga=1", GONE), ("_ga=1; session=2", STAY.format("credentials"))]
)
def test_a_logged_cookie_counts_if_the_configuration_says_so(cookie: str, after: str) -> None:
    found = Replay(site(), site(cookies=["session*"])).replay(
        ASKED._replace(reason=None, cookie=cookie)
    )
    assert str(found.before) == STAY.format("credentials")
    assert str(found.after).startswith(after)


@pytest.mark.parametrize(
    ("change", "after"),
    [
        pytest.param({"redirect": {"status": 307}}, f"redirect/in-region/307 {TARGET}", id="307"),
        pytest.param({"redirect": {"percent": 0}}, "stream/percent/-", id="percent"),
        pytest.param({"redirect": {"mode": "shadow"}}, "stream/shadow/-", id="shadow"),
        pytest.param({"targets": {"us-west-2": {"bucket": "third", "prefix": "p"}}},
                     "redirect/in-region/301 https://third.s3.us-west-2.amazonaws.com/p",
                     id="another bucket"),
        pytest.param({"targets": {}, "bypass": {"mode": "redirect", "to": "https://cdn.example"}},
                     "redirect/no-target/301 https://cdn.example", id="to the CDN"),
    ],
)  # fmt: skip
def test_a_change_of_the_answer_is_a_change(change: Mapping[str, Any], after: str) -> None:
    assert fate(site(), engine(settings(site=change)), reason="in-region") == (GONE, after, False)


def holding(word: str) -> FixedKnowledge:
    """Buckets as a reason implies."""
    status = ReplicaStatus(next((each for each in HELD if each.value == word), None))
    return FixedKnowledge(status, came_back=word == "came-back")


def logged(asked: Request, decision: Decision) -> LogRecord:
    """The record of an answer, with all that an access log has of it."""
    refused = isinstance(decision, Refuse)
    return FULL._replace(
        client=None if isinstance(decision, Refuse) else decision.client,
        method=asked.method,
        host=asked.headers[b"host"].decode(),
        path=asked.target.partition("?")[0],
        status=decision.status if isinstance(decision, Refuse | RedirectTo) else 200,
        action=decision.reason.action.value,
        reason=decision.reason.value,
        site=None if refused else "*",
        user_agent=asked.headers.get(b"user-agent", b"").decode() or None,
    )


MANY = [
    request(), request(peer=WEST), request(peer=ELSEWHERE), request(peer=OUTSIDE),
    request("/a.txt"), request(f"{KEY}?redirect=no"), request(x_no_redirect="1"),
    request(user_agent="wget/1"), request(authorization="x"), request(cookie="x"),
    request(f"{KEY}?X-Amz-Signature=1"), request(method="POST"), request("/../a"),
    request("/%c3%bc.tar.gz"), request(peer=None), request(host="DL.Example:80"), request("/"),
    request("/.well-known/nearbucket-hosts.json"), request(method="HEAD"),
]  # fmt: skip
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "on": {"opt_out": OPT_OUT}, "half": {"redirect": {"percent": 50}},
    "shadow": {"redirect": {"mode": "shadow"}}, "named": {"hosts": ["other.example"]},
    "cdn": {"bypass": {"mode": "redirect", "to": "https://cdn.example"}},
}  # fmt: skip


@pytest.mark.parametrize("form", [JsonFormat(), W3cFormat()], ids=["json", "w3c"])
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_configuration_that_wrote_a_log_answers_as_it_did(
    tmp_path: Path, name: str, form: JsonFormat | W3cFormat
) -> None:
    wrote = engine(settings(site=CONFIGURATIONS[name]))
    client = wrote.for_client()
    text = form.header()
    for asked in MANY:
        for copies in (None, *map(holding, UNSEEN[2:])):
            decision = client.decide(asked, copies) if copies else client.decide(asked)
            text += line_of(form, logged(asked, decision))
    counted = count(Replay(wrote, wrote), lines(tmp_path, text))
    assert counted.requests == len(MANY) * (1 + len(UNSEEN[2:]))
    assert (counted.changed, counted.other, counted.unreadable) == (0, 0, 0)
