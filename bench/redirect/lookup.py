"""Lookups: the region of an address, and whether a set of networks contains it.

Tables: lookups beside pytricia's, sets of networks, and what the table costs to build, to send
to a worker and to keep in memory.

A request's address is packed once, where its text is checked and normalised, and looked up
packed; so both are given the packed address, which pytricia takes too. The commands for people
take text. There each side packs the text itself; our table also tells the family and reads
IPv4-mapped IPv6 as IPv4.

pytricia (C, a Patricia trie) is the fastest table of prefixes for Python. PyPI has its source
only, so it is measured where it is installed and left out elsewhere.
"""

from __future__ import annotations

import pickle
import random
import time
import tracemalloc
from importlib import import_module
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from bench.lib.case import BenchError
from bench.lib.frame import Figure, Row, Table, interleaved, middle, ratios
from nearbucket.regions.ip_ranges import read_ranges
from nearbucket.regions.prefixes import BITS, packed_address, prefix_text
from nearbucket.regions.region_table import build_table, network_set, networks_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from bench.lib.frame import Context
    from nearbucket.regions.ip_ranges import Ranges

    Ask = Callable[[Any], object]

Address = TypeVar("Address", str, bytes)

TITLE = "One lookup"
SERVICES = ("EC2",)
_ADDRESSES, _QUICK_ADDRESSES = 100_000, 10_000
_OUTSIDE4 = "IPv4 outside AWS"
_THEIRS, _LOOP = "pytricia", "the loop alone"
_MEGA, _KIB = 1e6, 1024  # nanoseconds of a millisecond

_NS = Figure("ns", "ns a lookup", digits=0)
_LOOKUP = (
    _NS,
    Figure("ratio", "to pytricia", watched=True),
    Figure("ratio_low", "lowest"),
    Figure("ratio_high", "highest"),
)
_COSTS = (Figure("cpu_ms", "CPU ms", digits=1), Figure("kib", "KiB", digits=0, watched=True))


class Tries(NamedTuple):
    """The same prefixes in pytricia, which needs one trie a family."""

    v4: Any
    v6: Any

    def region(self, address: str) -> object:
        """Like ``RegionTable.region``: an address of either family, and never an error.

        Not quite: ``192.0.2.1/32`` and ``192.0.2`` are addresses to pytricia.
        """
        try:
            return (self.v4 if "." in address else self.v6).get(address)
        except (ValueError, TypeError):
            return None

    def region_of(self, packed: bytes) -> object:
        """Like ``RegionTable.region_of``."""
        return (self.v4 if len(packed) == 4 else self.v6).get(packed)  # noqa: PLR2004  # bytes


def run(context: Context) -> Sequence[Table]:
    """Time one kind of address after another, with every table in each round."""
    ranges = read_ranges(context.ranges.read_bytes())
    count = _QUICK_ADDRESSES if context.quick else _ADDRESSES
    kinds = dict(_kinds(ranges, count))
    packed = {kind: [packed_address(text) or b"" for text in kinds[kind]] for kind in kinds}
    tries = _tries(ranges)
    requests = {kind: (_packed_lookups(ranges, tries, kind), packed[kind]) for kind in kinds}
    people = {kind: (_lookups(ranges, tries, kind), kinds[kind]) for kind in kinds}
    sets = {name: ({name: holds}, packed[_OUTSIDE4]) for name, holds in _sets(ranges).items()}
    for asking in (*requests.values(), *people.values(), *sets.values()):
        context.steps.expect((len(asking[0]) + 1) * (context.rounds + 1))
    missing = () if tries else ("pytricia is left out: pip install pytricia (needs a compiler)",)
    load: dict[str, str | float | bool] = {"addresses": count, "services": ", ".join(SERVICES)}
    columns = ("addresses", "asked")
    by_request = tuple(_rows(requests, context))
    by_person = tuple(_rows(people, context))
    held = tuple(Row((name,), _figures(*each, context)[name]) for name, each in sets.items())
    return [
        Table("packed", f"{TITLE}, as requests do", columns, _LOOKUP, by_request, missing, load),
        Table("lookup", f"{TITLE}, of a text", columns, _LOOKUP, by_person, missing, load),
        Table("holds", f"Does a set hold it? ({_OUTSIDE4})", ("networks",), (_NS,), held, (), load),
        Table("table", "The table", ("step",), _COSTS, _costs(context.ranges, context.rounds)),
    ]


def _rows(
    kinds: dict[str, tuple[dict[str, Ask], list[Address]]], context: Context
) -> Iterator[Row]:
    for kind, each in kinds.items():
        for name, figures in _figures(*each, context).items():
            yield Row((kind, name), figures)


def _kinds(ranges: Ranges, count: int) -> Iterator[tuple[str, list[str]]]:
    """Random addresses, the same in every run.

    By address, wide prefixes are met more often than narrow ones; by prefix, all the same.
    """
    chance = random.Random(1)  # noqa: S311  # a seed repeats, that is the point
    table = build_table(ranges, SERVICES, {})
    for family, bits in BITS.items():
        rows = [row for row in _counted(ranges) if row[0] == family]
        sizes = [1 << bits - length for _, _, length, _ in rows]
        for way, weights in (("address", sizes), ("prefix", None)):
            found = chance.choices(list(zip(rows, sizes, strict=True)), weights, k=count)
            values = [first + chance.randrange(size) for (_, first, *_), size in found]
            yield f"IPv{family} in AWS, by {way}", [_text(family, value) for value in values]
        # 2000::/3 has all public IPv6 addresses (RFC 4291).
        first, size = (0, 1 << 32) if family == 4 else (1 << 125, 1 << 125)  # noqa: PLR2004  # IPv4
        some = (_text(family, first + chance.randrange(size)) for _ in range(2 * count))
        outside = (each for each in some if not table.match(each))
        yield f"IPv{family} outside AWS", list(islice(outside, count))


def _text(family: int, value: int) -> str:
    return prefix_text(family, value, BITS[family]).partition("/")[0]


def _counted(ranges: Ranges) -> list[tuple[int, int, int, str | None]]:
    """Family, first address, length and region of the prefixes that decide."""
    rows = {row[:4] for row in ranges.rows if row.service in SERVICES}
    return sorted(rows, key=lambda row: row[:3])


def _tries(ranges: Ranges) -> Tries | None:
    try:
        pytricia = import_module("pytricia")
    except ImportError:
        return None
    tries = Tries(*(pytricia.PyTricia(bits) for bits in BITS.values()))
    for family, first, length, region in _counted(ranges):
        trie = tries.v6 if BITS[family] > BITS[4] else tries.v4
        trie.insert(prefix_text(family, first, length), region)
    return tries


def _lookups(ranges: Ranges, tries: Tries | None, kind: str) -> dict[str, Ask]:
    asking: dict[str, Ask] = {"RegionTable.region": build_table(ranges, SERVICES, {}).region}
    if tries:
        asking[_THEIRS] = (tries.v4 if kind.startswith("IPv4") else tries.v6).get
        asking["pytricia in such a method"] = tries.region
    return asking


def _packed_lookups(ranges: Ranges, tries: Tries | None, kind: str) -> dict[str, Ask]:
    table = build_table(ranges, SERVICES, {})
    asking: dict[str, Ask] = {"RegionTable.region_of": table.region_of}
    if tries:
        asking[_THEIRS] = (tries.v4 if kind.startswith("IPv4") else tries.v6).get
        asking["pytricia in such a method"] = tries.region_of
    return asking


def _sets(ranges: Ranges) -> dict[str, Ask]:
    cloudfront = networks_of(ranges, "CLOUDFRONT_ORIGIN_FACING")
    private = network_set(["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"])
    return {
        "none": network_set([]).holds_packed,
        "one": network_set(["10.0.0.0/8"]).holds_packed,
        "private": private.holds_packed,
        "CloudFront's": cloudfront.holds_packed,
    }


def _figures(
    asking: dict[str, Ask], addresses: list[Address], context: Context
) -> dict[str, dict[str, float | None]]:
    """The figures of each table, with the loop's own time subtracted in each round.

    Raises:
        BenchError: They do not agree.
    """
    if len({tuple(map(ask, addresses)) for ask in asking.values()}) > 1:
        raise BenchError("pytricia and the table do not agree")
    things: dict[str, Ask | None] = {_LOOP: None, **asking}
    samples = interleaved(things, lambda ask, _: _nanoseconds(ask, addresses), context)
    loop = samples.pop(_LOOP)
    net = {
        name: [one - empty for one, empty in zip(each, loop, strict=True)]
        for name, each in samples.items()
    }
    return {name: _row(each, net.get(_THEIRS)) for name, each in net.items()}


def _nanoseconds(ask: Ask | None, addresses: list[Address]) -> float:
    """CPU time an address."""
    begin = time.thread_time_ns()
    if ask is None:
        for _address in addresses:
            pass
    else:
        for address in addresses:
            ask(address)
    return (time.thread_time_ns() - begin) / len(addresses)


def _row(ours: list[float], theirs: list[float] | None) -> dict[str, float | None]:
    if theirs is None:
        return {"ns": middle(ours)}
    found = ratios(ours, theirs)
    return {
        "ns": middle(ours),
        "ratio": middle(found),
        "ratio_low": min(found, default=None),
        "ratio_high": max(found, default=None),
    }


def _costs(path: Path, rounds: int) -> tuple[Row, ...]:
    """What the list's way into a worker takes: CPU time, and bytes at each end."""
    document = path.read_bytes()
    ranges = read_ranges(document)
    table = build_table(ranges, SERVICES, {})
    sent = pickle.dumps(table, protocol=pickle.HIGHEST_PROTOCOL)
    steps: dict[str, tuple[Callable[[], object], int | None]] = {
        "read_ranges": (lambda: read_ranges(document), None),
        "build_table": (lambda: build_table(ranges, SERVICES, {}), None),
        "pickled, to be sent": (
            lambda: pickle.dumps(table, protocol=pickle.HIGHEST_PROTOCOL),
            len(sent),
        ),
        "kept by a worker": (lambda: pickle.loads(sent), None),  # noqa: S301  # our own bytes
    }
    return tuple(
        Row(
            (name,),
            {
                "cpu_ms": middle(_milliseconds(step) for _ in range(rounds)),
                "kib": (_memory(step) if size is None else size) / _KIB,
            },
        )
        for name, (step, size) in steps.items()
    )


def _milliseconds(step: Callable[[], object]) -> float:
    begin = time.thread_time_ns()
    step()
    return (time.thread_time_ns() - begin) / _MEGA


def _memory(step: Callable[[], object]) -> int:
    """Bytes of what a step makes, while it is kept."""
    tracemalloc.start()
    try:
        made = step()
        held = tracemalloc.get_traced_memory()[0]
        del made
    finally:
        tracemalloc.stop()
    return held
