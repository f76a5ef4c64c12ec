"""How ``nearbucket config diff`` shows two configurations, and what the second would do.

In: checked settings; ``PolicyDiffTotals``. Out: text on both outputs, or one JSON document. Refuses
to know how anything is read or decided.
"""

from __future__ import annotations

import json
import re
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from nearbucket.cli.output import print_error, print_json, print_table, size_text
from nearbucket.config.file import SECRET_KEY, mask
from nearbucket.errors import ConfigError
from nearbucket.supervisor.snapshot import refuse_restart

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from nearbucket.analysis.log_reader import LogFiles
    from nearbucket.analysis.policy_diff import AnswerChange, PolicyDiffTotals
    from nearbucket.config.prices import Prices
    from nearbucket.config.settings import Settings

_SHOWN = 20
"""Changes that are listed on a terminal."""
_NOT_REPLAYED = re.compile(
    r"client_address\..*|catalog\..*|regions\.(source|cache)"
    r"|sites\..*\.(redirect\.(min_size|verify|verify_ttl|came_back|presign)"
    r"|opt_out\.(query|header)|origin\.query)"
).fullmatch
"""Settings that change answers by what no log shows."""


class SettingDifference(NamedTuple):
    """One setting that is not the same; None where it is unset.

    Attributes:
        key: Dotted path; a site stands there by its name.
        before: The first configuration's value.
        after: The second's.
        secret: Whether it is a secret, of which both values are masked.
    """

    key: str
    before: Any
    after: Any
    secret: bool


def differences(before: Settings, after: Settings) -> list[SettingDifference]:
    """The settings in which two configurations differ, in the order of the file."""
    old, new = _values(before, after), _values(after, before)
    return [
        SettingDifference(key, _shown(key, old), _shown(key, new), key == SECRET_KEY)
        for key in dict.fromkeys((*old, *new))
        if old.get(key) != new.get(key)
    ]


def _shown(key: str, values: Mapping[str, Any]) -> Any:
    value = values.get(key)
    return mask(value) if value and key == SECRET_KEY else value


def _values(settings: Settings, other: Settings) -> dict[str, Any]:
    """Dotted path to value. Sites stand by their names, for nothing depends on their order.

    Of a site that the other configuration does not have, only what is no default.
    """
    values = settings.model_dump(mode="json", by_alias=True)
    known = {site.name for site in other.sites}
    values["sites"] = {
        site.name: site.model_dump(
            mode="json", by_alias=True, exclude_defaults=site.name not in known
        )
        for site in settings.sites
    }
    return _flat(values)


def _flat(value: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Dotted path to value; lists are values, and what is unset is left out."""
    found: dict[str, Any] = {}
    for name, inner in value.items():
        if isinstance(inner, dict):
            found |= _flat(inner, f"{path}{name}.")
        elif inner is not None:
            found[f"{path}{name}"] = inner
    return found


def restart_needed(before: Settings, after: Settings) -> str | None:
    """Which keys a running instance would refuse to change, or None."""
    try:
        refuse_restart(before, after)
    except ConfigError as error:
        return str(error)
    return None


def print_differences(found: Sequence[SettingDifference], restart: str | None) -> None:
    """The settings that differ."""
    if not found:
        typer.echo("no differences")
        return
    rows = [
        (each.key, _text(each.before), _text(each.after) + ", another" * each.secret)
        for each in found
    ]
    _print_part("setting", ("setting", "before", "after"), rows)
    typer.echo(f"restart\t{restart or 'not needed'}")


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return value if value and isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _print_part(name: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on a terminal; in a pipe, lines that begin with what they are about."""
    if sys.stdout.isatty():
        print_table(columns, rows)
    else:
        print_table((), [(name, *row) for row in rows])


@contextmanager
def progress(logs: LogFiles) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, where that is a terminal; what is given moves it."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[requests]:,} requests"),
    )
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("replay", total=logs.size, requests=0)
        yield lambda requests: bar.update(task, completed=logs.position, requests=requests)


def totals(diff_totals: PolicyDiffTotals, prices: Prices) -> dict[str, int | float]:
    """The sums, by name."""
    sums: dict[str, int | float] = {
        "requests": diff_totals.requests,
        "changed": diff_totals.changed,
        "unreadable": diff_totals.unreadable,
    }
    for name, way in (("newly_redirected", 1), ("no_longer_redirected", -1)):
        rows = [row for row in diff_totals.rows if row.way == way]
        sums[name] = sum(row.requests for row in rows)
        sums[f"{name}_bytes"] = sum(row.size for row in rows)
    return sums | {
        "saved_usd": round(sum(row.usd(prices) for row in diff_totals.rows), 6),
        "size_unknown": sum(row.unknown for row in diff_totals.rows),
        "reason_from_log": diff_totals.as_logged,
        "log_differs_from_first": diff_totals.other,
    }


def _sorted(diff_totals: PolicyDiffTotals) -> list[AnswerChange]:
    return sorted(diff_totals.rows, key=lambda row: (-row.size, -row.requests))


def print_totals(diff_totals: PolicyDiffTotals, prices: Prices) -> None:
    """What changes: most bytes first, then the sums."""
    rows, terminal = _sorted(diff_totals), sys.stdout.isatty()
    shown = rows[:_SHOWN] if terminal else rows
    if rows:
        columns = ("requests", "bytes", "saved USD", "region", "before", "after", "example")
        _print_part("answer", columns, [_cells(row, prices) for row in shown])
    if len(shown) < len(rows):
        print_error(f"{len(rows) - len(shown)} more changes; a pipe or --json has them all")
    sums = totals(diff_totals, prices)
    _print_part(
        "total", ("total", ""), [(_label(name), _sum(name, value)) for name, value in sums.items()]
    )


def _cells(row: AnswerChange, prices: Prices) -> tuple[str, ...]:
    usd = f"{row.usd(prices):.2f}"
    answers = str(row.before), str(row.after)
    return (str(row.requests), size_text(row.size), usd, row.region, *answers, row.example)


def _label(name: str) -> str:
    return name.replace("_", " ").replace("usd", "USD")


def _sum(name: str, value: float) -> str:
    if name.endswith("_usd"):
        return f"{value:.2f}"
    return size_text(int(value)) if name.endswith("_bytes") else str(value)


def notes(diff_totals: PolicyDiffTotals, found: Sequence[SettingDifference]) -> Iterator[str]:
    """What has to be known to believe the figures."""
    if diff_totals.first:
        yield f"{diff_totals.unreadable} lines are no requests; the first: {diff_totals.first}"
    yield from diff_totals.broken
    hidden = [each.key for each in found if _NOT_REPLAYED(each.key)]
    if hidden:
        yield f"a log cannot say what these settings do: {', '.join(hidden)}"
    if diff_totals.as_logged:
        yield (
            f"{diff_totals.as_logged} requests keep their logged reason, such as credentials or "
            "not-replicated: the log shows neither header fields nor buckets"
        )
    if diff_totals.other:
        yield (
            f"{diff_totals.other} requests have another reason in the log than the first "
            "configuration gives: it, the list or the version is not what the log was "
            "written by"
        )
    if diff_totals.rows:
        yield (
            "bytes: those sent; of redirected requests, the range asked for or the largest "
            "whole answer (200) for the same path in this sample, else 0 (size unknown); "
            "CloudFront's include header fields; USD by prices of the second file"
        )


def print_notes(diff_totals: PolicyDiffTotals, found: Sequence[SettingDifference]) -> None:
    """The notes, on standard error."""
    for note in notes(diff_totals, found):
        print_error(note)


def print_as_json(
    found: Sequence[SettingDifference],
    restart: str | None,
    diff_totals: PolicyDiffTotals | None,
    prices: Prices,
) -> None:
    """All of it, for programs."""
    replay = None
    if diff_totals is not None:
        replay = {
            **totals(diff_totals, prices),
            "notes": list(notes(diff_totals, found)),
            "answers": [_as_json(row, prices) for row in _sorted(diff_totals)],
        }
    settings = [each._asdict() for each in found]
    print_json({"settings": settings, "restart": restart, "replay": replay})


def _as_json(row: AnswerChange, prices: Prices) -> dict[str, Any]:
    return {
        "before": row.before._asdict(),
        "after": row.after._asdict(),
        "region": row.region,
        "requests": row.requests,
        "bytes": row.size,
        "size_unknown": row.unknown,
        "saved_usd": round(row.usd(prices), 6),
        "path": row.example,
    }
