"""Options, exit codes and output functions that several commands share."""

from __future__ import annotations

import errno
import json
import logging
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.filesize import decimal

from nearbucket.config.buckets import S3_SCHEME
from nearbucket.config.environment import FILE_VARIABLE
from nearbucket.config.file import ConfigFile
from nearbucket.config.value_types import without_secrets
from nearbucket.errors import ConfigError, OriginError, RangesError
from nearbucket.figures import visible
from nearbucket.regions.ip_ranges_source import ranges_in_use

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nearbucket.config.settings import Regions
    from nearbucket.regions.ip_ranges import Ranges

# Commands print their messages; only `serve` has a log.
logging.getLogger("nearbucket").addHandler(logging.NullHandler())

_NAMED = 5
_NOT_REPLACED = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY, errno.ENAMETOOLONG,
    errno.EINVAL,  # the owner has no number in this container
}  # fmt: skip
"""Errors of making a file beside another one, and renaming it; the other may be writable."""
NEEDS_ATTENTION, UNUSABLE, UNREACHABLE = 1, 2, 3


def config_file(value: str) -> ConfigFile:
    """What the name of a configuration means: a path, or an object in S3, which is read here.

    Raises:
        ProxyError: The object cannot be read, or it is another URL.
    """
    if not value.startswith(S3_SCHEME):
        if "://" in value:
            shown = visible(without_secrets(value))
            raise ConfigError(f"{shown}: is a URL; write the path of a file, or s3://BUCKET/KEY")
        return Path(value)
    import asyncio  # noqa: PLC0415  # other commands start faster without these

    from nearbucket.s3.sdk.config_object import fetch  # noqa: PLC0415

    return asyncio.run(fetch(value))


_DEFAULT = "nearbucket.yaml, if there is one"
Config = Annotated[
    ConfigFile | None,
    typer.Option(
        envvar=FILE_VARIABLE,
        help="Configuration file, or an object: s3://BUCKET/KEY.",
        show_default=_DEFAULT,
        parser=config_file,
        metavar="FILE",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
RangesFile = Annotated[
    Path | None,
    typer.Option("--ranges", help="Another ip-ranges.json than the cached copy.", metavar="FILE"),
]
NO_RANGES = (
    "there is no list of prefixes, so no address has a region: run `nearbucket ranges update` with "
    "the same --config, or give --ranges FILE"
)


def exit_code(error: Exception) -> int:
    """The exit code of a command that an error ended."""
    if isinstance(error, ConfigError | RangesError):
        return UNUSABLE
    return UNREACHABLE if isinstance(error, OriginError | OSError) else NEEDS_ATTENTION


def error_lines(error: Exception) -> list[str]:
    """The lines of an error that ended a command; one of the system is without its number."""
    if isinstance(error, OSError) and type(error).__module__ == "builtins" and error.strerror:
        return [f"{error.filename}: {error.strerror}" if error.filename else error.strerror]
    return str(error).splitlines()


def print_error(text: str) -> None:
    """Print a line on standard error."""
    typer.echo(f"nearbucket: {visible(text)}", err=True)


def print_failures(lines: Iterable[str]) -> None:
    """Print what ended a command, a line each; on a terminal with the place in bold."""
    for line in lines:
        place, colon, text = visible(line).partition(": ")
        name = coloured("nearbucket:", fg="red", bold=True)
        typer.echo(f"{name} {coloured(place, bold=True)}{colon}{text}", err=True)


def coloured(text: str, **style: Any) -> str:
    """Text with a terminal's codes, which ``typer.echo`` leaves out in a pipe (no-color.org)."""
    return text if os.environ.get("NO_COLOR") else typer.style(text, **style)


def size_text(size: int) -> str:
    """A size in bytes; on a terminal rounded, with a unit."""
    return decimal(size) if sys.stdout.isatty() else str(size)


def ranges_for(settings: Regions, file: Path | None) -> Ranges | None:
    """The list of prefixes that a command uses; says so if it is the built-in one.

    Raises:
        ConfigError: A file cannot be read.
        RangesError: It is not a list.
    """
    ranges = ranges_in_use(settings, file)
    if ranges is not None and ranges.built_in:
        print_error(
            f"the list of prefixes is the built-in one of {ranges.date}; `nearbucket ranges "
            "update` fetches the current one"
        )
    return ranges


def write_whole(path: Path, text: str) -> None:
    """Write a file, under its name only once it is whole, with owner and mode of the one before.

    A link, a pipe or a device is written to, and so is a file that cannot be replaced, such as one
    in a folder that takes no other, or one that is mounted into a container.

    Raises:
        OSError: It cannot be written; if the disk is full, what was there before is still there.
    """
    if path.is_symlink() or (path.exists() and not path.is_file()):
        path.write_text(text, encoding="utf-8")
        return
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.touch()
        if path.exists():
            before = path.stat()
            os.chown(part, before.st_uid, before.st_gid)
            part.chmod(before.st_mode & 0o7777)
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        if error.errno not in _NOT_REPLACED:
            raise
        path.write_text(text, encoding="utf-8")
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def first_names(keys: Sequence[str]) -> str:
    """The first five keys of objects, and how many more there are."""
    more = f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
    return f"{', '.join(keys[:_NAMED])}{more}"


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    typer.echo(json.dumps(value, indent=2))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table on a terminal, and TAB-separated lines without a heading in a pipe."""
    safe = [tuple(visible(cell) for cell in row) for row in rows]
    if not sys.stdout.isatty():
        for row in safe:
            typer.echo("\t".join(row))
        return
    from rich.console import Console  # noqa: PLC0415  # `serve` starts faster without these
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Column, Table  # noqa: PLC0415

    table = Table(*(Column(name, overflow="fold") for name in columns))  # nothing is cut off
    for row in safe:
        table.add_row(*(escape(cell) for cell in row))
    Console().print(table)
