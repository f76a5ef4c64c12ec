"""``nearbucket analyze --inventory``: what an S3 Inventory report knows of objects beside the log.

The log has sizes of what was downloaded only, and copies are made of everything that the patterns
match.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from nearbucket.errors import ConfigError
from nearbucket.policy.model import UNKNOWN
from nearbucket.policy.object_keys import encode_key
from nearbucket.pricing.geographies import UNKNOWN_GEOGRAPHY
from nearbucket.replicas.inventory_report import report_of
from nearbucket.s3.bucket_location import origin_of

if TYPE_CHECKING:
    from nearbucket.analysis.traffic import Traffic
    from nearbucket.config.settings import Settings


def with_inventory(traffic: Traffic, own: Settings | None, where: str) -> Traffic:
    """The traffic with the sizes of a report, and its other objects as requested by no one.

    Args:
        traffic: The tables of the log.
        own: The configuration; the report is about the origin bucket of its first site.
        where: The report, as ``origin.inventory`` has it.

    Raises:
        ProxyError: The report cannot be read.
    """
    if own is None:
        raise ConfigError("--inventory needs the origin bucket: --config FILE")
    found = asyncio.run(_sizes(own, where))
    facts, objects = traffic.facts, traffic.objects
    logged = objects.filter(pc.is_in(objects["object"], pc.unique(facts["object"])))
    hosts = pc.unique(logged["host"].filter(pc.not_equal(logged["key"], ""))).to_pylist()
    host = pa.array([name for name in hosts for _ in found], pa.string())
    key = pa.array(list(found) * len(hosts), pa.string())
    size = pa.array(list(found.values()) * len(hosts), pa.int64())
    listed = pa.table({"host": host, "key": key, "listed": size})
    known = ["host", "key"]
    with_size = logged.join(listed, keys=known, join_type="left outer")
    with_size = with_size.set_column(
        with_size.column_names.index("size"),
        "size",
        pc.coalesce(with_size["listed"], with_size["size"]),
    )
    unasked = listed.join(logged.select(known), keys=known, join_type="left anti")
    first = (pc.max(objects["object"]).as_py() or 0) + 1
    number = pa.array(range(first, first + len(unasked)), pa.int32())
    unasked = unasked.append_column("object", number).rename_columns({"listed": "size"})
    names = objects.column_names
    return replace(
        traffic,
        facts=pa.concat_tables([facts, _requested_by_no_one(number, facts)]),
        objects=pa.concat_tables([with_size.select(names), unasked.select(names)]),
    )


async def _sizes(own: Settings, where: str) -> dict[str, int]:
    """Size of each object by its key, encoded as in a URL."""
    location = origin_of(own.sites[0])
    location = replace(location, entry=location.entry.model_copy(update={"inventory": where}))
    return {
        encode_key(key): size
        async for batch in report_of(location)
        for key, size, _, _ in batch.objects
    }


def _requested_by_no_one(numbers: pa.Array, facts: pa.Table) -> pa.Table:
    """Rows of facts without requests, on the first day of the log."""
    first = pc.min(facts["day"])
    same = {
        "day": first, "region": UNKNOWN, "geography": UNKNOWN_GEOGRAPHY, "method": "GET",
        "status": 200, "flags": 0, "requests": 0, "bytes": 0,
    }  # fmt: skip
    columns = {
        field.name: numbers
        if field.name == "object"
        else pa.repeat(pa.scalar(same[field.name], field.type), len(numbers))
        for field in facts.schema
    }
    return pa.table(columns, schema=facts.schema)
