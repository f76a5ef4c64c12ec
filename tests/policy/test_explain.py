"""Explanations: they name every step, and agree with the decision."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.build import ELSEWHERE, OUTSIDE, WEST, engine, request, settings

if TYPE_CHECKING:
    from nearbucket.policy.model import Request

PLAIN = settings()


@pytest.mark.parametrize(
    ("asked", "detail"),
    [
        (request(authorization="x", cookie="a=b"), "Authorization"),
        (request(cookie="_ga=1; session=2"), "Cookie _ga, session; "),
        (request(cookie=";"), "Cookie without a name; "),
        (request("/a.tar.gz?X-Amz-Signature=1"), "a signed query"),
        (request("/a.tar.gz?versionId=1"), "an argument of origin.query"),
        (request(), ""),
    ],
)
def test_an_explanation_names_what_counts_as_credentials(asked: Request, detail: str) -> None:
    origin = {"bucket": "downloads", "region": "us-east-1", "query": ["versionId"]}
    deciding = engine(settings(site={"origin": origin}))
    steps = {step.name: step for step in deciding.explain(asked, deciding.decide(asked))}
    assert steps["credentials"].value == ("yes" if detail else "no")
    assert steps["credentials"].detail.startswith(detail)
    assert ("redirect.cookies" in steps["credentials"].detail) is ("Cookie" in detail)


@pytest.mark.parametrize(
    "asked",
    [request(), request(peer=OUTSIDE), request(method="PUT"), request("/%00"),
     request(x_no_redirect="1"), request(peer=None)],
)  # fmt: skip
def test_an_explanation_ends_in_the_decision(asked: Request) -> None:
    made = engine(PLAIN)
    steps = made.explain(asked, made.decide(asked))
    assert steps[0].name == "request"
    assert steps[-1][:2] == ("reason", made.decide(asked).reason.value)


@pytest.mark.parametrize(
    ("asked", "decision"),
    [
        (request(), "redirect: 301 to https://downloads.s3.us-east-1.amazonaws.com/a.tar.gz"),
        (request(peer=OUTSIDE), "stream: the object, streamed from the origin"),
        (request(method="PUT"), "refuse: status 405"),
    ],
)
def test_an_explanation_says_what_the_client_gets(asked: Request, decision: str) -> None:
    made = engine(PLAIN)
    assert made.explain(asked, made.decide(asked))[-2] == ("decision", decision, "")


@pytest.mark.parametrize(
    ("asked", "changed"),
    [
        (request(), {}),
        (request(peer=ELSEWHERE), {"target": "no", "mode": "no target"}),
        (request("/a.txt"), {"path": "no match"}),
        (request(x_no_redirect=""), {"opt-out": "yes"}),
        (request(cookie="a"), {"credentials": "yes"}),
    ],
)
def test_an_explanation_says_what_each_rule_found(asked: Request, changed: dict[str, str]) -> None:
    made = engine(PLAIN)
    found = {step.name: step.value for step in made.explain(asked, made.decide(asked))}
    plain = {"target": "yes", "path": "matches", "opt-out": "no", "credentials": "no", "mode": "on"}
    assert {name: found[name] for name in plain} == {**plain, **changed}


def test_an_explanation_says_how_the_client_is_known() -> None:
    made = engine(PLAIN)
    for asks, how in ((made, "the socket's peer"), (made.for_client(), "as given")):
        asked = request(peer=WEST)
        steps = {step.name: step for step in asks.explain(asked, asks.decide(asked))}
        assert steps["client"][1:] == (WEST, how)


def test_an_explanation_names_every_step() -> None:
    made, asked = engine(PLAIN), request(peer=WEST)
    steps = {step.name: step for step in made.explain(asked, made.decide(asked))}
    names = (
        "request site key client region target path mutable opt-out credentials head percent mode "
        "copy"
    )
    assert list(steps) == [*names.split(), "decision", "reason"]
    assert steps["region"][1:] == ("us-west-2", "198.51.100.0/24")
