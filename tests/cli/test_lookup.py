"""``lookup`` compared with a simple oracle, and with invalid input."""

from __future__ import annotations

import ipaddress
import itertools
import json
import random
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import pytest

from nearbucket.cli.output import NO_RANGES
from tests.build import OUTSIDE, WEST
from tests.cli.conftest import BUILT_IN_DATE, MIRROR, TITLE, lines_of, write
from tests.ranges_lists import LISTS, RangesList

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from tests.cli.conftest import Run

    Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Found(NamedTuple):
    """The entry of an address in a list."""

    region: str
    prefix: str
    services: list[str]
    groups: list[str]


class Oracle:
    """Finds the longest prefix with one dictionary for each length."""

    def __init__(self, body: bytes) -> None:
        top = json.loads(body)
        self._levels: dict[tuple[int, int], dict[int, list[dict[str, str]]]] = {}
        for each in top["prefixes"] + top["ipv6_prefixes"]:
            network = ipaddress.ip_network(each.get("ip_prefix") or each["ipv6_prefix"])
            level = self._levels.setdefault((network.version, network.prefixlen), defaultdict(list))
            level[int(network.network_address)].append({**each, "prefix": str(network)})
        self.size = sum(map(len, self._levels.values()))

    def asks(self, address: Address) -> Found:
        bits = address.max_prefixlen
        rows: list[list[dict[str, str]]] = []
        for length in range(bits, -1, -1):
            start = int(address) >> bits - length << bits - length
            rows.append(self._levels.get((address.version, length), {}).get(start, []))
        holding = [each for each in rows if each]
        counted = [
            each
            for each in ([r for r in rows if r["service"] == "EC2"] for rows in holding)
            if each
        ]
        regions = {each["region"] for each in counted[0]} if counted else {"GLOBAL"}
        known = len(regions) == 1 and regions != {"GLOBAL"}
        return Found(
            regions.pop() if known else "UNKNOWN",
            holding[0][0]["prefix"] if holding else "-",
            sorted({each["service"] for level in holding for each in level}),
            sorted({each["network_border_group"] for each in holding[0]}) if holding else [],
        )

    def near(self, count: int, chance: random.Random) -> Iterator[Address]:
        """Addresses in, at the edges of and just beside listed prefixes."""
        places = [(*level, start) for level, starts in self._levels.items() for start in starts]
        for version, length, start in chance.choices(places, k=count):
            bits = 32 if version == 4 else 128
            size = 1 << bits - length
            offset = chance.choice([0, size - 1, -1, size, chance.randrange(size)])
            kind = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
            yield kind((start + offset) % (1 << bits))


@pytest.fixture(scope="module", params=LISTS)
def ranges_list(request: pytest.FixtureRequest) -> RangesList:
    found: RangesList = request.param
    return found


@pytest.fixture(scope="module")
def asked(ranges_list: RangesList) -> dict[str, Found]:
    """Text of addresses, five for each prefix or 20,000, with the entry of each."""
    chance, oracle = random.Random(20260729), Oracle(ranges_list.document)  # noqa: S311 - a seed repeats
    found: dict[str, Found] = {}
    total = min(20_000, 5 * oracle.size)
    near = oracle.near(2 * total, chance)
    anywhere = (ipaddress.IPv4Address(chance.getrandbits(32)) for _ in itertools.count())
    addresses: Iterable[Address] = itertools.chain(
        itertools.islice(near, total * 7 // 10), anywhere
    )
    for number, address in enumerate(addresses):
        mapped = address.version == 4 and number % 20 == 0
        found[f"::ffff:{address}" if mapped else str(address)] = oracle.asks(address)
        if len(found) == total:
            break
    assert len({each.region for each in found.values()}) > 30
    return found


def stdin_of(asked: Mapping[str, Found]) -> bytes:
    return "".join(f"{address}\n" for address in asked).encode()


def test_lookup_of_many_addresses_agrees_with_the_oracle(
    nearbucket: Run, ranges_list: RangesList, asked: dict[str, Found]
) -> None:
    done = nearbucket("lookup", "--ranges", str(ranges_list.path), stdin=stdin_of(asked))
    assert lines_of(done) == [f"{ip}\t{found.region}" for ip, found in asked.items()]


def test_lookup_details_of_many_addresses_agree_with_the_oracle(
    nearbucket: Run, ranges_list: RangesList, asked: dict[str, Found]
) -> None:
    done = nearbucket(
        "lookup", "--details", "--ranges", str(ranges_list.path), stdin=stdin_of(asked)
    )
    assert lines_of(done) == [
        "\t".join(
            (
                ip,
                found.region,
                found.prefix,
                ",".join(found.services) or "-",
                ",".join(found.groups) or "-",
            )
        )
        for ip, found in asked.items()
    ]


@pytest.mark.parametrize("details", [False, True], ids=["short", "details"])
def test_lookup_json_of_many_addresses_agrees_with_the_oracle(
    nearbucket: Run,
    ranges_list: RangesList,
    asked: dict[str, Found],
    details: bool,  # noqa: FBT001 - a parameter of a table
) -> None:
    more = ["--details"] if details else []
    done = nearbucket(
        "lookup", "--json", *more, "--ranges", str(ranges_list.path), stdin=stdin_of(asked)
    )
    assert [json.loads(line) for line in lines_of(done)] == [
        {"ip": ip, "region": found.region}
        | (
            {"prefix": found.prefix, "services": found.services, "border_groups": found.groups}
            if details
            else {}
        )
        for ip, found in asked.items()
    ]


def test_lookup_takes_addresses_as_arguments_and_leaves_standard_input_alone(
    nearbucket: Run, listed: str
) -> None:
    done = nearbucket(
        "lookup", "--ranges", listed, WEST, OUTSIDE, "2001:db8:1::7", stdin=b"192.0.2.7\n"
    )
    assert done == (
        0,
        "198.51.100.7\tus-west-2\n203.0.113.250\tUNKNOWN\n2001:db8:1::7\tus-east-1\n",
        "",
    )


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("junk", "junk"),
        ("é", "é"),
        ("a\tb", r"a\tb"),
        (TITLE, r"\x1b]0;owned\x07"),
        ("192.0.2.0/24",) * 2,
    ],
    ids=ascii,
)
def test_lookup_of_what_is_no_address_says_so_and_goes_on_with_the_next(
    nearbucket: Run, listed: str, address: str, shown: str
) -> None:
    for arguments, stdin in (((address, WEST), b""), ((), f"{address}\n{WEST}\n".encode())):
        assert nearbucket("lookup", "--ranges", listed, *arguments, stdin=stdin) == (
            1,
            f"{shown}\tUNKNOWN\n198.51.100.7\tus-west-2\n",
            f"nearbucket: {shown} is not an IP address\n",
        )


@pytest.mark.parametrize(
    ("stdin", "out"),
    [
        pytest.param(b"192.0.2.7\r\n", "192.0.2.7\tus-east-1\n", id="other line ends"),
        pytest.param(b"\n  \n 192.0.2.7 \n\n", "192.0.2.7\tus-east-1\n", id="empty lines, spaces"),
        pytest.param(b"192.0.2.7", "192.0.2.7\tus-east-1\n", id="no last line end"),
        pytest.param(b"", "", id="nothing"),
    ],
)
def test_lookup_reads_one_address_a_line(
    nearbucket: Run, listed: str, stdin: bytes, out: str
) -> None:
    assert nearbucket("lookup", "--ranges", listed, stdin=stdin) == (0, out, "")


def test_lookup_of_bytes_that_are_no_text_goes_on_with_the_next_line(
    nearbucket: Run, listed: str
) -> None:
    code, out, _ = nearbucket("lookup", "--ranges", listed, stdin=b"\xff\xfe\n192.0.2.7\n")
    assert code == 1
    assert out.splitlines()[1:] == ["192.0.2.7\tus-east-1"]


def test_lookup_counts_the_services_and_overrides_it_is_told(
    nearbucket: Run, listed: str, tmp_path: Path
) -> None:
    service = "CLOUDFRONT_ORIGIN_FACING"
    path = write(tmp_path / "o.yaml", regions={"overrides": {"10.0.0.0/8": "eu-west-1"}})
    done = nearbucket(
        "lookup", "--ranges", listed, "--service", service, "--config", path, "10.1.2.3", WEST
    )
    assert done.out == "10.1.2.3\teu-west-1\n198.51.100.7\tUNKNOWN\n"


@pytest.mark.parametrize(
    ("service", "hint"),
    [("ec2", "did you mean EC2?"), ("NOPE", "it has "), ("", "it has ")],
)
def test_lookup_refuses_a_service_that_the_list_does_not_have(
    nearbucket: Run, listed: str, service: str, hint: str
) -> None:
    code, out, err = nearbucket("lookup", "--ranges", listed, "--service", service, WEST)
    assert (code, out) == (2, "")
    assert f"--service: {service!r} is not a label in the list; {hint}" in err


@pytest.mark.parametrize("command", ["lookup 192.0.2.7", "ranges show"])
def test_without_a_list_the_way_to_one_is_said(
    nearbucket: Run, command: str, tmp_path: Path
) -> None:
    config = write(tmp_path / "t.yaml", regions=MIRROR)
    assert nearbucket(*command.split(), "--config", config) == (2, "", f"nearbucket: {NO_RANGES}\n")
    assert "`nearbucket ranges update` with the same --config, or give" in NO_RANGES


@pytest.mark.parametrize("command", ["lookup 192.0.2.7", "ranges show"])
def test_that_the_list_is_the_built_in_one_is_said(nearbucket: Run, command: str) -> None:
    code, out, err = nearbucket(*command.split())
    assert (code, bool(out)) == (0, True)
    assert err == (
        f"nearbucket: the list of prefixes is the built-in one of {BUILT_IN_DATE}; "
        "`nearbucket ranges update` fetches the current one\n"
    )


def test_the_environment_alone_says_where_the_list_is(
    nearbucket: Run, listed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEARBUCKET_REGIONS__SOURCE", listed)
    assert nearbucket("lookup", WEST).out == "198.51.100.7\tus-west-2\n"


# explain
