"""The commands about AWS's list of prefixes: ``lookup`` and ``ranges``.

In: arguments. Out: text or JSON. Refuses to hold logic that another command could want.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict, astuple
from pathlib import Path  # noqa: TC003  # typer reads it
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nearbucket.cli.output import (
    NEEDS_ATTENTION,
    UNREACHABLE,
    AsJson,
    Config,
    RangesFile,
    print_error,
    print_json,
    print_table,
    printable,
)
from nearbucket.config.file import load_regions
from nearbucket.errors import RangesError
from nearbucket.policy.client_address import plain_address
from nearbucket.policy.model import UNKNOWN
from nearbucket.regions.ip_ranges_source import ranges_in_use, read_ranges_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nearbucket.regions.ip_ranges import PrefixRow, Ranges
    from nearbucket.regions.queries import AddressDetails

ranges_app = typer.Typer(help="AWS's list of prefixes: fetch, show, compare.", no_args_is_help=True)


def lookup(  # noqa: PLR0913  # one parameter an option
    addresses: Annotated[
        list[str] | None, typer.Argument(metavar="[IP]...", help="Addresses; else standard input.")
    ] = None,
    config: Config = None,
    ranges: RangesFile = None,
    service: Annotated[
        list[str] | None, typer.Option("--service", help="Service label that counts.")
    ] = None,
    *,
    details: Annotated[bool, typer.Option("--details", help="Prefix, services, groups.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say which AWS region each address is in: IP, TAB, region or UNKNOWN."""
    from nearbucket.regions.queries import RowIndex  # noqa: PLC0415
    from nearbucket.regions.region_table import build_table  # noqa: PLC0415

    settings = load_regions(config)
    document = _needed(ranges_in_use(settings, ranges))
    table = build_table(document, tuple(service or settings.services), settings.overrides)
    index = RowIndex(document) if details else None
    wrong = 0
    for address in addresses or _lines():
        region = table.region(address) or UNKNOWN
        if plain_address(address) is None:
            wrong += 1
            print_error(f"{address} is not an IP address")
        extra = _details(index.details(address)) if index else {}
        if as_json:
            typer.echo(json.dumps({"ip": address, "region": region, **extra}))
        else:
            words = ([each] if isinstance(each, str) else each for each in extra.values())
            columns = (",".join(each) or "-" for each in words)
            typer.echo("\t".join((printable(address), region, *columns)))
    if wrong:
        raise typer.Exit(NEEDS_ATTENTION)


def _lines() -> Iterator[str]:
    """Standard input by lines; bytes that are no text are no address either."""
    for line in sys.stdin.buffer:
        if text := line.decode("utf-8", "replace").strip():
            yield text


def _details(found: AddressDetails) -> dict[str, Any]:
    return {
        "prefix": found.prefix or "-",
        "services": list(found.services),
        "border_groups": list(found.border_groups),
    }


@ranges_app.command("update")
def ranges_update(
    config: Config = None,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Accept a list that shrank by over 20 %.")
    ] = False,
) -> None:
    """Fetch the list now and keep it."""
    from rich.console import Console  # noqa: PLC0415

    from nearbucket.regions.feed import RefreshResult, update  # noqa: PLC0415

    settings = load_regions(config)
    with Console(stderr=True).status(f"fetching {settings.source}"):
        found = asyncio.run(update(settings, force=force))
    if not found.result.good:
        print_error(f"{found.result}: {found.problem} ({settings.source})")
        raise typer.Exit(UNREACHABLE if found.result is RefreshResult.FAILED else NEEDS_ATTENTION)
    token = found.ranges.token if found.ranges else "-"
    typer.echo(f"{found.result}: token {token}, kept in {settings.cache}")


@ranges_app.command("show")
def ranges_show(
    config: Config = None, ranges: RangesFile = None, *, as_json: AsJson = False
) -> None:
    """Show age, token and counts of the list in use."""
    document = _needed(ranges_in_use(load_regions(config), ranges))
    ipv4, ipv6 = document.addresses()
    facts = {
        "token": document.token,
        "created": document.created,
        "age_days": round((time.time() - document.token) / 86400, 1),
        "rows": len(document.rows),
        "rows_skipped": document.skipped_rows,
        "regions": len({row.region for row in document.rows if row.region}),
        "services": len({row.service for row in document.rows}),
        "ipv4_addresses": ipv4,
        "ipv6_addresses": ipv6,
    }
    if as_json:
        print_json(facts)
    else:
        print_table(("fact", "value"), [(key, str(value)) for key, value in facts.items()])


@ranges_app.command("diff")
def ranges_diff(before: Path, after: Path, *, as_json: AsJson = False) -> None:
    """Compare two lists: rows that came and went, addresses by region."""
    from nearbucket.regions.queries import difference  # noqa: PLC0415

    found = difference(read_ranges_file(before), read_ranges_file(after))
    rows = [("removed", row) for row in found.removed] + [("added", row) for row in found.added]
    changes = [change for change in found.regions if change.changed]
    if as_json:
        tokens = {"old_token": found.old_token, "new_token": found.new_token}
        regions = [asdict(change) for change in changes]
        print_json({**tokens, "rows": list(map(_change, rows)), "regions": regions})
        return
    typer.echo(f"token\t{found.old_token}\t{found.new_token}")
    if not rows:
        typer.echo("no differences")
        return
    print_table(
        ("change", "prefix", "region", "service"),
        [(what, row.prefix, row.region or "GLOBAL", row.service) for what, row in rows],
    )
    print_table(
        ("region", "IPv4 before", "IPv4 after", "IPv6 before", "IPv6 after"),
        [
            tuple(str(value) for value in (change.region or "GLOBAL", *astuple(change)[1:]))
            for change in changes
        ],
    )


def _change(change: tuple[str, PrefixRow]) -> dict[str, Any]:
    word, row = change
    fields = {"prefix": row.prefix, "region": row.region, "service": row.service}
    return {"change": word, **fields}


def _needed(document: Ranges | None) -> Ranges:
    if document is None:
        raise RangesError("no list yet: run `nearbucket ranges update`, or give --ranges FILE")
    return document
