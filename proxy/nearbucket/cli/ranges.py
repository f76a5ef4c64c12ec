"""The commands ``lookup`` and ``ranges``, about AWS's list of IP prefixes."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from dataclasses import asdict, astuple
from pathlib import Path  # noqa: TC003  # typer reads it
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nearbucket.cli.output import (
    NEEDS_ATTENTION,
    NO_RANGES,
    UNREACHABLE,
    AsJson,
    Config,
    RangesFile,
    print_error,
    print_json,
    print_table,
    ranges_for,
)
from nearbucket.config.file import load, load_regions
from nearbucket.config.value_types import without_secrets
from nearbucket.errors import ConfigError, RangesError
from nearbucket.figures import visible
from nearbucket.policy.client_address import plain_address
from nearbucket.policy.model import UNKNOWN
from nearbucket.regions.ip_ranges_source import read_ranges_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nearbucket.config.file import ConfigFile
    from nearbucket.config.settings import Regions
    from nearbucket.regions.ip_ranges import PrefixRow, Ranges
    from nearbucket.regions.list_guard import RangesUse
    from nearbucket.regions.queries import AddressDetails

_SHOWN = 12  # regions that `ranges show` names for people

ranges_app = typer.Typer(
    help="Fetch, show or compare AWS's list of IP prefixes.", no_args_is_help=True
)


def lookup(  # noqa: PLR0913  # one parameter an option
    addresses: Annotated[
        list[str] | None,
        typer.Argument(metavar="IP", help="Addresses; by default those on standard input."),
    ] = None,
    config: Config = None,
    ranges: RangesFile = None,
    service: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LABEL",
            help="Service label that counts, by default regions.services; may be repeated.",
        ),
    ] = None,
    *,
    details: Annotated[
        bool, typer.Option("--details", help="Also print prefix, services and border groups.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print the AWS region of each address, or UNKNOWN, behind the address and a TAB."""
    from nearbucket.regions.queries import RowIndex, unlisted_services  # noqa: PLC0415
    from nearbucket.regions.region_table import build_table  # noqa: PLC0415

    settings = load_regions(config)
    document = _list_in_use(settings, ranges)
    for label, hint in unlisted_services(service or (), document).items():
        raise ConfigError(f"--service: {label!r} is not a label in the list; {hint}")
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
            typer.echo("\t".join((visible(address), region, *columns)))
    if wrong:
        raise typer.Exit(NEEDS_ATTENTION)


def _lines() -> Iterator[str]:
    """The lines of standard input, with replacement characters for bytes that are not UTF-8."""
    for line in sys.stdin.buffer:
        if text := line.decode("utf-8", "replace").strip():
            yield text


def _details(found: AddressDetails) -> dict[str, Any]:
    groups = {"services": list(found.services), "border_groups": list(found.border_groups)}
    return {"prefix": found.prefix or "-", **groups}


@ranges_app.command("update")
def ranges_update(
    config: Config = None,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Accept a list that is held back.")
    ] = False,
) -> None:
    """Fetch the list now and keep it."""
    import asyncio  # noqa: PLC0415  # other commands start faster without these

    from rich.console import Console  # noqa: PLC0415

    from nearbucket.regions.feed import update  # noqa: PLC0415
    from nearbucket.regions.list_guard import RefreshResult  # noqa: PLC0415

    settings = load_regions(config)
    source = without_secrets(settings.source)
    with Console(stderr=True).status(f"fetching {source}"):
        found = asyncio.run(update(settings, use=_use_of(config), force=force))
    if not found.result.good:
        kept = "built-in list" if found.ranges and found.ranges.built_in else "copy on disk"
        stays = f"; the {kept} of {found.ranges.date} stays in use" if found.ranges else ""
        named = "" if source in found.problem else f" ({source})"
        print_error(f"{found.result}: {found.problem}{named}{stays}")
        raise typer.Exit(UNREACHABLE if found.result is RefreshResult.FAILED else NEEDS_ATTENTION)
    token = found.ranges.token if found.ranges else "-"
    typer.echo(f"{found.result}: token {token}, kept in {settings.cache}")


def _use_of(config: ConfigFile | None) -> RangesUse | None:
    """What the whole configuration uses of a list; None if there is none that can be used."""
    from nearbucket.regions.list_guard import RangesUse  # noqa: PLC0415

    try:
        return RangesUse.of(load(config))
    except ConfigError:
        return None


@ranges_app.command("show")
def ranges_show(
    config: Config = None, ranges: RangesFile = None, *, as_json: AsJson = False
) -> None:
    """Show age, token, regions and counts of the list in use."""
    document = _list_in_use(load_regions(config), ranges)
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
    prefixes = _prefixes_by_region(document)
    if as_json:
        print_json({**facts, "prefixes_by_region": dict(prefixes)})
        return
    names = ", ".join(f"{region} {count}" for region, count in prefixes[:_SHOWN])
    more = len(prefixes) - _SHOWN
    facts["prefixes_by_region"] = f"{names}, and {more} more (--json)" if more > 0 else names
    print_table(("fact", "value"), [(key, str(value)) for key, value in facts.items()])


def _prefixes_by_region(document: Ranges) -> list[tuple[str, int]]:
    """How many prefixes each region has, the most first; one of several services counts once."""
    prefixes = {(row.prefix, row.region) for row in document.rows if row.region}
    counted = Counter(region for _, region in prefixes if region)
    return sorted(counted.items(), key=lambda each: (-each[1], each[0]))


@ranges_app.command("diff", epilog="Example: nearbucket ranges diff old.json new.json")
def ranges_diff(
    before: Annotated[
        Path, typer.Argument(metavar="A", help="A list of prefixes, in the form of ip-ranges.json.")
    ],
    after: Annotated[Path, typer.Argument(metavar="B", help="A newer list.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Compare two lists: rows added and removed, and addresses by region."""
    from nearbucket.regions.queries import difference  # noqa: PLC0415

    found = difference(read_ranges_file(before), read_ranges_file(after))
    rows = [("removed", row) for row in found.removed] + [("added", row) for row in found.added]
    changes = [change for change in found.regions if change.changed]
    if as_json:
        tokens = {"old_token": found.old_token, "new_token": found.new_token}
        regions = [asdict(change) for change in changes]
        print_json({**tokens, "rows": list(map(_row_as_json, rows)), "regions": regions})
        return
    typer.echo(f"token\t{found.old_token}\t{found.new_token}")
    if not rows:
        typer.echo("no differences")
        return
    print_table(
        ("change", "prefix", "region", "service"),
        [(change, row.prefix, row.region or "GLOBAL", row.service) for change, row in rows],
    )
    counts = [(each.region or "GLOBAL", *map(str, astuple(each)[1:])) for each in changes]
    print_table(("region", "IPv4 before", "IPv4 after", "IPv6 before", "IPv6 after"), counts)


def _row_as_json(change: tuple[str, PrefixRow]) -> dict[str, Any]:
    word, row = change
    fields = {"prefix": row.prefix, "region": row.region, "service": row.service}
    return {"change": word, **fields}


def _list_in_use(settings: Regions, file: Path | None) -> Ranges:
    document = ranges_for(settings, file)
    if document is None:
        raise RangesError(NO_RANGES)
    return document
