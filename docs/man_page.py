"""The manual page ``nearbucket(1)``, from the commands and their help texts (man-pages(7))."""  # noqa: INP001  # a module of a script

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from nearbucket import __version__
from nearbucket.cli.main import app

if TYPE_CHECKING:
    from collections.abc import Iterator

_EXIT_CODES = (
    ("0", "Done."),
    ("1", "Done, but something needs attention."),
    ("2", "Wrong use, or a configuration that cannot be used."),
    ("3", "A service that is needed cannot be reached."),
)


def man_page() -> str:
    """The page in roff, without a date: what has not changed makes no difference."""
    top: Any = typer.main.get_command(app())
    lines = [
        f'.TH NEARBUCKET 1 "" "nearbucket {__version__}" "User commands"',
        ".SH NAME",
        r"nearbucket \- redirect downloads from S3 to the bucket in the client's own AWS region",
        ".SH SYNOPSIS",
        ".B nearbucket",
        r".I command",
        r"[\fIoptions\fR]",
        ".SH DESCRIPTION",
        _text(top.help),
        ".SH COMMANDS",
    ]
    for name, command in top.commands.items():
        lines += _command(f"nearbucket {name}", command)
    lines += [".SH EXIT STATUS"]
    for code, text in _EXIT_CODES:
        lines += [".TP", f".B {code}", _text(text)]
    lines += [
        ".SH ENVIRONMENT",
        ".TP",
        ".B NEARBUCKET_CONFIG",
        "The configuration, where no option names it.",
        ".TP",
        r".BI NEARBUCKET_ SECTION __ KEY",
        "Overrides a setting, such as NEARBUCKET_LISTEN__PORT=80.",
        ".SH FILES",
        ".TP",
        ".I nearbucket.yaml",
        "The configuration in the working folder, where nothing names another.",
    ]
    return "\n".join(lines) + "\n"


def _command(name: str, command: Any) -> Iterator[str]:
    """The subsection of a command, or those of the commands in a group."""
    if hasattr(command, "commands"):
        for word, inner in command.commands.items():
            yield from _command(f"{name} {word}", inner)
        return
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option"]
    yield f".SS {name}"
    words = " ".join(_argument(each) for each in arguments)
    yield rf".B {name}"
    yield rf"[\fIoptions\fR] {words}".rstrip()
    for paragraph in (command.help or "").split("\n\n"):
        yield from (".PP", _text(paragraph))
    for each in (*arguments, *options):
        if each.name != "help":
            yield from (".TP", _name(each), _text(_described(each)))
    for example in (command.epilog or "").split("\n\n"):
        yield from (".PP", _text(example))


def _argument(parameter: Any) -> str:
    word = rf"\fI{parameter.display_name_raw}\fR" + ("..." if parameter.nargs < 0 else "")
    return word if parameter.required else f"[{word}]"


def _name(parameter: Any) -> str:
    """Option or argument with its value, in bold and italics."""
    if parameter.param_type_name == "argument":
        return rf".I {parameter.display_name_raw}"
    names = ", ".join(_text(each) for each in (*parameter.opts, *parameter.secondary_opts))
    value = "" if parameter.is_flag else rf" \fI{parameter.display_name_raw}\fR"
    return rf"\fB{names}\fR{value}"


def _described(parameter: Any) -> str:
    """The help of an option, with its variable and default."""
    text = parameter.help or ""
    if parameter.envvar:
        text += f" Variable: {parameter.envvar}."
    default = parameter.default
    if isinstance(parameter.show_default, str):
        default = parameter.show_default
    if default not in {None, False, True, ()}:
        text += f" Default: {default}."
    return text


def _text(text: str) -> str:
    """Text in roff: no escapes, no requests, hyphens that can be copied (groff_man_style(7))."""
    plain = " ".join(text.split()).replace("\\", r"\e").replace("-", r"\-").replace("`", "")
    return rf"\&{plain}" if plain.startswith((".", "'")) else plain
