"""Whatever bytes come, the pure core does not fail, and sends no client to a foreign host.

Hypothesis makes bytes and values around the grammar; each target has a law that has to hold. ``make
test`` runs 100 examples of each; ``make test-long`` runs every target again with new ones for its
part of ``FUZZ_SECONDS``, by default 60, and prints how many ran.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import HealthCheck, given, seed
from hypothesis import settings as profile
from hypothesis import strategies as st

from nearbucket.errors import RequestError
from nearbucket.frontend.request_parser import MAX_REQUEST_HEAD, PlainRequest, PlainRequestParser
from nearbucket.frontend.response_heads import RedirectText
from nearbucket.policy.client_address import SecretCheck, Trust, plain_address
from nearbucket.policy.model import RedirectTo, Refuse, Request, Stream
from nearbucket.policy.object_keys import MAX_KEY, encode_key, object_key, split_target
from nearbucket.regions.region_table import network_set
from nearbucket.telemetry.metrics import HandoffReason
from tests import build
from tests.build import CDN, EAST, EAST_V6, ELSEWHERE, OUTSIDE, WEST

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = float(os.environ.get("FUZZ_SECONDS", "60"))
EXAMPLES = 100
HOSTS = {
    f"{bucket}.s3.{stack}{region}.amazonaws.com"
    for bucket, region in (("downloads", "us-east-1"), ("us-west-2-downloads", "us-west-2"))
    for stack in ("", "dualstack.")
}
PLAIN = b"GET /a.tar.gz HTTP/1.1\r\nHost: dl.example\r\n\r\n"
PLAIN_REQUEST = Request("GET", "/a.tar.gz", {b"host": b"dl.example"}, None)

_ADDRESSES = st.sampled_from([
    EAST, WEST, ELSEWHERE, OUTSIDE, CDN, EAST_V6, "127.0.0.1", "10.0.0.1", "::1", f"::ffff:{EAST}",
    "fe80::1%eth0", f"{EAST}:443", f"[{EAST_V6}]:443", f'"[{EAST_V6}]"', "unknown", "", "-",
    "0x7f.1", f"{EAST_V6}:9985", "1.2.3", "1.2.3.4.5", "01.2.3.4", f" {EAST} ", f"{EAST}\x00",
    "\u0661.2.3.4",
])  # fmt: skip
_ADDRESS_LISTS = st.lists(_ADDRESSES | st.text(max_size=12), max_size=6).map(
    lambda entries: ",".join(entries).encode("utf-8", "surrogatepass")
)
_PIECES = st.sampled_from([
    b"/", b"//", b".", b"..", b"%2e", b"%2F", b"%5c", b"\\", b"%00", b"%0d%0a", b"\r\n", b"%",
    b"%zz", b"%25", b"%C3%A9", b"%E9", b"%c0%ae", b"%ed%a0%80", b"%F0%9F%93%A6", b"\xc3\xa9", b"+",
    b" ", b"#", b"?", b"@", b":", b";", b"a", b"a.tar.gz", b".tar.xz", b"evil.example", b"http://", b"https://",
    b"HTTP://dl.example", b"*", b"\x00", b"\x7f", b"\t", b"[", b"]", b"?x-amz-signature=x", b"&",
    b"redirect=no", b"a" * 250, b"%C3%A9" * 120, b"~", b"'", b"<", b'"',
])  # fmt: skip
_TARGETS = (
    st.lists(_PIECES | st.binary(max_size=4), max_size=10)
    .map(b"".join)
    .flatmap(lambda raw: st.sampled_from([raw, b"/" + raw, b"/" + raw + b".tar.gz"]))
    .map(lambda raw: raw.decode("latin-1"))
) | st.text(max_size=40)
_NAMES = st.sampled_from([
    b"host", b"x-forwarded-for", b"x-real-ip", b"cloudfront-viewer-address", b"x-origin-verify",
    b"authorization", b"cookie", b"user-agent", b"x-no-redirect", b"range", b"connection",
])  # fmt: skip
_VALUES = _ADDRESS_LISTS | st.binary(max_size=20) | st.sampled_from([
    b"dl.example", b"DL.example.:80", b"evil@dl.example", b"[::1]:80", b"[", b"]:", b":", b"a:b:c",
    b"right", b"wr\xf6ng", b"bytes=0-",
])  # fmt: skip
_HEADERS = st.dictionaries(_NAMES | st.binary(max_size=12), _VALUES, max_size=6)
_PEERS = st.none() | _ADDRESSES | st.text(max_size=20)
_REQUESTS = st.builds(
    Request,
    st.sampled_from(["GET"] * 6 + ["HEAD", "POST", "OPTIONS", "get", ""]) | st.text(max_size=8),
    _TARGETS,
    _HEADERS,
    _PEERS,
)

_LINES = st.sampled_from([
    b"GET /a.tar.gz HTTP/1.1", b"HEAD /a HTTP/1.1", b"GET / HTTP/1.0", b"GET / HTTP/2.0", b"GET /",
    b"GET /\\\\ HTTP/1.1", b"GET //e/%0d HTTP/1.1", b"CONNECT a:1 HTTP/1.1",
    b"GET http://e/ HTTP/1.1",
    b"Host: dl.example", b"Host: dl.example", b"host:e", b"Content-Length: 3", b"Content-Length:",
    b"Transfer-Encoding: chunked", b"Transfer-Encoding:", b"Connection: close",
    b"Connection: Upgrade",
    b"Connection: x", b"Upgrade: h2c", b"Expect: 100-continue", b"TE: trailers", b" folded", b"\tx",
    b"X : y", b": x", b"X", b"X: \x00", b"X: \xff", b"X: a\rb", b"X: a\nb", b"", b"X:",
    b"X: " + b"v" * 9000,
])  # fmt: skip


@st.composite
def _chunks(draw: st.DrawFn) -> bytes:
    """A head, mostly well-formed, of these lines; or any bytes."""
    ends = st.sampled_from([b"\r\n"] * 20 + [b"\n", b"\r", b"\r\r\n", b""])
    first = draw(st.sampled_from([b"GET /a.tar.gz HTTP/1.1", b"HEAD /a HTTP/1.1"]) | _LINES)
    lines = [first, *draw(st.lists(_LINES | st.binary(max_size=20), max_size=5))]
    head = b"".join(line + draw(ends) for line in lines) + draw(ends)
    return draw(st.sampled_from([head, head, head + PLAIN, head[: len(head) // 2]]))


def _trust(**client_address: Any) -> Trust:
    return Trust.build(
        build.settings(client_address=client_address).client_address, network_set([f"{CDN}/26"])
    )


_SECRET = {"values": ["right"]}
TRUSTS = [
    _trust(),
    _trust(**{"from": "x-forwarded-for", "trusted_proxies": ["loopback", "private", "cloudfront"]}),
    _trust(**{"from": "x-forwarded-for", "trusted_hops": 2}),
    _trust(**{"from": "x-real-ip", "trusted_proxies": ["loopback"], "origin_secret": _SECRET}),
    _trust(**{"from": "cloudfront-viewer-address", "trusted_proxies": ["cloudfront", "loopback"]}),
    _trust(**{"from": "cloudfront-viewer-address", "origin_secret": _SECRET}),
]
ENGINES = [
    build.engine(build.settings(site=site, client_address=address))
    for site in ({}, {"hosts": ["dl.example"], "redirect": {"paths": ["*"]}})
    for address in (
        {},
        {"from": "x-forwarded-for", "trusted_proxies": ["loopback"], "origin_secret": _SECRET},
    )
]
NAMES = frozenset({b"x-forwarded-for", b"user-agent", b"range"})
READER = PlainRequestParser(NAMES)


def _read(chunk: bytes) -> PlainRequest | HandoffReason:
    head = READER.split(chunk)
    return head if isinstance(head, HandoffReason) else READER.parse(head, None)


def any_bytes_are_a_plain_request_or_somebody_elses(chunk: bytes) -> None:
    """The parser gives a result for any bytes, raises nothing, and keeps no state of them."""
    found = _read(chunk)
    assert _read(chunk) == found
    if isinstance(found, tuple):
        request, _ = found
        assert request.method in {"GET", "HEAD"}
        assert request.target.startswith("/")
        assert chunk.startswith(f"{request.method} ".encode())
        assert request.target.encode() in chunk
        assert chunk.endswith(b"\r\n\r\n")
        assert chunk.count(b"\r\n\r\n") == 1
        assert len(chunk) <= MAX_REQUEST_HEAD
        assert b"host" in request.headers
        assert request.headers.keys() <= NAMES | {b"host", b"connection"}
        lowered = chunk.lower()
        assert not any(
            name in lowered for name in (b"\ncontent-length", b"\ntransfer-encoding", b"\nupgrade")
        )
        assert all(name.isascii() and name == name.lower() for name in request.headers)
        assert not any(set(value) & set(b"\r\n\0") for value in request.headers.values())
    else:
        assert isinstance(found, HandoffReason)
    assert _read(PLAIN) == (PLAIN_REQUEST, True)


def any_fields_name_one_client_or_nobody(request: Request) -> None:
    """An address comes out canonical, or not at all; a forged secret is never right."""
    for trust in TRUSTS:
        client = trust.client(request)
        assert client.how
        if client.address is not None:
            assert plain_address(client.address) == client.address
        shown = trust.secret(request)
        accepted = request.headers.get(trust.secret_header or b"") in trust.secret_values
        assert (shown is SecretCheck.RIGHT) is accepted


def any_target_is_one_key_or_refused(target: str) -> None:
    """Decoding and encoding are each other's inverse, for every path that is taken."""
    try:
        path = split_target(target)[1]
        key = object_key(path)
    except RequestError:
        return
    encoded = encode_key(key)
    assert encoded.isascii()
    assert encoded.isprintable()
    assert object_key("/" + encoded) == key
    assert unquote(path[1:], errors="strict") == key
    assert len(key.encode()) <= MAX_KEY
    assert not {".", ".."} & set(key.split("/"))
    assert not any(ord(character) < 32 or character in "\x7f\\" for character in key)


def any_request_is_decided_and_stays_with_the_configured_hosts(request: Request) -> None:
    """One decision, the same every time; a Location is one printable line to a bucket."""
    for engine in ENGINES:
        decision = engine.decide(request)
        assert engine.decide(request) == decision
        assert engine.explain(request, decision)
        match decision:
            case RedirectTo():
                _stays(decision)
                assert request.method in {"GET", "HEAD"}
            case Stream():
                assert request.method in {"GET", "HEAD"}
                assert object_key("/" + encode_key(decision.key)) == decision.key
            case Refuse():
                assert decision.status in {204, 400, 403, 405, 421}


def _stays(decision: RedirectTo) -> None:
    location = decision.location
    assert location.isascii()
    assert location.isprintable()
    assert " " not in location
    parts = urlsplit(location)
    assert parts.scheme == "https"
    assert parts.netloc in HOSTS
    assert (parts.query, parts.fragment) == ("", "")
    assert unquote(parts.path[1:], errors="strict") == decision.key
    made = RedirectText.of(decision, reason_header=True)
    answer = made.fill_head(decision.path.encode(), b"D")
    lines = answer.removesuffix(b"\r\n\r\n").split(b"\r\n")
    assert [line for line in lines if line.startswith(b"Location: ")] == [
        f"Location: {location}".encode()
    ]
    assert not any(set(line) & set(b"\r\n\0") for line in lines)


LAWS: list[Any] = [
    pytest.param(any_bytes_are_a_plain_request_or_somebody_elses,
                 _chunks() | st.binary(max_size=200), id="wire"),
    pytest.param(any_fields_name_one_client_or_nobody, _REQUESTS, id="clientip"),
    pytest.param(any_target_is_one_key_or_refused, _TARGETS, id="path"),
    pytest.param(any_request_is_decided_and_stays_with_the_configured_hosts, _REQUESTS,
                 id="decide"),
]  # fmt: skip


def _fuzz(law: Callable[[Any], None], inputs: st.SearchStrategy[Any], chosen: int | None) -> int:
    """Run one batch of examples; how many there were."""
    ran = 0

    @profile(
        max_examples=EXAMPLES,
        database=None,
        derandomize=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs)
    def batch(example: Any) -> None:
        nonlocal ran
        ran += 1
        law(example)

    run = batch if chosen is None else seed(chosen)(batch)
    run()
    return ran


@pytest.mark.parametrize(("law", "inputs"), LAWS)
def test_a_law_holds_for_whatever_comes(
    law: Callable[[Any], None], inputs: st.SearchStrategy[Any]
) -> None:
    assert _fuzz(law, inputs, None) >= EXAMPLES


@pytest.mark.long
@pytest.mark.parametrize(("law", "inputs"), LAWS)
def test_a_law_holds_for_as_long_as_asked(
    law: Callable[[Any], None],
    inputs: st.SearchStrategy[Any],
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = seeded = time.time_ns()
    end = time.monotonic() + SECONDS / len(LAWS)
    ran = 0
    while time.monotonic() < end:
        ran += _fuzz(law, inputs, seeded)
        seeded += 1
    with capsys.disabled():
        print(f"\n{request.node.name}: {ran} examples, seeds {first} to {seeded - 1}")  # noqa: T201
    assert ran > 0
