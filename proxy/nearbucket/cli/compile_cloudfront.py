"""The command ``nearbucket compile cloudfront``: the policy as a CloudFront Function."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from pathlib import Path  # noqa: TC003  # typer reads it
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nearbucket.cli.output import (
    NEEDS_ATTENTION,
    NO_RANGES,
    AsJson,
    Config,
    RangesFile,
    print_error,
    print_json,
    print_table,
    ranges_for,
    write_whole,
)
from nearbucket.config.file import load, name_of
from nearbucket.edge_function.address_store import address_pairs, store_size
from nearbucket.edge_function.deployment_text import readme_text
from nearbucket.edge_function.function_source import function_source
from nearbucket.edge_function.sample_event import sample_event
from nearbucket.edge_function.store_update import (
    import_document,
    read_import_document,
    update_files,
    update_requests,
)
from nearbucket.edge_function.unkept_rules import (
    UNSAFE,
    UnkeptName,
    left_out,
    refuse_unsafe,
)
from nearbucket.errors import ConfigError, RangesError
from nearbucket.supervisor.config_warnings import regions_without_prefixes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_EVENT, _STORE = "event.json", "store.json"
_UPDATE = re.compile(r"update-\d+\.json")
_WITHOUT = (
    "Compile although a function cannot keep this rule of `redirect`; may be repeated. The risks: "
    + "; ".join(f"{rule.name}: {rule.risk}" for rule in UNSAFE)
    + "."
)

compile_app = typer.Typer(
    help="Write the policy in a form that runs without a server.", no_args_is_help=True
)


@compile_app.callback()
def _compile() -> None:
    pass


@compile_app.command(
    epilog="Example: nearbucket compile cloudfront --without verify --without watch --without "
    "came_back --output edge"
)
def cloudfront(  # noqa: PLR0913  # one parameter an option
    output: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the files.")],
    config: Config = None,
    ranges: RangesFile = None,
    previous: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="store.json of the last run: also write what has changed since, as requests of "
            "UpdateKeys in update-….json. It may be in DIR.",
        ),
    ] = None,
    without: Annotated[
        list[UnkeptName] | None,
        typer.Option(metavar="verify|min_size|watch|came_back", help=_WITHOUT, case_sensitive=True),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Write the policy as a CloudFront Function with its KeyValueStore.

    DIR gets function.js, store.json, event.json for a test, and README.txt with AWS's commands.

    Rules that are unsafe to leave out are refused with exit code 2, unless --without names them.
    """
    settings = load(config)
    with _naming(name_of(config)):
        refuse_unsafe(settings, without or ())
        source = function_source(settings)
    document = ranges_for(settings.regions, ranges)
    if document is None:
        raise RangesError(NO_RANGES)
    with _naming(name_of(config)):
        pairs = address_pairs(document, settings.regions.services, settings.regions.overrides)
    updates = None if previous is None else update_requests(_pairs_of(previous), pairs)
    kept, sample = left_out(settings), sample_event(settings, document)
    files = {
        "function.js": source,
        _STORE: import_document(pairs),
        "README.txt": readme_text(kept, sample, document.date),
    }
    if sample is not None:
        files[_EVENT] = json.dumps(sample.event, indent=2) + "\n"
    files |= update_files(updates or ())
    _write(output, files)
    facts = {
        "function_bytes": len(source.encode()),
        "store_pairs": len(pairs),
        "store_bytes": store_size(pairs),
        "list": document.date,
        **_counted(updates),
    }
    if as_json:
        print_json({**facts, "files": sorted(files), "left_out": kept})
    else:
        rows = [(name, str(value)) for name, value in facts.items()]
        rows += [("file", str(output / name)) for name in sorted(files)]
        print_table(("fact", "value"), [*rows, *(("left out", text) for text in kept)])
    labels = ", ".join(settings.regions.services)
    without_prefixes = regions_without_prefixes(settings, document)
    for key, advice in without_prefixes.items():
        print_error(
            f"{key}: the list of {document.date} has no {labels} address in this region: no client "
            f"is redirected; {advice}"
        )
    if without_prefixes:
        raise typer.Exit(NEEDS_ATTENTION)


@contextmanager
def _naming(file: str) -> Iterator[None]:
    """Have each line of an error name the configuration."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(
            "\n".join(f"{file}: {line}" for line in str(error).splitlines())
        ) from None


def _pairs_of(previous: Path) -> dict[str, str]:
    try:
        return read_import_document(previous.read_text("utf-8"))
    except (OSError, UnicodeError, ConfigError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError(f"--previous {previous}: {why}") from None


def _write(folder: Path, files: Mapping[str, str]) -> None:
    """Write the files, store.json last: what failed can be repeated with ``--previous``.

    Updates of an earlier run are removed, as they would be sent once more, and so is its event.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            if _UPDATE.fullmatch(old.name) or (old.name == _EVENT and _EVENT not in files):
                old.unlink()
        for name in sorted(files, key=_STORE.__eq__):
            write_whole(folder / name, files[name])
    except OSError as error:
        place = error.filename or folder
        raise ConfigError(f"--output {place}: {error.strerror or error}") from None


def _counted(updates: Iterable[Mapping[str, Any]] | None) -> dict[str, int]:
    """Numbers of requests, puts and deletes, if there was a store to compare with."""
    if updates is None:
        return {}
    bodies = list(updates)
    puts, deletes = (
        sum(len(body.get(kind, ())) for body in bodies) for kind in ("Puts", "Deletes")
    )
    return {"updates": len(bodies), "puts": puts, "deletes": deletes}
