"""The command ``nearbucket explain``: by the policy alone, or on a running server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlencode, urlsplit

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
)
from nearbucket.config.file import load
from nearbucket.errors import ConfigError, OriginError
from nearbucket.policy.client_address import plain_address
from nearbucket.policy.explain import FAILED, PATH_STARTS, ExplainQuery, explained

if TYPE_CHECKING:
    from pathlib import Path

    from nearbucket.config.file import ConfigFile

_TIMEOUT = 30.0  # seconds: the server may have to ask S3


def explain(  # noqa: PLR0913, PLR0917  # one parameter an option
    context: typer.Context,
    path: Annotated[
        str, typer.Argument(metavar="URL-PATH", help="Path of the URL, encoded; or the whole URL.")
    ],
    ip: Annotated[str, typer.Option(metavar="IP", help="Address of the client.")],
    config: Config = None,
    host: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Host field; by default the first host of the configuration."
        ),
    ] = None,
    method: Annotated[str, typer.Option(metavar="METHOD", help="Method of the request.")] = "GET",
    header: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD", help="Header field, 'Name: value'; may be repeated."),
    ] = None,
    ranges: RangesFile = None,
    live: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Admin port of a running server, such as http://127.0.0.1:9090: explain by its "
            "configuration and list, and by what it knows of the copy.",
        ),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show the decision for one request, with every step that leads to it."""
    if plain_address(ip) is None:
        raise ConfigError(f"--ip: {ip!r} is not an IP address")
    if not path.startswith(PATH_STARTS):
        raise ConfigError(f"{path!r} is not a URL path; it must begin with /")
    if live is not None:
        _refuse_files(context)
    query = ExplainQuery(ip, path, host, method, _headers(header or []))
    found = _by_policy(query, config, ranges) if live is None else _asked(live, query)
    if as_json:
        print_json(found)
    else:
        print_table(
            ("step", "value", "detail"),
            [(step["name"], step["value"], step["detail"]) for step in found["steps"]],
        )
        if live is not None:
            _print_workers(found["workers"])
    if found["reason"] == FAILED:
        raise typer.Exit(NEEDS_ATTENTION)


def _refuse_files(context: typer.Context) -> None:
    """Refuse options that a running server ignores; a variable may name a file all the same."""
    for name in ("config", "ranges"):
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise ConfigError(
                f"--live and --{name}: a running server explains by its own configuration and "
                "list; give one of the two"
            )


def _by_policy(
    query: ExplainQuery, config: ConfigFile | None, ranges: Path | None
) -> dict[str, Any]:
    from nearbucket.supervisor.snapshot import engine_of, snapshot_of  # noqa: PLC0415

    settings = load(config)
    document = ranges_for(settings.regions, ranges)
    if document is None:
        print_error(NO_RANGES)
    return explained(engine_of(snapshot_of(settings, document)), query).as_json()


def _asked(live: str, query: ExplainQuery) -> dict[str, Any]:
    """The answer of a running server's ``/api/explain``."""
    from http import HTTPStatus  # noqa: PLC0415  # other commands start faster without these
    from http.client import HTTPException  # noqa: PLC0415
    from urllib.error import HTTPError, URLError  # noqa: PLC0415
    from urllib.request import ProxyHandler, build_opener  # noqa: PLC0415

    base = live if "://" in live else f"http://{live}"
    try:
        parts = urlsplit(base)
        usable = parts.scheme in {"http", "https"} and (parts.port or 1) > 0
    except ValueError:  # the port, or brackets
        usable = False
    if not usable:
        raise ConfigError(f"--live: {live!r} is not a URL such as http://127.0.0.1:9090")
    fields = [("ip", query.ip), ("path", query.target), ("method", query.method)]
    fields += [("host", query.host)] if query.host is not None else []
    fields += [("header", f"{name}: {value}") for name, value in query.headers.items()]
    url = f"{base.rstrip('/')}/api/explain?{urlencode(fields, errors='surrogateescape')}"
    opener = build_opener(ProxyHandler({}))  # the admin port is not behind a proxy
    try:
        with opener.open(url, timeout=_TIMEOUT) as answer:
            found: dict[str, Any] = json.load(answer)
            found["steps"], found["workers"]  # a KeyError if they are not there
    except HTTPError as error:
        with error:
            said = error.read(1000).decode("utf-8", "replace").strip()
        hint = "" if error.code == HTTPStatus.BAD_REQUEST else "; is this the admin port?"
        raise ConfigError(f"--live {live}: status {error.code}: {said.rstrip('.')}{hint}") from None
    except (URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        why = getattr(reason, "strerror", None) or reason
        advice = "start `nearbucket serve`, or give the address of its admin port"
        raise OriginError(503, f"--live {live}: cannot be reached: {why}; {advice}") from None
    except (HTTPException, ValueError, KeyError, TypeError):
        raise ConfigError(f"--live {live}: this is not nearbucket's admin port") from None
    return found


def _print_workers(reasons: dict[str, int]) -> None:
    if not reasons:
        print_error("no worker answered, so nothing is known of the copy")
    elif len(reasons) > 1:
        counted = ", ".join(f"{reason} {count}" for reason, count in reasons.items())
        print_error(f"the workers know different things of the copy: {counted}")


def _headers(lines: list[str]) -> dict[str, str]:
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise ConfigError(f"--header {line!r} must have the form 'Name: value'")
        headers[name.strip()] = value.strip()
    return headers
