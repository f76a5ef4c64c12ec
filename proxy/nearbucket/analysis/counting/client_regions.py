"""Regions and networks of a store's clients, each looked up once in the product's own table."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING

import pyarrow as pa

from nearbucket.analysis.answers import AMAZON_NO_REGION, NO_ADDRESS
from nearbucket.policy.model import UNKNOWN
from nearbucket.regions.prefixes import packed_address

if TYPE_CHECKING:
    import duckdb

    from nearbucket.analysis.counting.aggregate_store import AggregateStore
    from nearbucket.regions.region_table import RegionTable

_BATCH = 1 << 16
_SIX = 1 << 60  # tells networks of IPv6 from those of IPv4
_V4, _V4_BYTES, _V6_BYTES = 4, 3, 7  # bytes of an IPv4 address, of a /24, of a /56
_SCHEMA = pa.schema(
    {"client": pa.uint64(), "amazon": pa.bool_(), "region": pa.int16(), "network": pa.uint64()}
)
OUTSIDE = (UNKNOWN, AMAZON_NO_REGION, NO_ADDRESS)
"""What stands in place of a region, numbered from 0; AWS's regions follow."""


def add_regions(store: AggregateStore, table: RegionTable) -> list[str]:
    """Make the table ``regions``: region and network of each client.

    Its columns are ``client``, ``amazon`` (whether the log has Amazon's ASN), ``region`` (a number)
    and ``network`` (None outside AWS; see ``network_text``).

    Returns:
        The names of the regions by their numbers.
    """
    names = {name: number for number, name in enumerate(OUTSIDE)}
    connection = store.connection
    connection.register("made", _SCHEMA.empty_table())
    connection.execute("CREATE TABLE regions AS FROM made")
    reader = connection.cursor().sql(_CLIENTS).to_arrow_reader(_BATCH)
    for batch in reader:
        regions: list[int] = []
        of_client: list[int | None] = []
        amazon = batch.column("amazon").to_pylist()
        for address, is_amazon in zip(batch.column("address").to_pylist(), amazon, strict=True):
            packed = packed_address(address)
            region = table.region_of(packed) if packed is not None else None
            if region is None or packed is None:
                other = NO_ADDRESS if packed is None else AMAZON_NO_REGION if is_amazon else UNKNOWN
                regions.append(names[other])
                of_client.append(None)
                continue
            regions.append(names.setdefault(region, len(names)))
            of_client.append(_network_number(packed))
        columns = [batch.column("client"), batch.column("amazon"), regions, of_client]
        made = pa.table(columns, schema=_SCHEMA)
        connection.register("made", made)
        connection.execute("INSERT INTO regions FROM made")
    connection.unregister("made")
    return _in_order(connection, list(names))


def _in_order(connection: duckdb.DuckDBPyConnection, names: list[str]) -> list[str]:
    """Number regions by their names: clients come in another order each time."""
    ordered = [*OUTSIDE, *sorted(names[len(OUTSIDE) :])]
    if ordered != names:
        place = {name: number for number, name in enumerate(ordered)}
        columns = {"region": list(range(len(names))), "place": [place[name] for name in names]}
        connection.register("numbers", pa.table(columns))
        connection.execute(_RENUMBER)
        connection.unregister("numbers")
    return ordered


def _network_number(packed: bytes) -> int:
    """The /24 or /56 of an address as a number, which ``network_text`` reads."""
    if len(packed) == _V4:
        return int.from_bytes(packed[:_V4_BYTES], "big")
    return int.from_bytes(packed[:_V6_BYTES], "big") | _SIX


def network_text(number: int) -> str:
    """A network of the table ``regions`` in CIDR notation."""
    if number & _SIX:
        return str(IPv6Network(((number ^ _SIX) << 72, 56)))
    return str(IPv4Network((number << 8, 24)))


_RENUMBER = "UPDATE regions SET region = place FROM numbers WHERE regions.region = numbers.region"
_CLIENTS = "SELECT client, amazon, address FROM clients"
