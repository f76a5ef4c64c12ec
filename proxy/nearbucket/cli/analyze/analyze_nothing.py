"""What ``nearbucket analyze`` says if no request counts: what the logs have instead."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from nearbucket.analysis.counting.aggregate_store import AggregateStore
from nearbucket.analysis.counting.local_engine import LocalEngine
from nearbucket.analysis.reading.formats import shown_key
from nearbucket.analysis.reading.line_reader import NO_HEADER
from nearbucket.analysis.reading.sources import STDIN, hour_of
from nearbucket.analysis.reducing.reduce import ReduceOptions
from nearbucket.analysis.reducing.request_columns import NO_TIME, OTHER_HOST, OTHER_TIME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from nearbucket.analysis.answers import Scope
    from nearbucket.analysis.reading.sources import LogSource

_MEMORY = 128 << 20
_HOSTS = 10
_NEED_FIELDS = (
    "; --fields names the columns of logs without one, such as CloudFront's real-time logs"
)


def hours_text(sources: Iterable[LogSource]) -> str:
    """Of which hours files are, by their names; empty if no name says it."""
    hours = sorted(found.hour for each in sources if (found := hour_of(each.name)))
    return f"; their names are of {_text(hours[0])} to {_text(hours[-1])}" if hours else ""


def why_nothing(
    scope: Scope,
    sources: Sequence[LogSource],
    opened: Callable[[LogSource], Any],
    fields: tuple[str, ...],
) -> str:
    """Why no request of some files counts.

    Args:
        scope: What was read.
        sources: The files.
        opened: Opens one.
        fields: Names of the fields of files without a header.
    """
    reasons = ", ".join(f"{number} {why}" for why, number in scope.left_out.items())
    if not {OTHER_HOST, OTHER_TIME} & set(scope.left_out):
        if NO_TIME in scope.left_out:
            return f"{reasons}; it is in the fields date and time, or in timestamp (seconds)"
        why = next((f"{each.name}: {each.why}" for each in scope.damaged), "no file has any")
        return why + ("" if fields or NO_HEADER not in why else _NEED_FIELDS)
    return f"{reasons}{_found(sources, opened, fields)}"


def _found(
    sources: Sequence[LogSource], opened: Callable[[LogSource], Any], fields: tuple[str, ...]
) -> str:
    """Hosts and period of the first and the last file, read again without options."""
    some = [each for each in {sources[0]: 0, sources[-1]: 0} if each.name != STDIN]
    with AggregateStore(_MEMORY, 1) as store:
        LocalEngine(ReduceOptions(fields=fields), 1, opened=opened).run(some, store)
        store.finish()
        hosts = store.rows("SELECT DISTINCT host FROM names ORDER BY host LIMIT ?", [_HOSTS])
        times = [
            time for each in store.summaries for time in (each.first, each.last) if time is not None
        ]
    if not times:
        return ""
    first, last = (_text(datetime.fromtimestamp(time, UTC)) for time in (min(times), max(times)))
    names = ", ".join(shown_key(host) for (host,) in hosts)
    return f"; the first and the last file have the hosts {names}, from {first} to {last}"


def _text(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M}"
