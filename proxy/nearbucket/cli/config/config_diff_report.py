"""The output of ``nearbucket config diff``: differing settings, changed answers, sums and notes."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

import typer

from nearbucket.cli.output import print_error, print_json, print_table, size_text
from nearbucket.supervisor import snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nearbucket.analysis.policy_diff import AnswerChange, PolicyDiffTotals
    from nearbucket.config.differences import SettingDifference
    from nearbucket.config.settings import Settings
    from nearbucket.pricing.tariff import Tariff

_SHOWN = 20
"""How many changed answers a terminal shows."""
_NOT_REPLAYED = re.compile(
    r"client_address\..*|catalog\..*|regions\.(source|cache)"
    r"|sites\..*\.(redirect\.(verify|verify_ttl|came_back|presign)"
    r"|opt_out\.(query|header)|origin\.query)"
).fullmatch
"""Settings whose effect a log cannot show."""


def restart_needed(before: Settings, after: Settings) -> str | None:
    """The settings that change only with a restart, or None."""
    keys = snapshot.restart_needed(before, after)
    return f"{', '.join(keys)}: changes only with a restart" if keys else None


def print_differences(found: Sequence[SettingDifference], restart: str | None) -> None:
    """Print the settings that differ."""
    if not found:
        typer.echo("no differences")
        return
    rows = [(each.key, each.texts[0], each.texts[1] + " (changed)" * each.secret) for each in found]
    _print_part("setting", ("setting", "before", "after"), rows)
    typer.echo(f"restart\t{restart or 'not needed'}")


def _print_part(name: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table on a terminal; in a pipe, lines that begin with ``name``."""
    if sys.stdout.isatty():
        print_table(columns, rows)
    else:
        print_table((), [(name, *row) for row in rows])


def totals(diff_totals: PolicyDiffTotals, tariff: Tariff) -> dict[str, int | float]:
    """The sums by name, as in the JSON document."""
    sums: dict[str, int | float] = {
        "requests": diff_totals.requests,
        "changed": diff_totals.changed,
        "reason_changed": diff_totals.reason_changed,
        "unreadable": diff_totals.unreadable,
    }
    for name, way in (("newly_redirected", 1), ("no_longer_redirected", -1)):
        rows = [row for row in diff_totals.rows if row.way == way]
        sums[name] = sum(row.requests for row in rows)
        sums[f"{name}_bytes"] = sum(row.size for row in rows)
    return sums | {
        "saved_usd": round(sum(diff_totals.saved_usd(tariff).values()), 6) + 0.0,
        "without_bytes": diff_totals.without_bytes,
        "size_unknown": sum(row.unknown for row in diff_totals.rows),
        "reason_from_log": diff_totals.as_logged,
        "log_differs_from_first": diff_totals.other,
    }


def _sorted(diff_totals: PolicyDiffTotals) -> list[AnswerChange]:
    return sorted(diff_totals.rows, key=lambda row: (-row.size, -row.requests))


def print_totals(diff_totals: PolicyDiffTotals, tariff: Tariff) -> None:
    """Print the changed answers, those with most bytes first, and the sums."""
    rows, terminal = _sorted(diff_totals), sys.stdout.isatty()
    shown = rows[:_SHOWN] if terminal else rows
    saved = diff_totals.saved_usd(tariff)
    cells = [_cells(row, saved[row]) for row in shown]
    if terminal and rows:
        columns = ("requests", "bytes", "saved USD", "region", "before, after, example")
        print_table(columns, [line for row in cells for line in _lines(row)])
    else:
        print_table((), [("answer", *row) for row in cells])
    if len(shown) < len(rows):
        print_error(f"{len(rows) - len(shown)} more changes; a pipe or --json shows all")
    sums = totals(diff_totals, tariff)
    _print_part(
        "total", ("total", ""), [(_label(name), _sum(name, value)) for name, value in sums.items()]
    )


def _cells(row: AnswerChange, saved: float) -> tuple[str, ...]:
    answers = str(row.before), str(row.after)
    figures = str(row.requests), size_text(row.size), f"{saved:z.2f}"
    return (*figures, row.region, *answers, row.example)


def _lines(cells: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Three lines for one change: side by side, they need more than the 80 characters of some."""
    figures, texts = cells[:4], cells[4:]
    yield (*figures, texts[0])
    for text in texts[1:]:
        yield (*[""] * len(figures), text)


def _label(name: str) -> str:
    return name.replace("_", " ").replace("usd", "USD in these logs")


def _sum(name: str, value: float) -> str:
    if name.endswith("_usd"):
        return f"{value:z.2f}"  # z: never -0.00
    return size_text(int(value)) if name.endswith("redirected_bytes") else str(value)


def notes(
    diff_totals: PolicyDiffTotals, found: Sequence[SettingDifference], tariff: Tariff
) -> Iterator[str]:
    """Remarks on how far the figures can be relied on."""
    if diff_totals.first:
        yield f"{diff_totals.unreadable} lines are not requests; the first: {diff_totals.first}"
    yield from diff_totals.broken
    hidden = [each.key for each in found if _NOT_REPLAYED(each.key)]
    if hidden:
        yield f"a log does not show the effect of these settings: {', '.join(hidden)}"
    if diff_totals.no_site:
        hint = ". S3's own logs name the bucket as host" if diff_totals.s3_logs else ""
        yield (
            f"{diff_totals.no_site} of {diff_totals.requests} requests are for hosts that neither "
            f"configuration has: both refuse them{hint}"
        )
    if diff_totals.without_bytes:
        yield (
            f"{diff_totals.without_bytes} requests whose redirects would change do not count: "
            "the log has an answer without bytes of an object, such as 304, 404 or 000"
        )
    if diff_totals.as_logged:
        yield (
            f"{diff_totals.as_logged} requests keep the reason in the log, such as credentials or "
            "not-replicated: header fields and buckets are not in a log"
        )
    if diff_totals.other:
        yield (
            f"{diff_totals.other} requests have another reason in the log than with A: the log was "
            "written with another configuration, list of prefixes or version"
        )
    if diff_totals.rows:
        yield (
            "bytes are those sent; for redirected requests the requested range, or the size of the "
            "object as far as these logs show it (200 and ranges), or 0 (size unknown, or the rest "
            "of an object from a later byte on). CloudFront's logs count header fields too"
        )
        volume = ", at most: prices.monthly_gb is not set" if tariff.at_most else ""
        if (months := diff_totals.months) > 1:
            volume = f", in each of {months:.1f} equal months{volume}"
        yield (
            "USD are for the requests of these logs, not for a month, by the prices of B: how "
            "these redirects change the CDN's bill, if there are no others in the month "
            f"({tariff.words}{volume})"
        )


def print_as_json(
    found: Sequence[SettingDifference],
    restart: str | None,
    diff_totals: PolicyDiffTotals | None,
    tariff: Tariff,
) -> None:
    """Print everything as one JSON document."""
    replay = None
    if diff_totals is not None:
        saved = diff_totals.saved_usd(tariff)
        replay = {
            **totals(diff_totals, tariff),
            "notes": list(notes(diff_totals, found, tariff)),
            "answers": [_as_json(row, saved[row]) for row in _sorted(diff_totals)],
        }
    settings = [each._asdict() for each in found]
    print_json({"settings": settings, "restart": restart, "replay": replay})


def _as_json(row: AnswerChange, saved: float) -> dict[str, Any]:
    return {
        "before": row.before._asdict(),
        "after": row.after._asdict(),
        "region": row.region,
        "requests": row.requests,
        "bytes": row.size,
        "size_unknown": row.unknown,
        "saved_usd": round(saved, 6) + 0.0,
        "path": row.example,
    }
