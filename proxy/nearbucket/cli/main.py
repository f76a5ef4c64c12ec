"""The entry point of the command ``nearbucket``: loads the subcommand that is called, and runs it.

Exit codes: 0 done; 1 done, but something needs attention; 2 wrong use or invalid configuration; 3 a
service that is needed cannot be reached.
"""

from __future__ import annotations

import gc
import os
import sys
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from nearbucket.errors import ProxyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

COMMANDS = {
    "serve": ("serve_command", ["serve --config nearbucket.yaml"]),
    "demo": ("demo.demo_command", ["demo"]),
    "init": (
        "init_command",
        [
            "init",
            "init --bucket downloads --region us-east-1 --target us-west-2=us-west-2-downloads",
        ],
    ),
    "explain": ("explain_command", ["explain --ip 3.5.140.1 /releases/app.tar.gz"]),
    "lookup": ("ranges", ["lookup --details 3.5.140.1 2600:9000:5201::1"]),
    "check": ("check.command", ["check --offline --config nearbucket.yaml"]),
    "sync": ("sync", ["sync --dry-run --region us-west-2"]),
    "analyze": (
        "analyze.analyze_command",
        [
            "analyze logs/",
            "analyze s3://my-logs/cdn/ --since 2026-11-01 --format html --output report.html",
            "analyze logs/ --config next.yaml --replay http://127.0.0.1:8080",
        ],
    ),
    "ranges": ("ranges", []),
    "config": ("config.config_commands", []),
    "compile": ("compile_cloudfront", []),
}
"""The module of each subcommand, in this package, with examples; without, it is a group."""

_HELP = ["-h", "--help"]
_INTERRUPTED = 130
"""Exit code after SIGINT, as in shells."""

_WrongUse: Any = typer.BadParameter.__base__
"""The errors of arguments, which Typer does not export."""


class _Commands(TyperGroup):
    """The subcommands; errors of arguments say what to write instead."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        with _cures():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        with _cures():
            return super().invoke(ctx)


@contextmanager
def _cures() -> Iterator[None]:
    """Adds to an error of arguments where a misplaced one belongs, or an example."""
    try:
        yield
    except _WrongUse as error:
        error.message = error.message.removeprefix("Value error, ")  # Pydantic's, of a choice
        command = error.ctx.command if error.ctx else None
        options = {each.name for each in command.params} if command else ()
        examples = ((command and command.epilog) or "").splitlines()
        if "extra argument" in error.message and "config" in options:
            error.message += "; a configuration is given as --config FILE"
        elif "extra argument" in error.message and examples:
            error.message += f". {examples[-1]}"  # with options
        elif hasattr(error, "param_type") and examples:  # something is missing
            error.message = examples[0]
        unlike_any = not getattr(error, "possibilities", True)  # None for one letter
        if unlike_any and isinstance(command, TyperGroup):
            error.message += f"; options follow the command: {error.ctx.command_path} COMMAND …"
        elif unlike_any and command and command.name == "serve":
            error.message += "; settings are in the configuration, or in NEARBUCKET_… variables"
        raise


def _show_version(value: bool) -> None:  # noqa: FBT001  # Typer's callback signature
    if value:
        from nearbucket.version import version_text  # noqa: PLC0415

        typer.echo(f"nearbucket {version_text()}")
        raise typer.Exit


def _root(
    *,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


def app(names: Iterable[str] = COMMANDS) -> typer.Typer:
    """The command line with these subcommands."""
    made = typer.Typer(
        name="nearbucket",
        cls=_Commands,
        help="A proxy for downloads from S3 that redirects clients in AWS to a bucket in their "
        "region.",
        no_args_is_help=True,
        context_settings={"help_option_names": _HELP},
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )
    made.callback()(_root)
    for name in names:
        module, examples = COMMANDS[name]
        loaded = import_module(f"{__package__}.{module}")
        if examples:
            epilog = "\n\n".join(f"Example: nearbucket {each}" for each in examples)
            made.command(epilog=epilog)(getattr(loaded, name))
        else:
            made.add_typer(getattr(loaded, f"{name}_app"), name=name)
    return made


def _show_no_type_of_flags(command: Any) -> None:
    """Typer's help has ``<bool>`` behind an option that takes no value."""
    context = typer.Context(command, help_option_names=_HELP)
    for option in (*command.params, command.get_help_option(context)):
        if getattr(option, "is_flag", False):
            option.metavar = ""
    for each in getattr(command, "commands", {}).values():
        _show_no_type_of_flags(each)


@cache
def command_line(word: str | None = None) -> Callable[[], Any]:
    """The command line for a first argument: with that subcommand, or else with all of them."""
    gc.disable()  # what imports make stays, so collections would be in vain
    one = [word] if word in COMMANDS else []
    made = typer.main.get_command(app(one if one or word == "--version" else COMMANDS))
    _show_no_type_of_flags(made)
    gc.freeze()
    gc.enable()
    return made


def main() -> None:
    """Run the command line; errors end it with a message, with ``--json`` also as JSON."""
    if None in {sys.stdin, sys.stdout, sys.stderr}:
        _open_standard_streams()
    try:
        command_line(*sys.argv[1:2])()
    except KeyboardInterrupt:  # while modules are loaded; Typer does the same after that
        sys.exit(_INTERRUPTED)
    except (ProxyError, OSError) as error:
        from nearbucket.cli.output import (  # noqa: PLC0415
            error_lines,
            exit_code,
            print_failures,
            print_json,
        )

        lines = error_lines(error)
        print_failures(lines)
        if "--json" in sys.argv and isinstance(error, ProxyError):
            print_json({"errors": lines})  # a program reads standard output
        sys.exit(exit_code(error))


def _open_standard_streams() -> None:
    """Open the standard streams that the caller has closed, on /dev/null.

    Otherwise printing would fail, and a socket of ``serve`` would get such a number, and lose it in
    a worker that replaces another: that is a new process with standard streams of its own.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:  # noqa: PLR2004  # standard error
        os.set_inheritable(descriptor, True)  # noqa: FBT003  # the standard library's signature
    os.close(descriptor)
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
