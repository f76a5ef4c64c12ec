"""Decisions on requests: redirect, stream or refuse, for which reason, and to which location."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearbucket.policy.engine import host_name
from nearbucket.policy.model import Reason, RedirectTo, Refuse, Request, Stream
from nearbucket.policy.rules import rollout_bucket
from tests.build import (
    CDN,
    EAST,
    EAST_V6,
    ELSEWHERE,
    OUTSIDE,
    WEST,
    engine,
    request,
    settings,
)

PLAIN = settings()
SECRET = settings(client_address={"from": "x-forwarded-for", "origin_secret": {"values": ["s"]}})


def with_redirect(**keys: Any) -> Any:
    return settings(site={"redirect": keys})


def with_opt_out(**keys: Any) -> Any:
    return settings(site={"opt_out": keys})


@pytest.mark.parametrize(
    ("peer", "location"),
    [
        (EAST, "https://downloads.s3.us-east-1.amazonaws.com/a.tar.gz"),
        (WEST, "https://us-west-2-downloads.s3.us-west-2.amazonaws.com/a.tar.gz"),
        (EAST_V6, "https://downloads.s3.dualstack.us-east-1.amazonaws.com/a.tar.gz"),
        ("::ffff:" + EAST, "https://downloads.s3.us-east-1.amazonaws.com/a.tar.gz"),
    ],
)
def test_a_client_in_a_target_region_is_sent_to_its_bucket(peer: str, location: str) -> None:
    decision = engine(PLAIN).decide(request(peer=peer))
    assert isinstance(decision, RedirectTo)
    assert (decision.location, decision.status) == (location, 301)


@pytest.mark.parametrize(
    ("chosen", "asked", "reason"),
    [
        pytest.param(PLAIN, request(peer=OUTSIDE), Reason.OUTSIDE_AWS, id="not listed"),
        pytest.param(PLAIN, request(peer="203.0.113.200"), Reason.OUTSIDE_AWS, id="GLOBAL"),
        pytest.param(PLAIN, request(peer=ELSEWHERE), Reason.NO_TARGET, id="no bucket there"),
        pytest.param(PLAIN, request(peer=CDN), Reason.CLIENT_UNKNOWN, id="CloudFront's address"),
        pytest.param(PLAIN, request(peer=None), Reason.CLIENT_UNKNOWN, id="no peer"),
        pytest.param(PLAIN, request("/repomd.xml"), Reason.PATH, id="R15 no pattern matches"),
        pytest.param(PLAIN, request("/A.TAR.GZ"), Reason.PATH, id="patterns know case"),
        pytest.param(with_redirect(paths=["*"]), request("/"), Reason.PATH,
                     id="the bucket itself is no object"),
        pytest.param(with_redirect(exclude=["*latest*"]), request("/latest/a.tar.gz"),
                     Reason.PATH, id="exclude wins"),
        *(pytest.param(with_redirect(paths=["*"]), request(f"/a.tar.gz.{name}"), Reason.PATH,
                       id=f"excluded by default: {name}")
          for name in ("sha256", "sha512", "md5", "asc", "sig")),
        pytest.param(with_redirect(mutable=["latest/*"]), request("/latest/a.tar.gz"),
                     Reason.MUTABLE, id="mutable"),
        pytest.param(with_redirect(mutable=["*"]), request("/a.txt"), Reason.PATH,
                     id="the path comes first"),
        pytest.param(with_redirect(mutable=["*"]), request(cookie="a=b"), Reason.MUTABLE,
                     id="and what is mutable second"),
        pytest.param(PLAIN, request("/a.tar.gz?redirect=no"), Reason.OPT_OUT, id="R14 query"),
        pytest.param(PLAIN, request("/a.tar.gz?x=1&redirect=no"), Reason.OPT_OUT,
                     id="R14 one of two"),
        pytest.param(PLAIN, request(x_no_redirect=""), Reason.OPT_OUT, id="R14 header"),
        pytest.param(with_opt_out(user_agents=["Old*"]), request(user_agent="OldTool/1"),
                     Reason.OPT_OUT, id="R14 agent"),
        pytest.param(with_opt_out(networks=["192.0.2.0/25"]), request(), Reason.OPT_OUT,
                     id="R14 network"),
        pytest.param(PLAIN, request(authorization="Basic x"), Reason.CREDENTIALS, id="R7 auth"),
        pytest.param(PLAIN, request(cookie="a=b"), Reason.CREDENTIALS, id="R7 cookie"),
        pytest.param(PLAIN, request("/a.tar.gz?X-Amz-Signature=1"), Reason.CREDENTIALS,
                     id="R7 signed query"),
        pytest.param(PLAIN, request("/a.tar.gz?a=1&x-amz-date=1"), Reason.CREDENTIALS,
                     id="R7 lower case"),
        pytest.param(PLAIN, request("/a.tar.gz?AWSAccessKeyId=1"), Reason.CREDENTIALS,
                     id="R7 old signature"),
        pytest.param(with_redirect(percent=0), request(), Reason.PERCENT, id="percent 0"),
        pytest.param(with_redirect(mode="shadow"), request(), Reason.SHADOW, id="shadow"),
        pytest.param(with_redirect(mode=False), request(), Reason.OFF, id="off, as YAML reads it"),
    ],
)  # fmt: skip
def test_what_stands_against_a_redirect_is_the_reason(
    chosen: Any, asked: Request, reason: Reason
) -> None:
    decision = engine(chosen).decide(asked)
    assert isinstance(decision, Stream)
    assert decision.reason is reason


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(request("/a.tar.gz?redirect=now"), id="another query value"),
        pytest.param(request("/a.tar.gz?xredirect=no"), id="another query name"),
        pytest.param(request(range="bytes=0-1"), id="R6 range"),
        pytest.param(request(if_none_match='"x"'), id="R6 condition"),
        pytest.param(request("http://other.example/a.tar.gz"), id="absolute-form"),
        pytest.param(request("/d/a.tar.xz"), id="below a folder"),
    ],
)
def test_what_does_not_is_redirected(asked: Request) -> None:
    assert engine(PLAIN).decide(asked).reason is Reason.IN_REGION


@pytest.mark.parametrize("mode", ["on", "shadow", "off"])
def test_a_head_is_answered_here_unless_it_is_to_be_redirected(mode: str) -> None:
    for head, reason in (("stream", Reason.HEAD), ("redirect", _OF_MODE[mode])):
        chosen = settings(site={"redirect": {"head": head, "mode": mode, "percent": 100}})
        assert engine(chosen).decide(request(method="HEAD")).reason is reason
        assert engine(chosen).decide(request(method="GET")).reason is _OF_MODE[mode]


_OF_MODE = {"on": Reason.IN_REGION, "shadow": Reason.SHADOW, "off": Reason.OFF}


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (request(method="HEAD", peer=OUTSIDE), Reason.OUTSIDE_AWS),
        (request("/a.txt", method="HEAD"), Reason.PATH),
        (request(method="HEAD", cookie="a"), Reason.CREDENTIALS),
        (request("/a.tar.gz?redirect=no", method="HEAD"), Reason.OPT_OUT),
    ],
)
def test_a_head_that_would_not_be_redirected_keeps_its_reason(
    asked: Request, reason: Reason
) -> None:
    assert engine(PLAIN).decide(asked).reason is reason


@pytest.mark.parametrize("peer", [EAST, OUTSIDE])
def test_a_head_is_not_redirected_to_the_cdn_either(peer: str) -> None:
    bypass = {"mode": "redirect", "to": "https://cdn.example.com"}
    for head, kind in (("stream", Stream), ("redirect", RedirectTo)):
        chosen = settings(site={"bypass": bypass, "redirect": {"head": head}})
        assert isinstance(engine(chosen).decide(request(method="HEAD", peer=peer)), kind)


NAMED = settings(site={"hosts": ["dl.example", "dl2.example"]})


@pytest.mark.parametrize(
    ("chosen", "asked", "status", "reason"),
    [
        pytest.param(PLAIN, request(method="POST"), 405, Reason.METHOD, id="R16 POST"),
        pytest.param(PLAIN, request(method="PUT"), 405, Reason.METHOD, id="R16 PUT"),
        pytest.param(PLAIN, request(method="DELETE"), 405, Reason.METHOD, id="R16 DELETE"),
        pytest.param(PLAIN, request(method="TRACE"), 405, Reason.METHOD, id="R16 TRACE"),
        pytest.param(PLAIN, request("h:443", method="CONNECT"), 405, Reason.METHOD, id="CONNECT"),
        pytest.param(PLAIN, request("*", method="OPTIONS"), 204, Reason.METHOD, id="OPTIONS *"),
        pytest.param(NAMED, request(host="other.example"), 421, Reason.HOST, id="another host"),
        pytest.param(NAMED, request(host=""), 421, Reason.HOST, id="empty host"),
        pytest.param(
            NAMED,
            request("http://evil.example/a"),
            421,
            Reason.HOST,
            id="absolute-form names another host",
        ),
        pytest.param(NAMED, request(host="dl.example@evil"), 421, Reason.HOST, id="userinfo"),
        pytest.param(PLAIN, request("/../a"), 400, Reason.PATH_INVALID, id="R4 dots"),
        pytest.param(PLAIN, request("/%00"), 400, Reason.PATH_INVALID, id="R4 NUL"),
        pytest.param(PLAIN, request("*"), 400, Reason.PATH_INVALID, id="no path"),
        pytest.param(SECRET, request(x_origin_verify="wrong"), 403, Reason.SECRET, id="secret"),
    ],
)
def test_what_no_bucket_could_serve_is_refused(
    chosen: Any, asked: Request, status: int, reason: Reason
) -> None:
    assert engine(chosen).decide(asked) == Refuse(status, reason)


@pytest.mark.parametrize("host", ["dl.example", "DL.example", "dl.example:8080", "dl.example.",
                                  "dl2.example"])  # fmt: skip
def test_a_host_is_known_by_its_name(host: str) -> None:
    assert engine(NAMED).decide(request(host=host)).reason is Reason.IN_REGION


@pytest.mark.parametrize(
    ("authority", "name"),
    [("a", "a"), ("A:1", "a"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]"), ("a:b", None),
     ("a@b", None), ("a,b", None), ("", "")],
)  # fmt: skip
def test_an_authority_gives_a_host_name(authority: str, name: str | None) -> None:
    assert host_name(authority) == name


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ({"bucket": "b-1", "prefix": "pub"},
         "https://b-1.s3.us-east-1.amazonaws.com/pub/a.tar.gz"),
        ({"bucket": "b.1"}, "https://s3.us-east-1.amazonaws.com/b.1/a.tar.gz"),
        ({"bucket": "b-1", "public_url": "https://d.example/x/"},
         "https://d.example/x/a.tar.gz"),
        ({"bucket": "b-1", "endpoint": "https://s3.example:9000"},
         "https://s3.example:9000/b-1/a.tar.gz"),
        ({"bucket": "b-1", "endpoint": "https://s3.example", "path_style": False},
         "https://b-1.s3.example/a.tar.gz"),
    ],
)  # fmt: skip
def test_a_location_is_well_formed_however_the_target_is_named(
    target: dict[str, Any], location: str
) -> None:
    decision = engine(settings(site={"targets": {"us-east-1": target}})).decide(request())
    assert isinstance(decision, RedirectTo)
    assert decision.location == location


def test_a_location_holds_the_key_encoded_once() -> None:
    decision = engine(PLAIN).decide(request("/a+b%20%25%C3%A9//c:d(%23).tar.gz"))
    assert isinstance(decision, RedirectTo)
    assert decision.location.endswith(".com/a%2Bb%20%25%C3%A9//c%3Ad%28%23%29.tar.gz")


def test_no_path_names_another_host_in_location() -> None:
    decision = engine(PLAIN).decide(request("//evil.example/a.tar.gz"))
    assert isinstance(decision, RedirectTo)
    assert (
        decision.location == "https://downloads.s3.us-east-1.amazonaws.com//evil.example/a.tar.gz"
    )


def test_a_key_that_a_prefix_makes_too_long_is_refused() -> None:
    chosen = settings(site={"targets": {"us-east-1": {"bucket": "b-1", "prefix": "pub"}}})
    assert engine(chosen).decide(request("/" + "k" * 1020)).reason is Reason.PATH
    assert engine(chosen).decide(request("/" + "k" * 1021)).reason is Reason.PATH_INVALID


def test_percent_is_stable_and_close_to_its_share() -> None:
    half = engine(with_redirect(percent=50))
    asked = [request(f"/{number}.tar.gz") for number in range(2000)]
    first = [half.decide(each).reason for each in asked]
    assert first == [half.decide(each).reason for each in asked]
    assert 900 < first.count(Reason.IN_REGION) < 1100
    assert all(0 <= rollout_bucket(EAST, str(number)) < 100 for number in range(1000))


def test_percent_chooses_by_client_and_path_together() -> None:
    half = engine(with_redirect(percent=50))
    clients = [f"192.0.2.{number}" for number in range(20)]
    paths = [f"/{number}.tar.gz" for number in range(20)]
    sent = {
        (client, path): half.decide(request(path, peer=client)).reason is Reason.IN_REGION
        for client in clients
        for path in paths
    }
    for path in paths:
        assert {sent[client, path] for client in clients} == {True, False}, path
    for client in clients:
        assert {sent[client, path] for path in paths} == {True, False}, client


def test_a_higher_percent_redirects_all_clients_of_a_lower_one() -> None:
    some, more = engine(with_redirect(percent=20)), engine(with_redirect(percent=60))
    for number in range(300):
        asked = request(f"/{number}.tar.gz")
        if some.decide(asked).reason is Reason.IN_REGION:
            assert more.decide(asked).reason is Reason.IN_REGION


_FIELDS = st.dictionaries(
    st.sampled_from(
        [
            b"host",
            b"x-forwarded-for",
            b"authorization",
            b"cookie",
            b"user-agent",
            b"x-no-redirect",
            b"x-origin-verify",
        ]
    ),
    st.binary(max_size=30),
)


@given(
    st.sampled_from(["GET", "HEAD", "POST", "OPTIONS", ""]),
    st.text(max_size=60) | st.text(alphabet="/.%25e?&=:a\\", max_size=30).map("/".__add__),
    _FIELDS,
    st.sampled_from([EAST, WEST, OUTSIDE, CDN, None, "junk"]),
    st.sampled_from([engine(PLAIN), engine(NAMED), engine(SECRET)]),
)
def test_no_request_makes_deciding_or_explaining_fail(
    method: str, target: str, fields: dict[bytes, bytes], peer: str | None, made: Any
) -> None:
    asked = Request(method, target, fields, peer)
    decision = made.decide(asked)
    assert made.explain(asked, decision)[-1].value == decision.reason.value
    if isinstance(decision, RedirectTo):
        assert decision.location.startswith(
            (
                "https://downloads.s3.us-east-1.amazonaws.com/",
                "https://us-west-2-downloads.s3.us-west-2.amazonaws.com/",
            )
        )
        assert decision.location.isascii()
        assert decision.location.isprintable()
