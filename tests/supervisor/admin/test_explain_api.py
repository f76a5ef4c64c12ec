"""The admin port's explanations: what is asked, and the reason and the steps that are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nearbucket.policy.engine import ExplainStep
from nearbucket.policy.explain import ExplainQuery, Explanation, request_for
from tests.build import EAST, ELSEWHERE, OUTSIDE, WEST, engine, settings
from tests.supervisor.admin.fixed_view import NAMED

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp.test_utils import TestClient

    from nearbucket.config.settings import Settings
    from nearbucket.policy.engine import Engine
    from tests.supervisor.admin.fixed_view import Fake

FORWARDED = settings(client_address={"from": "x-forwarded-for", "trusted_proxies": ["loopback"]})
SECRET_HEADER = {"header": "X-Origin-Verify", "values": ["right"]}
SECRET = settings(client_address={"from": "x-real-ip", "origin_secret": SECRET_HEADER})


@pytest.mark.parametrize(
    "query",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"ip": WEST}, id="no path"),
        pytest.param({"path": "/a"}, id="no address"),
        pytest.param({"ip": "", "path": "/a"}, id="an empty address"),
        pytest.param({"ip": "junk", "path": "/a"}, id="not an address"),
        pytest.param({"ip": "\0é", "path": "/a"}, id="not even text"),
        pytest.param({"ip": "198.51.100.0/24", "path": "/a"}, id="a network"),
        pytest.param({"ip": WEST, "path": ""}, id="an empty path"),
        pytest.param({"ip": WEST, "path": "a.tar.gz"}, id="a path without its slash"),
        pytest.param({"ip": WEST, "path": "ftp://dl.example/a"}, id="a URL of another scheme"),
    ],
)
async def test_explain_says_what_it_needs(
    client: TestClient[Any, Any], query: dict[str, str]
) -> None:
    answer = await client.get("/api/explain", params=query)
    assert (answer.status, await answer.json()) == (
        400,
        {"errors": ["give ip=, an address, and path=/..."]},
    )


@pytest.mark.parametrize("header", ["Cookie", ": a", ""])
async def test_explain_refuses_a_header_without_name_or_colon(
    client: TestClient[Any, Any], header: str
) -> None:
    query = {"ip": WEST, "path": "/a.tar.gz", "header": header}
    answer = await client.get("/api/explain", params=query)
    assert (answer.status, await answer.json()) == (
        400,
        {"errors": ["header= has the form Name: value"]},
    )


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        pytest.param({"ip": WEST, "path": "/a.tar.gz"}, "in-region", id="redirect"),
        pytest.param({"ip": OUTSIDE, "path": "/a.tar.gz"}, "outside-aws", id="outside"),
        pytest.param({"ip": ELSEWHERE, "path": "/a.tar.gz"}, "no-target", id="elsewhere"),
        pytest.param({"ip": "2001:db8:1::7", "path": "/a.tar.gz"}, "in-region", id="IPv6"),
        pytest.param({"ip": WEST, "path": "/a.txt"}, "path", id="path"),
        pytest.param({"ip": WEST, "path": "/a.tar.gz?redirect=no"}, "opt-out", id="with query"),
        pytest.param({"ip": WEST, "path": "/a.tar.gz?x=1&redirect=no"}, "opt-out", id="and more"),
        pytest.param({"ip": WEST, "path": "/a.tar.gz?X-Amz-Signature=x"}, "credentials",
                     id="signed"),
        pytest.param({"ip": WEST, "path": "/a.tar.gz", "host": "dl.example"}, "in-region",
                     id="the site's host"),
        pytest.param({"ip": WEST, "path": "/a.tar.gz", "host": "OTHER.example:80"}, "in-region",
                     id="its other host"),
        pytest.param({"ip": WEST, "path": "/a.tar.gz", "host": "no.example"}, "host",
                     id="another's host"),
        pytest.param({"ip": WEST, "path": "https://dl.example/a.tar.gz"}, "in-region",
                     id="a whole URL"),
        pytest.param({"ip": WEST, "path": "http://no.example/a"}, "host", id="another's URL"),
        pytest.param({"ip": WEST, "path": "/../a"}, "path-invalid", id="a path up"),
        pytest.param({"ip": WEST, "path": "/%00"}, "path-invalid", id="nul, encoded twice"),
        pytest.param({"ip": WEST, "path": "/é\0"}, "path-invalid", id="not a URL path"),
        pytest.param({"ip": WEST, "path": "/a", "host": "é\0"}, "host", id="not a host"),
    ],
)  # fmt: skip
async def test_explain_gives_the_reason_and_the_steps_to_it(
    client: TestClient[Any, Any], query: dict[str, str], reason: str
) -> None:
    answer = await client.get("/api/explain", params=query)
    found = await answer.json()
    assert answer.status == 200
    assert found["reason"] == reason
    first, last = found["steps"][0], found["steps"][-1]
    assert first == {"name": "request", "value": f"GET {query['path']}", "detail": ""}
    assert (last["name"], last["value"]) == ("reason", reason)


async def test_explain_follows_a_reload(client: TestClient[Any, Any], view: Fake) -> None:
    query = {"ip": WEST, "path": "/a.tar.gz"}
    assert (await (await client.get("/api/explain", params=query)).json())["reason"] == "in-region"
    view.engine = engine(settings(site={"redirect": {"mode": "shadow"}}))
    assert (await (await client.get("/api/explain", params=query)).json())["reason"] == "shadow"


async def test_explain_shows_what_most_workers_know_and_how_many_know_what(
    client: TestClient[Any, Any], view: Fake
) -> None:
    said = [("unverified", "not known"), ("in-region", "good"), ("in-region", "good")]
    view.explanations = [Explanation(reason, (ExplainStep("copy", copy),)) for reason, copy in said]
    fields = [("header", "Cookie: a=b"), ("header", "X:y"), ("method", "HEAD"), ("host", "h")]
    answer = await client.get("/api/explain", params=[("ip", WEST), ("path", "/a"), *fields])
    assert await answer.json() == {
        "reason": "in-region",
        "steps": [{"name": "copy", "value": "good", "detail": ""}],
        "workers": {"unverified": 1, "in-region": 2},
    }
    assert view.asked == [ExplainQuery(WEST, "/a", "h", "HEAD", {"Cookie": "a=b", "X": "y"})]


def loopback_with(**headers: str) -> Callable[[Engine], str | None]:
    """The client that an engine sees behind a trusted proxy with these headers."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}

    def client_of(chosen: Engine) -> str | None:
        asked, made = request_for(chosen, ip="127.0.0.1", target="/a.tar.gz", headers=names)
        return asked.trust.client(made).address

    return client_of


@pytest.mark.parametrize(
    ("chosen", "headers", "client"),
    [
        pytest.param(NAMED, {}, EAST, id="peer"),
        pytest.param(NAMED, {"X-Forwarded-For": WEST}, EAST, id="peer never reads it"),
        pytest.param(FORWARDED, {}, EAST, id="forwarded, no header given"),
        pytest.param(FORWARDED, {"User-Agent": "x"}, EAST, id="forwarded, another header given"),
        pytest.param(FORWARDED, {"X-Forwarded-For": WEST}, EAST, id="not from a trusted proxy"),
        pytest.param(SECRET, {}, EAST, id="secret, no header given"),
        pytest.param(SECRET, {"X-Real-IP": WEST}, EAST, id="secret not shown"),
        pytest.param(SECRET, {"X-Real-IP": WEST, "X-Origin-Verify": "right"}, WEST,
                     id="secret shown"),
    ],
)  # fmt: skip
def test_the_address_asked_about_is_the_client_unless_trust_headers_say_otherwise(
    chosen: Settings, headers: dict[str, str], client: str
) -> None:
    asked, made = request_for(engine(chosen), ip=EAST, target="/a.tar.gz", headers=headers)
    assert asked.trust.client(made).address == client
    assert made.peer == EAST


def test_behind_a_trusted_proxy_the_header_names_the_client() -> None:
    chosen = engine(FORWARDED)
    assert loopback_with(X_Forwarded_For=f"{EAST}, {WEST}")(chosen) == WEST
    assert loopback_with(x_forwarded_for="junk")(chosen) is None
    assert loopback_with(User_Agent="x")(chosen) == "127.0.0.1"


def test_a_wrong_secret_is_refused_as_in_production() -> None:
    asked, made = request_for(
        engine(SECRET), ip=WEST, target="/a.tar.gz", headers={"X-ORIGIN-VERIFY": "wrong"}
    )
    assert asked.decide(made).reason.value == "secret"


@pytest.mark.parametrize(
    ("chosen", "host", "headers", "expected"),
    [
        pytest.param(NAMED, None, {}, b"dl.example", id="the first site's"),
        pytest.param(settings(), None, {}, b"localhost", id="any, where any is served"),
        pytest.param(NAMED, "x.example", {}, b"x.example", id="as given"),
        pytest.param(NAMED, None, {"Host": "h.example"}, b"h.example", id="as a header"),
    ],
)
def test_the_host_is_the_one_given_or_one_that_is_served(
    chosen: Settings, host: str | None, headers: dict[str, str], expected: bytes
) -> None:
    _, made = request_for(engine(chosen), ip=EAST, target="/", host=host, headers=headers)
    assert made.headers[b"host"] == expected


def test_the_method_and_target_are_asked_as_given() -> None:
    _, made = request_for(engine(NAMED), ip=EAST, target="/a?b=c", method="POST")
    assert (made.method, made.target) == ("POST", "/a?b=c")
