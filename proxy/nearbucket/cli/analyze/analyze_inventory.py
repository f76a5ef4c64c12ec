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

from nearbucket.analysis.policies.policy_traffic import site_by_host
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
    listed = asyncio.run(_listed(own, where))
    facts, objects = traffic.facts, traffic.objects
    logged = objects.filter(pc.is_in(objects["object"], pc.unique(facts["object"])))
    hosts = _hosts_of_first_site(own, logged)
    is_ours = pc.is_in(logged["host"], pa.array(hosts, pa.string()))
    ours = logged.filter(is_ours).join(listed, keys="key", join_type="left outer")
    ours = ours.set_column(
        ours.column_names.index("size"), "size", pc.coalesce(ours["listed"], ours["size"])
    )
    # an object of the bucket is one for all hosts of its site
    unasked = listed.join(ours.select(["key"]), keys="key", join_type="left anti")
    unasked = unasked.slice(0, None if hosts else 0)
    first = (pc.max(objects["object"]).as_py() or 0) + 1
    number = pa.array(range(first, first + len(unasked)), pa.int32())
    host = pa.repeat(pa.scalar(hosts[0] if hosts else "", pa.string()), len(unasked))
    unasked = unasked.append_column("object", number).append_column("host", host)
    names = objects.column_names
    return replace(
        traffic,
        facts=pa.concat_tables([facts, _requested_by_no_one(number, facts)]),
        objects=pa.concat_tables(
            [
                logged.filter(pc.invert(is_ours)),
                ours.select(names),
                unasked.rename_columns({"listed": "size"}).select(names),
            ]
        ),
    )


def _hosts_of_first_site(own: Settings, logged: pa.Table) -> list[str]:
    """The hosts of the log that the first site serves."""
    site_of, first = site_by_host(own), own.sites[0].name
    hosts = pc.unique(logged["host"].filter(pc.not_equal(logged["key"], ""))).to_pylist()
    return [host for host in hosts if (site := site_of(host)) is not None and site.name == first]


async def _listed(own: Settings, where: str) -> pa.Table:
    """Keys, encoded as in a URL, and sizes of the objects of a report."""
    location = origin_of(own.sites[0])
    location = replace(location, entry=location.entry.model_copy(update={"inventory": where}))
    pages = [
        pa.table(
            {
                "key": pa.array([encode_key(key) for key, *_ in batch.objects], pa.string()),
                "listed": pa.array([size for _, size, *_ in batch.objects], pa.int64()),
            }
        )
        async for batch in report_of(location)
    ]
    schema = pa.schema({"key": pa.string(), "listed": pa.int64()})
    return pa.concat_tables([schema.empty_table(), *pages]).combine_chunks()


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
