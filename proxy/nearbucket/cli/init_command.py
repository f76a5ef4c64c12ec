"""The command ``nearbucket init``: writes a first configuration."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path  # noqa: TC003  # typer reads it
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError

from nearbucket.cli.output import print_error
from nearbucket.config.buckets import Bucket
from nearbucket.config.file import DEFAULT_FILE, ConfigObject, load
from nearbucket.config.json_schema.schema import json_schema
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
    site = _site(bucket, region, host or [], target)
    text = first_config(site, str(output))
    # nothing is written that `serve` would refuse
    load(ConfigObject(str(output), text.encode(), ""), environ={})
    schema = output.with_name(SCHEMA_FILE)
    try:
        output.write_text(text, encoding="utf-8")
        schema.write_text(f"{json.dumps(json_schema(), indent=2)}\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{output}: {error.strerror}; give another name with --output") from None
    typer.echo(f"{output}: written, with {schema} for editors; mode shadow redirects nothing yet")
    typer.echo(f"next: nearbucket check --config {shlex.quote(str(output))}")


def _site(
    bucket: str | None, region: str | None, hosts: Sequence[str], targets: Sequence[str] | None
) -> FirstSite:
    """What the options say, and answers to questions about the rest.

    Raises:
        ConfigError: An option is missing, and there is no terminal to ask at.
    """
    asks = sys.stdin.isatty()
    missing = [name for name, value in (("--bucket", bucket), ("--region", region)) if not value]
    if missing and not asks:
        raise ConfigError(f"{' and '.join(missing)}: missing; give them, or run it on a terminal")
    for key, value in (("bucket", bucket), ("region", region)):
        if value and (why := _why_not(**{key: value})):
            raise ConfigError(f"--{key}: {why}")
    bucket = bucket or _asked("Bucket that has all objects", "bucket")
    region = region or _asked("Its AWS region", "region", "us-east-1")
    if not hosts and asks:
        hosts = _listed(typer.prompt(_HOSTS, default="", show_default=False))
    if targets is None:
        answer = typer.prompt(_REGIONS, default="", show_default=False) if asks else ""
        targets = [_asked_target(each, bucket) for each in _listed(answer)]
    named = dict(_target(each, bucket) for each in targets)
    return FirstSite(bucket, region, hosts or ["*"], {region: bucket, **named})


def _asked(question: str, key: str, default: str | None = None) -> str:
    """The answer to a question, which is put again until it can be the value of a setting."""
    while True:
        answer: str = typer.prompt(question, default=default)
        if not (why := _why_not(**{key: answer})):
            return answer
        print_error(why)


def _why_not(**setting: str) -> str:
    """Why this cannot be the name or region of a bucket; empty if it can."""
    try:
        Bucket.model_validate({"bucket": "downloads", "region": "us-east-1", **setting})
    except ValidationError as error:
        (value,) = setting.values()
        return f"{value!r} {error.errors()[0]['msg'].removeprefix('Value error, ')}"
    return ""


def _asked_target(region: str, bucket: str) -> str:
    if why := _why_not(region=region):
        print_error(why)
        region = _asked("AWS region", "region")
    name = _asked(f"Bucket for clients in {region}", "bucket", f"{bucket}-{region}")
    return f"{region}={name}"


def _target(text: str, bucket: str) -> tuple[str, str]:
    """Region and bucket of ``REGION[=NAME]``."""
    region, _, name = text.partition("=")
    return region, name or f"{bucket}-{region}"


def _listed(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]
