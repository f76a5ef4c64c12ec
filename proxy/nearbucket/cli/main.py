"""The entry point of the command ``nearbucket``, and its shorter subcommands.

Exit codes: 0 done; 1 done, but something needs attention; 2 wrong use or invalid configuration; 3 a
service that is needed cannot be reached.
"""

from __future__ import annotations

import gc
import logging
import sys
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nearbucket.cli.analyze.analyze_command import analyze
from nearbucket.cli.check.command import check
from nearbucket.cli.compile_cloudfront import compile_app
from nearbucket.cli.config_diff import diff
from nearbucket.cli.explain_command import explain
from nearbucket.cli.init_command import init
from nearbucket.cli.output import (
    NEEDS_ATTENTION,
    AsJson,
    Config,
    exit_code,
    print_failures,
    print_json,
)
from nearbucket.cli.ranges import lookup, ranges_app
from nearbucket.cli.sync import sync
from nearbucket.config.file import load, masked
from nearbucket.config.json_schema.schema import json_schema
from nearbucket.config.yaml_text.yaml_document import write_yaml
from nearbucket.errors import ProxyError
from nearbucket.s3.sdk.direct_access import refuse_variables
from nearbucket.version import version_text

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger(__name__)

app = typer.Typer(
    name="nearbucket",
    help="A proxy for downloads from S3 that redirects clients in AWS to a bucket in their region.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
config_app = typer.Typer(
    help="Show the configuration or its schema, or compare two.", no_args_is_help=True
)
app.add_typer(ranges_app, name="ranges")
app.add_typer(config_app, name="config")
app.add_typer(compile_app, name="compile")


def _show_version(value: bool) -> None:  # noqa: FBT001  # Typer's callback signature
    if value:
        typer.echo(f"nearbucket {version_text()}")
        raise typer.Exit


@app.callback()
def _root(
    *,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


@app.command(epilog="Example: nearbucket serve --config nearbucket.yaml")
def serve(
    config: Config = None,
    *,
    take_over: Annotated[
        bool,
        typer.Option(
            "--take-over",
            help="Get the ports of the instance that has the same addresses, which then ends.",
        ),
    ] = False,
) -> None:
    """Run the proxy. SIGTERM drains and stops it, SIGHUP reloads the configuration.

    Exit code 1 if the drain had to cut answers.
    """
    gc.disable()  # until the workers are forked (see gc.freeze); imports create no garbage
    import uvloop  # noqa: PLC0415  # these imports would make every other command slower

    from nearbucket.supervisor.prefork import launch  # noqa: PLC0415
    from nearbucket.supervisor.supervisor import Supervisor  # noqa: PLC0415
    from nearbucket.telemetry.process_log import ProcessLog  # noqa: PLC0415

    settings = load(config)
    refuse_variables(settings)
    log = ProcessLog(settings.log.format, "supervisor")
    logging.getLogger().setLevel(settings.log.level.upper())
    try:
        workers = launch(settings, take_over=take_over)
        log.start()
        try:
            complete = uvloop.run(Supervisor(config, settings, workers).run())
        except Exception as error:  # standard error may have no reader: only the log may write
            expected = isinstance(error, ProxyError | OSError)
            _log.critical("%s", error, exc_info=None if expected else error)
            raise typer.Exit(exit_code(error)) from None
    finally:
        log.close()
    if not complete:
        raise typer.Exit(NEEDS_ATTENTION)


@app.command(epilog="Example: nearbucket demo")
def demo(
    *,
    stay: Annotated[
        bool | None,
        typer.Option(
            help="Keep running until Ctrl-C after the commands.", show_default="stay on a terminal"
        ),
    ] = None,
) -> None:
    """Start a local S3 server, two buckets and the proxy; show commands, and a report on a log."""
    from nearbucket.cli.demo.demo import run  # noqa: PLC0415

    if not run(stay=sys.stdout.isatty() if stay is None else stay):
        raise typer.Exit(NEEDS_ATTENTION)


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


for parent, command, *examples in (
    (
        app,
        init,
        "init",
        "init --bucket downloads --region us-east-1 --target us-west-2=us-west-2-downloads",
    ),
    (app, explain, "explain --ip 3.5.140.1 /releases/app.tar.gz"),
    (app, lookup, "lookup --details 3.5.140.1 2600:9000:5201::1"),
    (app, check, "check --offline --config nearbucket.yaml"),
    (app, sync, "sync --dry-run --region us-west-2"),
    (
        app,
        analyze,
        "analyze logs/",
        "analyze s3://my-logs/cdn/ --since 2026-11-01 --format html --output report.html",
        "analyze logs/ --config next.yaml --replay http://127.0.0.1:8080",
    ),
    (config_app, diff, "config diff nearbucket.yaml new.yaml --log access.log.gz"),
):
    parent.command(epilog="\n\n".join(f"Example: nearbucket {each}" for each in examples))(command)


@cache
def command_line() -> Callable[[], Any]:
    """``app`` with its commands and shell completion. Takes 20 ms of CPU time, once a process."""
    return typer.main.get_command(app)


def main() -> None:
    """Run the command line; errors end it with a message, with ``--json`` also as JSON."""
    try:
        command_line()()
    except (ProxyError, OSError) as error:
        lines = str(error).splitlines()
        print_failures(lines)
        if "--json" in sys.argv and isinstance(error, ProxyError):
            print_json({"errors": lines})  # a program reads standard output
        sys.exit(exit_code(error))
