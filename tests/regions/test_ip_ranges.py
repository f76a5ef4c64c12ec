"""Reading the list: what is a list, and which rows of it are used."""

from __future__ import annotations

import ipaddress
import re

import pytest

from nearbucket.errors import RangesError
from nearbucket.regions.ip_ranges import PrefixRow, read_ranges
from nearbucket.regions.region_table import build_table
from tests.ranges_lists import GOOD, RangesList, document, each_list, row


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(b"", "not JSON", id="empty-body"),
        pytest.param(b"<html><body>502</body></html>", "not JSON", id="html"),
        pytest.param(document(GOOD)[:-20], "not JSON", id="truncated"),
        pytest.param(b"\xff\xfe\x00", "not JSON", id="no-text"),
        pytest.param(b"[" * 200_000, "not JSON", id="nested-too-deep"),
        pytest.param(b'{"syncToken": ' + b"9" * 5000 + b"}", "not JSON", id="number-too-long"),
        pytest.param(b"[]", "a JSON list where an object belongs", id="list"),
        pytest.param(b"null", "a JSON NoneType where an object belongs", id="null"),
        pytest.param(b"{}", "no syncToken", id="empty-object"),
        pytest.param(document(GOOD, syncToken=None), "no syncToken", id="null-token"),
        pytest.param(document(GOOD, syncToken="abc"), "odd syncToken: 'abc'", id="word-token"),
        pytest.param(document(GOOD, syncToken="-1"), "odd syncToken", id="negative-token"),
        pytest.param(document(GOOD, syncToken=True), "odd syncToken", id="boolean-token"),
        pytest.param(document(GOOD, syncToken="\u0661"), "odd syncToken", id="foreign-digit"),
        pytest.param(document(GOOD, syncToken="1" * 99), "odd syncToken", id="endless-token"),
        pytest.param(document(GOOD, createDate=5), "odd createDate: 5", id="number-date"),
        pytest.param(document(GOOD, createDate="\x1b[2J"), "odd createDate", id="escape-date"),
        pytest.param(
            document(GOOD, createDate="x" * 99), "odd createDate: 'x{79}$", id="long-date"
        ),
        pytest.param(document(), "no usable prefix .none is listed", id="empty-lists"),
        pytest.param(b'{"syncToken": "1"}', "no usable prefix", id="no-lists"),
        pytest.param(document("junk", 5), "no usable prefix .prefixes.0.", id="only-junk"),
        pytest.param(document(prefixes={}), "prefixes is a JSON dict", id="prefixes-object"),
        pytest.param(document(GOOD, ipv6_prefixes=None), "ipv6_prefixes is a", id="v6-null"),
    ],
)
def test_a_document_that_is_not_a_list_is_refused_with_the_reason(body: bytes, reason: str) -> None:
    with pytest.raises(RangesError, match=reason):
        read_ranges(body)


@pytest.mark.parametrize(
    "prefix",
    [
        *("0.0.0.0/0", "252.0.0.0/10", "10.0.0.0/8", "3.0.0.0/7", "10.1.2.3/32", "127.0.0.1/32"),
        *("100.64.0.0/24", "169.254.169.254/32", "172.31.0.0/16", "192.168.1.0/24", "239.0.0.0/8"),
        *("192.0.0.0/8", "100.0.0.0/8", "0.1.2.3/32", "255.255.255.255/32"),
        *("3.5.140.0/33", "3.5.140/24", "3.5.140.0/-1", "3.5.140.0/ 24", "3.5.140.0/", "/24", ""),
        *("3.5.140.0/24/24", "3.5.140.0/\u0662", "junk\x1b[31m", "3.5.140.0\0/24"),
        *("::/0", "2600::/15", "::/16", "::1/128", "fc00::/7", "fd12::/48", "fe80::/64"),
        *("ff02::1/128", "2600::/129", "2600::%1/64", "::ffff:3.5.140.0/118"),
    ],
    ids=ascii,
)
def test_a_row_that_cannot_be_right_is_left_out_alone(prefix: str) -> None:
    bad = row(prefix)
    v6 = [bad] if ":" in prefix else []
    ranges = read_ranges(document(GOOD, *([] if v6 else [bad]), v6=v6))
    assert [each.prefix for each in ranges.rows] == ["3.5.140.0/22"]
    assert ranges.skipped_rows == len(ranges.skipped) == 1
    assert ranges.skipped[0].startswith("ipv6_prefixes[0]: " if v6 else "prefixes[1]: ")
    assert re.search(r"not an IPv|too wide: |special-purpose space: ", ranges.skipped[0])
    assert ranges.skipped[0].isprintable()


@pytest.mark.parametrize(
    "bad",
    [
        *(None, 5, "3.5.140.0/22", [], {}, GOOD | {"ip_prefix": 5}, GOOD | {"ip_prefix": None}),
        *(GOOD | {"region": None}, GOOD | {"region": ["x"]}, GOOD | {"region": ""}),
        *(GOOD | {"region": "x\r\nSet-Cookie: a"}, GOOD | {"service": {}}),
        *(GOOD | {"service": "S" * 65}, GOOD | {"network_border_group": 7}),
        {"ipv6_prefix": "2600::/32", "region": "x", "service": "EC2"},
    ],
    ids=ascii,
)
def test_a_row_of_wrong_types_or_names_is_left_out_alone(bad: object) -> None:
    ranges = read_ranges(document(bad, GOOD))
    assert (len(ranges.rows), ranges.skipped_rows) == (1, 1)
    assert re.search(r"not names: |is not text: |where an object belongs", ranges.skipped[0])


def test_host_bits_unknown_keys_regions_and_services_are_data() -> None:
    body = document(
        row("203.0.113.77/24", "mars-north-1", "TELEPORT") | {"since": 2031},
        v6=[{"ipv6_prefix": "2001:db8::9/32", "region": "GLOBAL", "service": "EC2"}],
        note=["extra"],
    )
    ranges = read_ranges(body)
    assert ranges.rows == (
        PrefixRow(4, 0xCB007100, 24, "mars-north-1", "TELEPORT", "mars-north-1"),
        PrefixRow(6, 0x20010DB8 << 96, 32, None, "EC2", "GLOBAL"),
    )
    assert [each.prefix for each in ranges.rows] == ["203.0.113.0/24", "2001:db8::/32"]
    assert build_table(ranges, ["TELEPORT"], {}).region("203.0.113.1") == "mars-north-1"


def test_a_row_may_be_as_wide_as_one_byte_of_ipv4_or_two_of_ipv6() -> None:
    ranges = read_ranges(document(row("3.0.0.0/8"), v6=[row("2600::/16")]))
    assert [each.prefix for each in ranges.rows] == ["3.0.0.0/8", "2600::/16"]


def test_notes_about_rows_left_out_are_bounded_and_all_are_counted() -> None:
    ranges = read_ranges(document(GOOD, *({"ip_prefix": "x" * 10_000} for _ in range(1000))))
    assert ranges.skipped_rows == 1000
    assert len(ranges.skipped) == 20
    assert max(map(len, ranges.skipped)) < 200


def test_a_name_that_many_rows_have_is_in_memory_once() -> None:
    first, second = read_ranges(document(row("3.5.140.0/22"), row("203.0.113.0/24"))).rows
    assert first.region is second.region is first.border_group
    assert first.service is second.service


def test_addresses_count_nested_and_repeated_prefixes_once() -> None:
    body = document(
        row("203.0.113.0/24"),
        row("203.0.113.0/24", service="AMAZON"),
        row("203.0.113.128/25"),
        row("203.0.114.0/32"),
        v6=[row("2001:db8::/127"), row("2001:db8::1/128"), row("2001:db8::4/128")],
    )
    assert read_ranges(body).addresses() == (257, 3)


@each_list
def test_addresses_of_a_list_are_those_of_its_prefixes_collapsed(ranges_list: RangesList) -> None:
    rows = ranges_list.ranges.rows
    v4 = [ipaddress.IPv4Network(each.prefix) for each in rows if each.family == 4]
    v6 = [ipaddress.IPv6Network(each.prefix) for each in rows if each.family == 6]
    assert ranges_list.ranges.addresses() == (
        sum(net.num_addresses for net in ipaddress.collapse_addresses(v4)),
        sum(net.num_addresses for net in ipaddress.collapse_addresses(v6)),
    )


@pytest.mark.parametrize(
    "prefix",
    ["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "198.51.100.1/32"],
)
def test_documentation_networks_are_accepted_for_the_sample_list(prefix: str) -> None:
    v4, v6 = ([], [row(prefix)]) if ":" in prefix else ([row(prefix)], [])
    assert [each.prefix for each in read_ranges(document(*v4, v6=v6)).rows] == [prefix]
