"""What ``nearbucket analyze`` does: finds the files, counts, and writes the report."""

from __future__ import annotations

import os
import shutil
import signal
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from nearbucket.analysis.counting.aggregate_store import AggregateStore
from nearbucket.analysis.counting.count_queries import answer, scope_of
from nearbucket.analysis.counting.local_engine import LocalEngine
from nearbucket.analysis.counting.request_ids import RequestIds
from nearbucket.analysis.reading.duplicate_files import AT_ONCE, DuplicateFinder, each_once
from nearbucket.analysis.reading.formats import field_list, host_of
from nearbucket.analysis.reading.log_blocks import open_file
from nearbucket.analysis.reading.sources import ALWAYS, Period, local_sources, moment
from nearbucket.analysis.reducing.reduce import ReduceOptions
from nearbucket.analysis.reducing.request_columns import CountingRules
from nearbucket.analysis.reducing.request_flags import sites_of
from nearbucket.analysis.report_building import ReportOptions, build_report
from nearbucket.cli.analyze.analyze_nothing import hours_text, why_nothing
from nearbucket.cli.analyze.analyze_output import put_out
from nearbucket.cli.log_progress import log_progress
from nearbucket.cli.output import NO_RANGES, print_error, ranges_for
from nearbucket.config.aws_endpoints import known_regions, unknown_region
from nearbucket.config.buckets import S3_SCHEME
from nearbucket.config.file import load
from nearbucket.config.prices import Prices
from nearbucket.config.settings import Regions
from nearbucket.config.value_types import size_in_bytes
from nearbucket.errors import ConfigError
from nearbucket.pricing.geographies import geography_of_edge
from nearbucket.pricing.tariff import tariff
from nearbucket.regions.region_table import build_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nearbucket.analysis.answers import Report
    from nearbucket.analysis.counting.kept_aggregates import KeptAggregates
    from nearbucket.analysis.reading.s3_logs import S3Logs
    from nearbucket.analysis.reading.sources import DamagedFile, LogSource
    from nearbucket.config.file import ConfigFile
    from nearbucket.config.settings import Settings
    from nearbucket.pricing.tariff import Tariff
    from nearbucket.regions.region_table import RegionTable

_REGION = "us-east-1"
"""Region of the origin bucket where neither a configuration nor a flag tells it."""
_OURS = 768 << 20
"""Bytes of memory that reading takes, beside DuckDB: measured with two threads on 61 million lines.
"""
_A_THREAD = 128 << 20
_LEAST = 128 << 20
_MOST_USD = 1e12
_WHOLE = 100  # percent of the requests in a log that is no sample


@dataclass(frozen=True, slots=True)
class AnalyzeOptions:
    """The arguments and options of the command, as they were given."""

    logs: tuple[str, ...]
    config: ConfigFile | None
    since: str | None
    until: str | None
    hosts: tuple[str, ...]
    form: str
    output: Path | None
    prices: Path | None
    plan: str | None
    price_class: str | None
    bill: float | None
    discount: float | None
    origin_region: str | None
    inventory: str | None
    ranges: Path | None
    top: int
    dedupe: bool
    fields: str | None
    sample: float
    engine: str
    memory: str
    threads: int | None
    keep: Path | None
    recommend: bool
    replay: str | None
    rate: float
    i_own_this_host: bool

    @property
    def field_names(self) -> tuple[str, ...]:
        """The names in ``--fields``; empty without it."""
        return field_list(self.fields) if self.fields else ()


def run(options: AnalyzeOptions) -> bool:
    """Write the report; whether nothing needs attention.

    Raises:
        ProxyError: It cannot be made.
    """
    if options.output is not None and not options.output.parent.is_dir():
        raise ConfigError(f"--output {options.output}: there is no such folder")
    if (region := options.origin_region) and region not in known_regions():
        raise ConfigError(f"--origin-region: {region!r} {unknown_region(region)}")
    own = _own_settings(options.config)
    origin = _origin_region(options.origin_region, own)
    money = _tariff(options, own, origin)
    if options.replay is not None:
        return _replay(options, options.replay, own, money)
    table = _region_table(own, options.ranges)
    report = _report(options, own, table, ReportOptions(
        money, origin, own, options.bill, options.recommend,
        origin_is_assumed=own is None and options.origin_region is None,
    ))  # fmt: skip
    return put_out(report, options.form, options.output)


def _replay(options: AnalyzeOptions, url: str, own: Settings | None, money: Tariff) -> bool:
    """Send the requests of the logs to a proxy, and compare."""
    from nearbucket.cli.analyze.analyze_replay import ReplayOptions, replay  # noqa: PLC0415

    _refuse_report_options(options)
    period = _period(options)
    with ExitStack() as stack:
        s3 = _s3(options, 1, stack)
        sources, left_out = _sources(options, period, s3)
        plan = ReplayOptions(
            url, options.rate, options.i_own_this_host, options.field_names, options.ranges,
            options.form == "json", period, left_out,
        )  # fmt: skip
        return replay(plan, own, money, sources, _opener(s3))


def _refuse_report_options(options: AnalyzeOptions) -> None:
    """Refuse options about the report, which is not made, and prices, which are the proxy's."""
    given = {
        "--host": options.hosts,
        "--format html": options.form == "html",
        "--output": options.output,
        "--bill": options.bill is not None,
        "--plan": options.plan is not None,
        "--price-class": options.price_class is not None,
        "--discount": options.discount is not None,
        "--prices": options.prices,
        "--origin-region": options.origin_region,
        "--inventory": options.inventory,
        "--dedupe": options.dedupe,
        "--sample": options.sample != _WHOLE,
        "--engine": options.engine != "local",
        "--keep": options.keep,
        "--threads": options.threads is not None,
        "--no-recommend": not options.recommend,
    }
    if names := [name for name, value in given.items() if value]:
        raise ConfigError(f"{', '.join(names)}: without effect on --replay; leave it out")


def _period(options: AnalyzeOptions) -> Period:
    since = None if options.since is None else moment(options.since, "--since")
    until = None if options.until is None else moment(options.until, "--until")
    if since and until and since >= until:
        raise ConfigError(f"--until {options.until} is not after --since {options.since}")
    return Period(since, until)


def _own_settings(config: ConfigFile | None) -> Settings | None:
    """The configuration, if one was given or lies in the current folder."""
    if config is None and not Path("nearbucket.yaml").is_file():
        return None
    return load(config)


def _origin_region(given: str | None, own: Settings | None) -> str:
    """Where the origin bucket is: by the configuration, else by the option."""
    if own is None:
        return given or _REGION
    region = own.sites[0].origin.region
    if given not in {None, region}:
        raise ConfigError(
            f"--origin-region {given}: the configuration has the origin in {region}; leave out the "
            "option, or change sites.0.origin.region"
        )
    return region


def _region_table(own: Settings | None, ranges: Path | None) -> RegionTable:
    regions = own.regions if own else Regions()
    document = ranges_for(regions, ranges)
    if document is None:
        raise ConfigError(NO_RANGES)
    return build_table(document, regions.services, regions.overrides)


def _tariff(options: AnalyzeOptions, own: Settings | None, origin: str) -> Tariff:
    given = {"plan": options.plan, "price_class": options.price_class, "discount": options.discount}
    settings = (own.prices if own else Prices()).model_dump(exclude_unset=True)
    settings |= {name: value for name, value in given.items() if value is not None}
    try:
        prices = Prices.model_validate(settings)
    except ValidationError as error:
        found = error.errors()[0]
        name = str(found["loc"][0]).replace("_", "-")
        raise ConfigError(
            f"--{name} {found['input']}: {found['msg'].removeprefix('Value error, ')}"
        ) from None
    money = tariff(prices, options.prices, origin)
    _refuse_idle_prices(options, money)
    return money


def _refuse_idle_prices(options: AnalyzeOptions, money: Tariff) -> None:
    """Prices on the command line that something else leaves without effect."""
    if options.bill is not None and not options.bill < _MOST_USD:  # nor is NaN
        raise ConfigError(f"--bill {options.bill}: write the dollars of a month, below 1e12")
    given = {
        "--plan": options.plan if money.cdn_per_gb is not None else None,
        "--price-class": options.price_class,
        "--discount": options.discount,
        "--bill": options.bill if money.steps else None,
    }
    idle = ", ".join(name for name, value in given.items() if value is not None)
    if idle and money.steps:
        raise ConfigError(
            f"{idle}: without effect on the plan {money.plan}, which costs the same for all "
            "that is delivered; leave it out, or give --plan payg"
        )
    if idle and money.cdn_per_gb is not None:
        raise ConfigError(
            f"{idle}: without effect beside prices.cdn_per_gb in the configuration, which is "
            "the price of each GB; leave out one of them"
        )


def _report(
    options: AnalyzeOptions, own: Settings | None, table: RegionTable, building: ReportOptions
) -> Report:
    threads = options.threads or len(os.sched_getaffinity(0))
    memory = max(_LEAST, _bytes_of(options.memory) - _OURS - max(0, threads - 2) * _A_THREAD)
    period = _period(options)
    counting = ReduceOptions(
        _rules(own, period, options.hosts),
        options.field_names,
        _WHOLE / options.sample,
    )
    with ExitStack() as stack:
        s3 = _s3(options, max(threads, AT_ONCE), stack)
        kept = _kept(options.keep, counting)
        sources, left_out = _sources(options, period, s3, kept)
        store = stack.enter_context(AggregateStore(memory, threads))
        stack.enter_context(_removed_at_sigterm(store.folder, kept))
        _count(options, counting, threads, sources, s3, store, kept)
        scope = scope_of(store, left_out, building.tariff.prices.date)
        scope = replace(scope, prices_file=None if options.prices is None else str(options.prices))
        if not scope.lines:
            why = why_nothing(scope, sources, _opener(s3), options.field_names)
            raise ConfigError(f"there is no request in the logs: {why}")
        found = answer(store, table, geography_of_edge, scope.days, options.top)
        if options.inventory is not None:
            from nearbucket.cli.analyze.analyze_inventory import with_inventory  # noqa: PLC0415

            traffic = with_inventory(found.traffic, building.own, options.inventory)
            found = found._replace(traffic=traffic)
        return build_report(scope, found, building)


@contextmanager
def _removed_at_sigterm(folder: Path, kept: KeptAggregates | None = None) -> Iterator[None]:
    """SIGTERM removes the folder, and what is not kept yet, and ends the process at once.

    It waits for no thread: they may wait for a log.
    """

    def end(number: int, _frame: object) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        if kept is not None:
            kept.remove_unfinished()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        os._exit(128 + number)  # the first process of a container cannot kill itself

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _s3(options: AnalyzeOptions, threads: int, stack: ExitStack) -> S3Logs | None:
    """What reads logs in S3; None if there are none, since the SDK takes a second to load."""
    if not any(name.startswith(S3_SCHEME) for name in options.logs):
        return None
    from nearbucket.analysis.reading.s3_logs import S3Logs  # noqa: PLC0415

    return stack.enter_context(S3Logs(threads))


def _sources(
    options: AnalyzeOptions,
    period: Period,
    s3: S3Logs | None,
    known: KeptAggregates | None = None,
) -> tuple[list[LogSource], tuple[DamagedFile, ...]]:
    kind = known.kind if known else lambda _: None
    finder = DuplicateFinder(_opener(s3), options.field_names, kind)
    kept, left_out = finder.split(_listed(options, period, s3, known))
    if not kept:
        local = [name for name in options.logs if not name.startswith(S3_SCHEME)]
        hours = hours_text([*local_sources(local, ALWAYS), *(s3.outside if s3 else ())])
        names, when = ", ".join(options.logs), "" if period == ALWAYS else " of this period"
        raise ConfigError(f"{names}: there is no log file{when}{hours}")
    return kept, left_out


def _listed(
    options: AnalyzeOptions, period: Period, s3: S3Logs | None, known: KeptAggregates | None
) -> list[LogSource]:
    """The files that may have requests of a period, each once."""
    sources: list[LogSource] = []
    for name in options.logs:
        sources += (
            s3.sources(name, period)
            if s3 is not None and name.startswith(S3_SCHEME)
            else _logs_among(local_sources([name], period), known)
        )
    found, again = each_once(sources)
    if again:
        such = again[0].name
        print_error(
            f"{such} is a file that was given before; it counts once"
            if len(again) == 1
            else f"{len(again)} names, such as {such}, are of files given before; each counts once"
        )
    return found


def _logs_among(sources: list[LogSource], known: KeptAggregates | None) -> list[LogSource]:
    """The files that ``--keep`` did not write: its folder may be in that of the logs, or be it."""
    return [each for each in sources if known is None or not known.wrote(Path(each.name))]


def _opener(s3: S3Logs | None) -> Callable[[LogSource], Any]:
    return open_file if s3 is None else s3.opened


def _count(  # noqa: PLR0913, PLR0917  # what counting takes
    options: AnalyzeOptions,
    counting: ReduceOptions,
    threads: int,
    sources: list[LogSource],
    s3: S3Logs | None,
    store: AggregateStore,
    kept: KeptAggregates | None,
) -> None:
    name, _, master = options.engine.partition("=")
    if options.dedupe and (name == "spark" or options.keep):
        raise ConfigError("--dedupe compares all files: use it without --keep and --engine spark")
    if name == "spark":
        from nearbucket.analysis.counting.spark_engine import LOCAL, SparkEngine  # noqa: PLC0415

        SparkEngine(counting, kept, master or LOCAL).run(sources, store)
        return
    if name != "local":
        raise ConfigError(f"--engine {options.engine}: there are local, spark and spark=MASTER")
    with log_progress(sum(source.size for source in sources)) as show:
        ids = RequestIds(store).new if options.dedupe else None
        LocalEngine(counting, threads, kept, _opener(s3), show, ids).run(sources, store)


def _kept(folder: Path | None, counting: ReduceOptions) -> KeptAggregates | None:
    if folder is None:
        return None
    from nearbucket.analysis.counting.kept_aggregates import KeptAggregates  # noqa: PLC0415

    return KeptAggregates(folder, counting)


def _rules(own: Settings | None, period: Period, hosts: tuple[str, ...]) -> CountingRules:
    """What counts, and as what, by the configuration's sites."""
    wanted = tuple(sorted({host_of(host.encode()) for host in hosts}))
    if own is None:
        return CountingRules(period, wanted)
    return CountingRules(period, wanted, sites_of(own))


def _bytes_of(text: str) -> int:
    try:
        size = size_in_bytes(text)
    except ValueError as error:
        raise ConfigError(f"--memory: {text!r} {error}") from None
    if size < 1 << 20:  # nothing runs in so little: a number without its unit
        raise ConfigError(f"--memory: {text!r} is under 1MiB; write a size such as 8GiB or 800MiB")
    return size
