"""``nearbucket analyze --replay``: sends the requests of logs to a running proxy, and compares."""

from __future__ import annotations

import asyncio
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

from yarl import URL

from nearbucket.analysis.live_replay import replay_comparison
from nearbucket.analysis.live_replay.replayed_logs import ReplayedLogs
from nearbucket.analysis.live_replay.traffic_replay import ReplayPlan, own_url, replay_logs
from nearbucket.analysis.reading.sources import ALWAYS
from nearbucket.cli.output import NO_RANGES, print_error, print_json, print_table, ranges_for
from nearbucket.errors import ConfigError
from nearbucket.supervisor.snapshot import engine_of, snapshot_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from nearbucket.analysis.live_replay.traffic_replay import ReplayResult
    from nearbucket.analysis.reading.sources import DamagedFile, LogSource, Period
    from nearbucket.config.settings import Settings
    from nearbucket.pricing.tariff import Tariff

_EVERYWHERE = frozenset({"0.0.0.0", "::"})  # compared, not bound
_PERCENT = 2.0
"""How far counters may be from the prediction."""


class ReplayOptions(NamedTuple):
    """What the command was given.

    Attributes:
        url: The proxy.
        rate: Requests a second.
        own_host: Whether it may be on another machine.
        fields: Names of the fields of logs without a header.
        ranges: A list of prefixes instead of the one in use.
        as_json: Whether the output is JSON.
        period: Which requests are sent.
        left_out: Files that are not read, such as copies of others.
    """

    url: str
    rate: float
    own_host: bool
    fields: Sequence[str]
    ranges: Path | None
    as_json: bool
    period: Period = ALWAYS
    left_out: tuple[DamagedFile, ...] = ()


def replay(
    options: ReplayOptions,
    settings: Settings | None,
    tariff: Tariff,
    sources: Sequence[LogSource],
    opened: Callable[[LogSource], AbstractContextManager[Any]],
) -> bool:
    """Replay, and print the comparison.

    Args:
        options: What the command was given.
        settings: The configuration of the proxy.
        tariff: Its prices.
        sources: The log files.
        opened: Opens one.

    Returns:
        Whether all decisions are the expected ones, the counters within 2 % of the prediction, and
        all files and lines could be read.

    Raises:
        ConfigError: The replay is not possible with these options and this configuration.
        OriginError: The proxy does not answer.
    """
    if settings is None:
        raise ConfigError("--replay needs the configuration of the proxy: --config FILE")
    document = ranges_for(settings.regions, options.ranges)
    if document is None:
        raise ConfigError(NO_RANGES)

    url = own_url(options.url, own_host=options.own_host)
    engine = engine_of(snapshot_of(settings, document))
    with ExitStack() as stack:
        logs = ReplayedLogs(sources, opened, options.fields, options.period, stack)
        plan = ReplayPlan(logs.tables, url, _admin(settings, url), options.rate)
        try:
            result = asyncio.run(replay_logs(plan, settings, engine, tariff, _progress))
        finally:
            damaged = {each.name: each.why for each in options.left_out} | logs.damaged
            for name, why in damaged.items():
                print_error(f"{name}: {why}")
    if options.as_json:
        rows = [{"name": name, "why": why} for name, why in damaged.items()]
        print_json(replay_comparison.as_json(*result) | {"damaged": rows})
    else:
        print_table(*_table(result))
    for note in replay_comparison.notes(result.counts):
        print_error(note)
    return _agrees(result) and not damaged


def _table(result: ReplayResult) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    heading, *rows = replay_comparison.lines(*result)
    return heading, rows


def _admin(settings: Settings, url: URL) -> URL:
    host = settings.admin.host
    at = url.host if host in _EVERYWHERE else host
    return URL.build(scheme="http", host=at or "127.0.0.1", port=settings.admin.port)


def _progress(sent: int) -> None:
    """A counter on a terminal's standard error."""
    if sys.stderr.isatty() and sent % 100 == 0:
        sys.stderr.write(f"\r{sent:,} requests sent ")
        sys.stderr.flush()


def _agrees(result: ReplayResult) -> bool:
    figures = zip(result.predicted, result.counted, strict=True)
    near = all(abs(two - one) <= _PERCENT / 100 * one for one, two in figures)
    return near and result.counts.agreed == result.counts.sent
