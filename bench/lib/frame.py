"""The interface of a bench, its tables and its rounds.

A bench is a module with ``TITLE`` and ``run``. Its name is in ``BENCHES`` of the command, which
prints, keeps and compares its tables::

    TITLE = "One lookup"                           # what the progress bar says

    def run(context: Context) -> Sequence[Table]:  # one table or more
        context.steps.expect(2 * (context.rounds + 1))
        samples = interleaved({"ours": 1, "theirs": 2}, measure, context)
        rows = tuple(Row((name,), {"ns": median(each)}) for name, each in samples.items())
        return [Table("lookup", "One lookup", ("table",), (Figure("ns", "ns"),), rows)]
"""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from bench.lib.processes import Cores

Key = TypeVar("Key")
Thing = TypeVar("Thing")
Sample = TypeVar("Sample")


class Steps(Protocol):
    """Moves the progress bar."""

    def expect(self, count: int) -> None:
        """Announce more steps."""

    def now(self, text: str) -> None:
        """Show what is being done."""

    def done(self) -> None:
        """Count one step."""


class Context(NamedTuple):
    """The arguments of a bench.

    Attributes:
        cores: Where servers run, and where the load does; this process is on the load's.
        rounds: How often each thing is to be measured.
        quick: Whether to do much less in each round, for a first look.
        folder: Folder for temporary files; empty, of this bench alone, removed at the end.
        ranges: The list of prefixes that comes with this version.
        steps: The progress bar.
    """

    cores: Cores
    rounds: int
    quick: bool
    folder: Path
    ranges: Path
    steps: Steps


class Bench(Protocol):
    """The interface of a bench's module."""

    TITLE: str

    def run(self, context: Context) -> Sequence[Table]:
        """Measure; raises ``BenchError`` when that is not possible."""


class Figure(NamedTuple):
    """One column of numbers.

    Attributes:
        key: In the result file; stays the same for good.
        title: In the table, with the unit.
        digits: Behind the point.
        watched: Whether ``--compare`` looks at it: for figures that do not depend on the
            machine's speed at the moment, such as ratios within a round, counts and bytes.
        noise: Smallest relative change that is told from noise.
    """

    key: str
    title: str
    digits: int = 2
    watched: bool = False
    noise: float = 0.05


class Row(NamedTuple):
    """One row: its labels, and figures by key; None, or absent, is not measured."""

    labels: tuple[str, ...]
    figures: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Table:
    """One table of results.

    Attributes:
        name: In the result file; stays the same for good.
        title: The heading.
        labels: Headings of the columns with the rows' labels.
        columns: The columns of numbers.
        rows: The lines; no two with the same labels.
        notes: Sentences for the reader of this table, such as what disturbed it.
        load: Parameters of the load, for the file: results are comparable when this is equal.
    """

    name: str
    title: str
    labels: tuple[str, ...]
    columns: tuple[Figure, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    load: Mapping[str, str | float | bool] = field(default_factory=dict)


def interleaved(
    things: Mapping[Key, Thing],
    measure: Callable[[Thing, int], Sample],
    context: Context,
    *,
    warm_up: bool = True,
) -> dict[Key, list[Sample]]:
    """Measure each thing once a round, another one first each time; one step each.

    Args:
        things: The things to measure, by name; a name's ``str`` is shown.
        measure: Given the thing and the round's number. Round 0 is a warm-up: whatever it
            returns is dropped.
        context: Gives the number of rounds and the progress bar.
        warm_up: Whether there is a round 0.

    Returns:
        For each name one sample a round, in order: samples at the same place belong together.
    """
    keys = list(things)
    samples: dict[Key, list[Sample]] = {key: [] for key in keys}
    for number in range(0 if warm_up else 1, context.rounds + 1):
        for place in range(len(keys)):
            key = keys[(place + number) % len(keys)]
            context.steps.now(str(key))
            sample = measure(things[key], number)
            if number:
                samples[key].append(sample)
            context.steps.done()
    return samples


def ratios(ours: Iterable[float], theirs: Iterable[float]) -> list[float]:
    """Round by round; rounds in which the other figure is zero are left out."""
    return [mine / other for mine, other in zip(ours, theirs, strict=True) if other]


def middle(values: Iterable[float]) -> float | None:
    """The median; None without values."""
    known = list(values)
    return median(known) if known else None
