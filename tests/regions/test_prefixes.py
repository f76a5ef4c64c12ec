"""Networks as they are written: host bits are cleared, and mapped networks are IPv4 networks."""

from __future__ import annotations

import pytest

from nearbucket.regions.prefixes import parse_network, prefix_text


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("192.0.2.7/24", "192.0.2.0/24"),
        ("192.0.2.7", "192.0.2.7/32"),
        ("2001:db8:1::7/32", "2001:db8::/32"),
        ("2001:db8::7", "2001:db8::7/128"),
        ("::ffff:192.0.2.7/120", "192.0.2.0/24"),
        ("::ffff:192.0.2.7", "192.0.2.7/32"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("::ffff:0:0/95", "::fffe:0:0/95"),
        ("::/0", "::/0"),
    ],
)
def test_a_network_is_read(text: str, network: str) -> None:
    parsed = parse_network(text)
    assert parsed is not None
    assert prefix_text(*parsed) == network


@pytest.mark.parametrize(
    "text",
    ["", "/24", "192.0.2.0/33", "192.0.2.0/", "192.0.2.0/+8", "192.0.2/24", "::/129", "::/\u0966",
     "192.0.2.0/24/24", "2001:db8::%eth0/64"],
)  # fmt: skip
def test_what_is_no_network_is_none(text: str) -> None:
    assert parse_network(text) is None
