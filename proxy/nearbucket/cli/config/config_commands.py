"""The commands ``nearbucket config``."""

from __future__ import annotations

import typer

from nearbucket.cli.config.config_diff import diff
from nearbucket.cli.output import AsJson, Config, print_json
from nearbucket.config.file import load, masked
from nearbucket.config.json_schema.schema import json_schema
from nearbucket.config.yaml_text.yaml_document import write_yaml

config_app = typer.Typer(
    help="Show the configuration or its schema, or compare two.", no_args_is_help=True
)


@config_app.command("schema")
def config_schema() -> None:
    """Print the JSON Schema of the configuration."""
    print_json(json_schema())


@config_app.command("show")
def config_show(config: Config = None, *, as_json: AsJson = False) -> None:
    """Print the effective configuration, with masked secrets."""
    shown = masked(load(config))
    if as_json:
        print_json(shown)
    else:
        typer.echo(write_yaml(shown), nl=False)


config_app.command(
    epilog="Example: nearbucket config diff nearbucket.yaml new.yaml --log access.log.gz"
)(diff)
