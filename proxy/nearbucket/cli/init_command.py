"""The command ``nearbucket init``: writes a first configuration."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path  # noqa: TC003  # typer reads it
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError

from nearbucket.cli.output import print_error
from nearbucket.config.aws_endpoints import known_regions, unknown_region
from nearbucket.config.file import DEFAULT_FILE, ConfigObject, load
from nearbucket.config.json_schema.schema import json_schema
from nearbucket.config.sites import Site
from nearbucket.config.yaml_text.new_config import SCHEMA_FILE, FirstSite, first_config
from nearbucket.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

_HOSTS = "Names by which clients ask, separated by commas (all: press Enter)"
_REGIONS = "Other AWS regions with many clients, separated by commas (none: press Enter)"


def init(
    bucket: Annotated[
        str | None, typer.Option(help="Bucket that has all objects.", metavar="NAME")
    ] = None,
    region: Annotated[
        str | None, typer.Option(help="AWS region of this bucket.", metavar="REGION")
    ] = None,
    host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Name by which clients ask; may be repeated.",
            show_default="all names",
        ),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            metavar="REGION[=NAME]",
            help="Bucket for clients in a region, by default BUCKET-REGION; may be repeated.",
        ),
    ] = None,
    output: Annotated[Path, typer.Option(help="File to write.", metavar="FILE")] = DEFAULT_FILE,
) -> None:
    """Write a first configuration, which redirects nothing yet: mode shadow.

    What no option says is asked on a terminal.
    """
    if output.exists():
        raise ConfigError(f"{output}: is there already; give another name with --output FILE")
    if not output.parent.is_dir():
        raise ConfigError(f"--output {output}: there is no such folder")
    schema = output.with_name(SCHEMA_FILE)
    if output == schema:
        raise ConfigError(f"{output}: is the name of the schema beside it; give another name")
    site = _site(bucket, region, host or [], target)
    text = first_config(site, str(output))
    # nothing is written that `serve` would refuse
    load(ConfigObject(str(output), text.encode(), ""), environ={})
    _write(schema, f"{json.dumps(json_schema(), indent=2)}\n")
    _write(output, text)
    typer.echo(f"{output}: written, with {schema} for editors; mode shadow redirects nothing yet")
    typer.echo(f"next: nearbucket check --config {shlex.quote(str(output))}")


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}; give another place with --output") from None


def _site(
    bucket: str | None, region: str | None, hosts: Sequence[str], targets: Sequence[str] | None
) -> FirstSite:
    """What the options say, and answers to questions about the rest.

    Raises:
        ConfigError: An option is wrong, or missing, and there is no terminal to ask at.
    """
    asks = sys.stdin.isatty()
    missing = [name for name, value in (("--bucket", bucket), ("--region", region)) if not value]
    if missing and not asks:
        what = "it" if len(missing) == 1 else "them"
        raise ConfigError(f"{' and '.join(missing)}: missing; give {what}, or run it on a terminal")
    for key, values in (("bucket", [bucket]), ("region", [region]), ("host", hosts)):
        for value in values:
            if value is not None:
                _refuse(key, value)
    bucket = bucket or _asked("Bucket that has all objects", "bucket")
    region = region or _asked("Its AWS region", "region", "us-east-1")
    if not hosts and asks:
        hosts = _asked_list(_HOSTS, "host")
    if targets is not None:
        named = _targets(targets, bucket)
    else:
        asked = dict.fromkeys(_asked_list(_REGIONS, "region") if asks else ())
        named = {
            each: _asked(f"Bucket for clients in {each}", "bucket", f"{bucket}-{each}")
            for each in asked
            if each != region
        }
    return FirstSite(bucket, region, [*dict.fromkeys(hosts)] or ["*"], {region: bucket, **named})


def _targets(texts: Sequence[str], bucket: str) -> dict[str, str]:
    """Bucket by region, of each ``REGION[=NAME]``."""
    found: dict[str, str] = {}
    for text in texts:
        region, _, name = text.partition("=")
        if region in found:
            raise ConfigError(f"--target: {region} is given twice; give one bucket for a region")
        found[region] = name or f"{bucket}-{region}"
        if ":" in region:
            raise ConfigError(f"--target: {text!r} has a colon; write {text.replace(':', '=', 1)}")
        if "," in text:
            raise ConfigError(f"--target: {text!r} has a comma; give one --target for each region")
        for key, value in (("region", region), ("bucket", found[region])):
            _refuse(key, value, "target")
    return found


def _refuse(key: str, value: str, option: str = "") -> None:
    if why := _why_not(key, value):
        raise ConfigError(f"--{option or key}: {why}")


def _asked(question: str, key: str, default: str | None = None) -> str:
    """The answer to a question, which is put again until it can be the value of a setting."""
    while True:
        answer: str = typer.prompt(question, default=default).strip()
        if not (why := _why_not(key, answer)):
            return answer
        print_error(why)


def _asked_list(question: str, key: str) -> list[str]:
    """The same for values with commas between them; none if nothing is entered."""
    while True:
        answer: str = typer.prompt(question, default="", show_default=False)
        values = [each.strip() for each in answer.split(",") if each.strip()]
        if not (why := next(filter(None, (_why_not(key, each) for each in values)), "")):
            return values
        print_error(why)


def _why_not(key: str, value: str) -> str:
    """Why this cannot be the ``bucket``, ``region`` or ``host`` of a site; empty if it can."""
    if key == "region":
        return "" if value in known_regions() else f"{value!r} {unknown_region(value)}"
    site: dict[str, Any] = {"origin": {"bucket": "downloads", "region": "us-east-1"}}
    if key == "host":
        site["hosts"] = [value]
    else:
        site["origin"][key] = value
    try:
        Site.model_validate(site)
    except ValidationError as error:
        return f"{value!r} {error.errors()[0]['msg'].removeprefix('Value error, ')}"
    return ""
