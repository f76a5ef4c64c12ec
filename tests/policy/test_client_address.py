"""The client's address, from the peer and from headers of trusted proxies."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearbucket.config.settings import ClientAddress
from nearbucket.policy.client_address import SecretCheck, Trust, client_network, plain_address
from nearbucket.policy.model import Request
from nearbucket.regions.prefixes import packed_address
from nearbucket.regions.region_table import network_set
from tests.build import CDN, request

BALANCER = "10.0.0.5"
CDN_SET = network_set(["203.0.113.128/26"])


def trust(**keys: Any) -> Trust:
    return Trust.build(ClientAddress.model_validate(keys), CDN_SET)


FORWARDED = {"from": "x-forwarded-for", "trusted_proxies": ["private"]}
ONE_HOP = {"from": "x-forwarded-for", "trusted_hops": 1}
TWO_HOPS = {"from": "x-forwarded-for", "trusted_hops": 2}
LAST = "entry 1 from the right of X-Forwarded-For"
THROUGH_CDN = {"from": "x-forwarded-for", "trusted_proxies": ["private", "cloudfront"]}


@pytest.mark.parametrize(
    ("keys", "value", "how"),
    [
        (FORWARDED, "3.5.140.1", LAST),
        (FORWARDED, "3.5.140.1, 10.0.0.9", "entry 2 from the right of X-Forwarded-For"),
        (FORWARDED, "junk", f"{LAST} is not an address"),
        (FORWARDED, "", "a trusted proxy sent no X-Forwarded-For"),
        (FORWARDED, f"3.5.140.1, {CDN}",
         f"{LAST} is an address of CloudFront; add cloudfront or a hop to the setting"),
        (THROUGH_CDN, CDN, f"{LAST}: all entries are trusted proxies"),
        (TWO_HOPS, "3.5.140.1", "X-Forwarded-For has fewer than 2 entries"),
        ({"from": "x-real-ip", "trusted_hops": 1}, "", "x-real-ip has no address"),
        ({}, "3.5.140.1", "the socket's peer"),
    ],
)  # fmt: skip
def test_the_source_of_the_address_is_named(keys: Any, value: str, how: str) -> None:
    asked = request(peer=BALANCER, x_forwarded_for=value, x_real_ip=value)
    assert trust(**keys).client(asked).how == how


@pytest.mark.parametrize(
    ("keys", "value", "client"),
    [
        pytest.param(ONE_HOP, "3.5.140.1, 203.0.113.9", "203.0.113.9", id="H1 spoof ignored"),
        pytest.param(TWO_HOPS, f"3.5.140.1, {CDN}", "3.5.140.1", id="H2 CDN and balancer"),
        pytest.param(TWO_HOPS, f"8.8.8.8, 3.5.140.1, {CDN}", "3.5.140.1", id="H2 with a spoof"),
        pytest.param(TWO_HOPS, "3.5.140.1", None, id="H7 fewer hops than configured"),
        pytest.param(FORWARDED, "3.5.140.1, 203.0.113.9", "203.0.113.9", id="networks, spoof"),
        pytest.param(FORWARDED, "3.5.140.1, 10.0.0.9", "3.5.140.1", id="networks, two balancers"),
        pytest.param(FORWARDED, "10.1.2.3", "10.1.2.3", id="a client in the private network"),
        pytest.param(FORWARDED, f"3.5.140.1, {CDN}", None, id="an edge before the balancer"),
        pytest.param(ONE_HOP, f"3.5.140.1, {CDN}", None, id="an edge, and a hop uncounted"),
        pytest.param(FORWARDED, BALANCER, None, id="only the proxy itself"),
        pytest.param(FORWARDED, CDN, CDN, id="A3 a client inside CloudFront's prefixes"),
        pytest.param(FORWARDED, "[]", None, id="empty brackets"),
        pytest.param(FORWARDED, "[]:80", None, id="empty brackets and a port"),
        pytest.param(THROUGH_CDN, f"3.5.140.1, {CDN}", "3.5.140.1", id="the word cloudfront"),
        pytest.param(THROUGH_CDN, CDN, None, id="only CloudFront"),
        pytest.param(FORWARDED, "", None, id="H4 empty"),
        pytest.param(FORWARDED, "unknown", None, id="H4 unknown"),
        pytest.param(FORWARDED, ",", None, id="H4 comma"),
        pytest.param(FORWARDED, "   ", None, id="H4 spaces"),
        pytest.param(FORWARDED, "xn--bcher-kva.example", None, id="H4 a name"),
        pytest.param(FORWARDED, "b\xfccher", None, id="H4 not ASCII"),
        pytest.param(FORWARDED, "3.5.140.1, junk", None, id="H4 junk from a trusted hop"),
        pytest.param(FORWARDED, ", ".join(["3.5.140.1"] * 1000), "3.5.140.1", id="H4 1,000"),
        pytest.param(FORWARDED, ", ".join(["10.0.0.1"] * 1000), "10.0.0.1", id="H4 1,000 trusted"),
        pytest.param(FORWARDED, "3.5.140.1:5678", "3.5.140.1", id="H5 port"),
        pytest.param(FORWARDED, "[2001:db8::1]:443", "2001:db8::1", id="H5 brackets and port"),
        pytest.param(FORWARDED, '"[2001:db8::1]"', "2001:db8::1", id="H5 quoted"),
        pytest.param(FORWARDED, "2001:DB8:0::1", "2001:db8::1", id="IPv6 in canonical form"),
        pytest.param(FORWARDED, "::ffff:3.5.140.1", "3.5.140.1", id="mapped IPv4"),
        pytest.param(FORWARDED, "fe80::1%eth0", None, id="zone id"),
        pytest.param(FORWARDED, "1.2.3", None, id="three numbers"),
        pytest.param(FORWARDED, "0x7f.1.1.1", None, id="hexadecimal"),
    ],
)  # fmt: skip
def test_x_forwarded_for_is_read_from_the_right(
    keys: dict[str, Any], value: str, client: str | None
) -> None:
    asked = request(peer=BALANCER, x_forwarded_for=value)
    assert trust(**keys).client(asked).address == client


def test_an_untrusted_peer_is_the_client_whatever_it_claims() -> None:
    asked = request(peer="203.0.113.9", x_forwarded_for="3.5.140.1")
    assert trust(**FORWARDED).client(asked).address == "203.0.113.9"


def test_a_trusted_proxy_without_the_header_leaves_the_client_unknown() -> None:
    assert trust(**FORWARDED).client(request(peer=BALANCER)).address is None


def test_by_default_only_the_peer_counts() -> None:
    asked = request(peer="192.0.2.1", x_forwarded_for="3.5.140.1")
    assert trust().client(asked).address == "192.0.2.1"


@pytest.mark.parametrize("peer", [CDN, None, "", "/run/socket", "fe80::1%eth0"])
def test_a_peer_that_is_no_client_leaves_it_unknown(peer: str | None) -> None:
    assert trust().client(request(peer=peer)).address is None


VIEWER = {"from": "cloudfront-viewer-address", "trusted_proxies": ["private"]}


@pytest.mark.parametrize(
    ("value", "client"),
    [
        pytest.param("198.51.100.10:46532", "198.51.100.10", id="IPv4"),
        pytest.param("2600:300:f:abcd::9:9985", "2600:300:f:abcd::9", id="H6 short port"),
        pytest.param("2600:300:f:abcd::9:46532", "2600:300:f:abcd::9", id="H6 long port"),
        pytest.param("[2600:300:f:abcd::9]:9985", "2600:300:f:abcd::9", id="bracketed"),
        pytest.param("198.51.100.10", None, id="no port"),
        pytest.param("198.51.100.10:46532, 3.5.140.1:80", None, id="two headers"),
        pytest.param("", None, id="empty"),
        pytest.param("198.51.100.10:http", None, id="no number"),
        pytest.param("junk:80", None, id="junk"),
    ],
)
def test_the_viewer_address_is_split_at_its_last_colon(value: str, client: str | None) -> None:
    asked = request(peer=BALANCER, cloudfront_viewer_address=value)
    assert trust(**VIEWER).client(asked).address == client


def test_the_viewer_address_of_an_untrusted_peer_is_ignored() -> None:
    asked = request(peer="203.0.113.9", cloudfront_viewer_address="3.5.140.1:80")
    assert trust(**VIEWER).client(asked).address == "203.0.113.9"


def test_x_real_ip_may_carry_a_port() -> None:
    asked = request(peer=BALANCER, x_real_ip="3.5.140.1:80")
    assert trust(**{**VIEWER, "from": "x-real-ip"}).client(asked).address == "3.5.140.1"


SECRET = {"values": ["old", "new"]}
WITH_SECRET = {"from": "x-forwarded-for", "trusted_proxies": ["private"], "origin_secret": SECRET}
ONLY_SECRET = {"from": "x-forwarded-for", "origin_secret": SECRET}


@pytest.mark.parametrize(
    ("keys", "peer", "shown", "client"),
    [
        pytest.param(WITH_SECRET, BALANCER, "new", "3.5.140.1", id="right"),
        pytest.param(WITH_SECRET, BALANCER, "old", "3.5.140.1", id="right, rotating"),
        pytest.param(WITH_SECRET, BALANCER, None, None, id="H8 absent: a proxy is no client"),
        pytest.param(WITH_SECRET, "203.0.113.9", None, "203.0.113.9", id="H8 absent: the peer"),
        pytest.param(WITH_SECRET, "203.0.113.9", "new", "203.0.113.9", id="right, wrong peer"),
        pytest.param(ONLY_SECRET, CDN, "new", "3.5.140.1", id="the secret alone vouches"),
        pytest.param(ONLY_SECRET, CDN, None, None, id="CloudFront without the secret"),
    ],
)
def test_without_the_origin_secret_forwarded_headers_are_ignored(
    keys: dict[str, Any], peer: str, shown: str | None, client: str | None
) -> None:
    fields = {"x_forwarded_for": "8.8.8.8, 3.5.140.1"} | (
        {"x_origin_verify": shown} if shown is not None else {}
    )
    assert trust(**keys).client(request(peer=peer, **fields)).address == client


@pytest.mark.parametrize(
    ("shown", "state"),
    [("new", SecretCheck.RIGHT), ("old", SecretCheck.RIGHT), ("NEW", SecretCheck.WRONG),
     ("", SecretCheck.WRONG), (None, SecretCheck.ABSENT)],
)  # fmt: skip
def test_the_secret_is_right_absent_or_wrong(shown: str | None, state: SecretCheck) -> None:
    fields = {"x_origin_verify": shown} if shown is not None else {}
    assert trust(**WITH_SECRET).secret(request(**fields)) is state


def test_no_secret_is_asked_for_by_default() -> None:
    assert trust().secret(request(x_origin_verify="x")) is SecretCheck.NOT_CONFIGURED


@given(st.binary(max_size=80), st.sampled_from([ONE_HOP, TWO_HOPS, FORWARDED, THROUGH_CDN]))
def test_any_header_gives_an_address_or_none(value: bytes, keys: dict[str, Any]) -> None:
    asked = Request("GET", "/", {b"x-forwarded-for": value}, BALANCER)
    found = trust(**keys).client(asked)
    assert found.address is None or plain_address(found.address) == found.address
    assert found.packed == (None if found.address is None else packed_address(found.address))


@pytest.mark.parametrize(
    ("peer", "packed"),
    [
        ("192.0.2.1", b"\xc0\0\2\1"),
        ("::ffff:192.0.2.1", b"\xc0\0\2\1"),
        ("2001:DB8::1", b"\x20\1\x0d\xb8" + bytes(11) + b"\1"),
        (CDN, None),
        (None, None),
    ],
)
def test_a_known_client_comes_packed_for_lookups(peer: str | None, packed: bytes | None) -> None:
    assert trust().client(request(peer=peer)).packed == packed


def test_a_network_trusted_by_hand_does_not_make_its_cdn_a_proxy() -> None:
    by_hand = {"from": "x-forwarded-for", "trusted_proxies": ["private", "203.0.113.128/26"]}
    asked = request(peer=BALANCER, x_forwarded_for=f"3.5.140.1, {CDN}")
    assert trust(**by_hand).client(asked).address is None


def test_the_last_of_trusted_networks_is_the_client_though_a_cdn_is_in_them() -> None:
    by_hand = {"from": "x-forwarded-for", "trusted_proxies": ["private", "203.0.113.128/26"]}
    assert trust(**by_hand).client(request(peer=BALANCER, x_forwarded_for=CDN)).address == CDN


@pytest.mark.parametrize(
    ("address", "same", "other"),
    [
        ("192.0.2.1", "192.0.2.254", "192.0.3.1"),
        ("::ffff:192.0.2.1", "192.0.2.254", "::ffff:192.0.3.1"),
        ("2001:db8:1:200::1", "2001:db8:1:2ff::2", "2001:db8:1:300::1"),
    ],
)
def test_a_client_network_is_a_24_of_ipv4_and_a_56_of_ipv6(
    address: str, same: str, other: str
) -> None:
    assert client_network(address) == client_network(same) != client_network(other)
    assert client_network(None) == client_network("") == b""
