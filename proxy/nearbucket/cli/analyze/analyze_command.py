"""The command ``nearbucket analyze``: a report on access logs, before anything is deployed."""

from __future__ import annotations

import gc
import os
from importlib.util import find_spec
from pathlib import Path  # noqa: TC003  # typer reads it
from typing import Annotated, Literal

import typer

from nearbucket.cli.output import NEEDS_ATTENTION, Config, RangesFile
from nearbucket.errors import ConfigError, install_command

_LOGS = "Access logs: files, folders, patterns, s3://bucket/prefix; - is standard input."
_DEFAULT_TOP = 20
_PACKAGES = ("duckdb", "pyarrow")
_ARROW_MEMORY = {"MIMALLOC_PURGE_DELAY": "-1", "MIMALLOC_ALLOW_LARGE_OS_PAGES": "1"}
"""Environment of Arrow's allocator (mimalloc), read when it is loaded: it keeps freed memory for
the next block, in huge pages."""


def analyze(  # noqa: PLR0913, PLR0917  # one parameter an option
    logs: Annotated[list[str], typer.Argument(metavar="LOGS...", help=_LOGS)],
    config: Config = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Requests from then on: a date, or a time.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Requests before then; a date is its start.")
    ] = None,
    host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Requests for this host only; may be repeated."),
    ] = None,
    form: Annotated[
        Literal["text", "json", "html"] | None,
        typer.Option(
            "--format",
            metavar="text|json|html",
            help="What is written; by default what --output ends in (.html, .json), else text.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the report to this file.")
    ] = None,
    prices: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Prices that replace the list prices.")
    ] = None,
    plan: Annotated[
        str | None,
        typer.Option(metavar="PLAN", help="payg, or a flat-rate plan such as flat:premium-75."),
    ] = None,
    price_class: Annotated[
        str | None, typer.Option(metavar="CLASS", help="100, 200 or all.")
    ] = None,
    bill: Annotated[
        float | None,
        typer.Option(min=0, metavar="USD", help="The CDN's real bill of a month, to scale by."),
    ] = None,
    discount: Annotated[
        float | None, typer.Option(min=0, max=100, metavar="PERCENT", help="On the CDN's prices.")
    ] = None,
    origin_region: Annotated[
        str | None,
        typer.Option(metavar="REGION", help="Where the origin bucket is, without --config."),
    ] = None,
    inventory: Annotated[
        str | None, typer.Option(metavar="URL", help="S3 Inventory report with sizes of objects.")
    ] = None,
    ranges: RangesFile = None,
    top: Annotated[
        int, typer.Option(min=1, metavar="N", help="Length of the lists.")
    ] = _DEFAULT_TOP,
    fields: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="Names of the columns of logs without a header."),
    ] = None,
    sample: Annotated[
        float, typer.Option(min=0.01, max=100, metavar="PERCENT", help="Sampling of the logs.")
    ] = 100,
    engine: Annotated[
        str, typer.Option(metavar="ENGINE", help="local, spark, or spark=spark://host:port.")
    ] = "local",
    memory: Annotated[
        str, typer.Option(metavar="SIZE", help="Memory to use; more goes to disk.")
    ] = "1GiB",
    threads: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Files to read at once; by default one a core."),
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep what was counted of each file, for the next run."),
    ] = None,
    replay: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Send the requests to this running proxy, and compare."),
    ] = None,
    rate: Annotated[
        float, typer.Option(min=0.1, metavar="N", help="Requests a second for --replay.")
    ] = 100,
    *,
    dedupe: Annotated[
        bool, typer.Option("--dedupe", help="Count each request id once, whatever file has it.")
    ] = False,
    recommend: Annotated[
        bool, typer.Option("--recommend/--no-recommend", help="Recommend a policy.")
    ] = True,
    i_own_this_host: Annotated[
        bool, typer.Option("--i-own-this-host", help="Allow --replay to another host.")
    ] = False,
) -> None:
    """Report on CDN access logs: who downloads what from where, and what redirects would save.

    Works without a configuration. Nothing is changed anywhere.
    """
    if missing := [name for name in _PACKAGES if find_spec(name) is None]:
        raise ConfigError(f"analyze needs {' and '.join(missing)}: {install_command('report')}")
    for name, value in _ARROW_MEMORY.items():
        os.environ.setdefault(name, value)
    gc.disable()  # imports create no garbage
    from nearbucket.cli.analyze.analyze_run import AnalyzeOptions, run  # noqa: PLC0415  # heavy

    gc.freeze()
    gc.enable()
    options = AnalyzeOptions(
        logs=tuple(logs), config=config, since=since, until=until, hosts=tuple(host or ()),
        form=form or _form_of(output), output=output, prices=prices, plan=plan,
        price_class=price_class, bill=bill,
        discount=discount, origin_region=origin_region, inventory=inventory, ranges=ranges,
        top=top, dedupe=dedupe, fields=fields, sample=sample, engine=engine, memory=memory,
        threads=threads, keep=keep, recommend=recommend, replay=replay, rate=rate,
        i_own_this_host=i_own_this_host,
    )  # fmt: skip
    if not run(options):
        raise typer.Exit(NEEDS_ATTENTION)


def _form_of(output: Path | None) -> str:
    """The format that the name of a file stands for."""
    suffix = output.suffix.lower() if output else ""
    return {".html": "html", ".htm": "html", ".json": "json"}.get(suffix, "text")
