"""Result files: what was measured, where and with what; and what moved between two of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.lib.case import BenchError
from bench.lib.surroundings import commit, machine, versions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from bench.lib.frame import Context, Table

_STEPS = 2  # of the last digit shown
FORM = 2
"""Format of the document; files of different formats cannot be compared."""


def document(tables: Mapping[str, Sequence[Table]], context: Context) -> dict[str, Any]:
    """The contents of a result file."""
    return {
        "form": FORM,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine() | {"cores_apart": context.cores.apart},
        "versions": versions(),
        "run": {
            "rounds": context.rounds,
            "quick": context.quick,
            "ranges": context.ranges.name,
        },
        "tables": [_table(bench, table) for bench, each in tables.items() for table in each],
    }


def _table(bench: str, table: Table) -> dict[str, Any]:
    return {
        "bench": bench,
        "name": table.name,
        "title": table.title,
        "load": dict(table.load),
        "labels": list(table.labels),
        "columns": [column._asdict() for column in table.columns],
        "rows": [{"labels": list(row.labels), "figures": dict(row.figures)} for row in table.rows],
        "notes": list(table.notes),
    }


def write(path: Path, result: Mapping[str, Any]) -> None:
    """Write a result file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read(path: Path) -> dict[str, Any]:
    """Read a result file.

    Raises:
        BenchError: It is something else.
    """
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        result = None
    if not isinstance(result, dict) or result.get("form") != FORM:
        raise BenchError(f"{path} is not a result of this bench")
    return result


class Move(NamedTuple):
    """One figure in two results."""

    table: str
    row: str
    figure: str
    before: float
    after: float
    noise: float
    resolution: float

    @property
    def change(self) -> float:
        """Relative change; 0.1 is ten percent more."""
        if self.before:
            return self.after / self.before - 1
        return inf if self.after else 0.0

    @property
    def moved(self) -> bool:
        """Whether the change is more than noise, and more than rounding of what is shown."""
        differs = abs(self.after - self.before) > self.resolution
        return differs and abs(self.change) > self.noise


def compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Move]:
    """Every watched figure that both results have."""
    known = {place: figure for place, figure, _ in _watched(before)}
    return [
        Move(*place, known[place], figure, column["noise"], _STEPS * 10.0 ** -column["digits"])
        for place, figure, column in _watched(after)
        if place in known
    ]


Place = tuple[str, str, str]


def _watched(result: Mapping[str, Any]) -> Iterator[tuple[Place, float, dict[str, Any]]]:
    """Table, row and title of each watched figure, the figure, and its column.

    By the title, because a ratio to another server than before is another figure.
    """
    for table in result["tables"]:
        for row in table["rows"]:
            for column in table["columns"]:
                figure = row["figures"].get(column["key"])
                if column["watched"] and figure is not None:
                    place = table["name"], ", ".join(row["labels"]), column["title"]
                    yield place, figure, column


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What else is different between two results, or disturbed them, and may be the reason."""
    pairs = [
        (section, before[section], after[section]) for section in ("machine", "versions", "run")
    ]
    loads = {table["name"]: table["load"] for table in before["tables"]}
    pairs += [
        (f"{table['name']} load", loads[table["name"]], table["load"])
        for table in after["tables"]
        if table["name"] in loads
    ]
    pairs.append(("run", {"commit": before["commit"]}, {"commit": after["commit"]}))
    return (
        [
            f"{section}, {key}: {old.get(key)} -> {new.get(key)}"
            for section, old, new in pairs
            for key in sorted({*old, *new})
            if old.get(key) != new.get(key)
        ]
        + [
            f"only in {name}: {', '.join(tables)}"
            for name, one, other in (("the first", before, after), ("the second", after, before))
            if (tables := sorted(_names(one) - _names(other)))
        ]
        + [
            f"{name}, {table['name']}: {note}"
            for name, result in (("the first", before), ("the second", after))
            for table in result["tables"]
            for note in table["notes"]
        ]
    )


def _names(result: Mapping[str, Any]) -> set[str]:
    return {table["name"] for table in result["tables"]}
