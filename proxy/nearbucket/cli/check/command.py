"""The command ``nearbucket check``: options, output and exit code."""

from __future__ import annotations

import shlex
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nearbucket.cli.output import (
    NEEDS_ATTENTION,
    UNREACHABLE,
    AsJson,
    Config,
    coloured,
    print_failures,
    print_json,
)
from nearbucket.config.buckets import plain_url
from nearbucket.config.file import load_with_sources
from nearbucket.config.named_files import unreadable_files
from nearbucket.errors import ConfigError
from nearbucket.figures import visible
from nearbucket.s3.sdk.direct_access import refuse_variables

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from nearbucket.cli.check.finding import Finding
    from nearbucket.config.settings import Settings
    from nearbucket.config.sites import Site

_COLOURS = {"ok": "green", "note": "blue", "warning": "yellow", "wrong": "red"}


def check(
    config: Config = None,
    *,
    offline: Annotated[
        bool, typer.Option("--offline", help="Check the configuration without its buckets.")
    ] = False,
    sample: Annotated[
        int,
        typer.Option(
            min=1, max=1000, metavar="N", help="Number of objects to compare for each site."
        ),
    ] = 20,
    front: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="URL by which clients reach the proxy, such as https://dl.example.com: an object "
            "is requested there, through every cache.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check the configuration, and whether its buckets are as it says."""
    from nearbucket.cli.check.certificate_check import certificate_findings  # noqa: PLC0415
    from nearbucket.cli.check.drain_check import drain_findings  # noqa: PLC0415
    from nearbucket.cli.check.exposure_check import exposure_findings  # noqa: PLC0415
    from nearbucket.cli.check.region_check import region_findings  # noqa: PLC0415

    url = None if front is None else _front(front, offline=offline)
    settings, sources = load_with_sources(config)
    refuse_variables(settings)
    unreadable = unreadable_files(settings, sources)
    print_failures(unreadable)
    named = f" --config {shlex.quote(str(config))}" if config else ""
    regions = region_findings(settings, named)
    known = [*certificate_findings(settings), *exposure_findings(settings), *regions]
    if not as_json:
        _print_configuration(settings, len(unreadable), {finding.place for finding in regions})
    drain = drain_findings(settings)
    if offline:  # without a list nothing has to be said
        findings = [*(finding for finding in known if finding.level != "note"), *drain]
    else:
        import asyncio  # noqa: PLC0415  # other commands start faster without these

        findings = [*asyncio.run(_findings(settings, sample, named, url)), *known, *drain]
    if as_json:
        files = {"unreadable_files": unreadable} if unreadable else {}
        print_json(_sites(settings) | files | _as_json(findings))
    elif findings:
        _print_findings(findings)
    if not all(finding.reached for finding in findings):
        raise typer.Exit(UNREACHABLE)
    if unreadable or any(finding.level == "wrong" for finding in findings):
        raise typer.Exit(NEEDS_ATTENTION)


def _front(text: str, *, offline: bool) -> str:
    """The value of ``--front`` without a slash at its end."""
    if offline:
        raise ConfigError("--front sends requests; leave out --offline")
    try:
        return plain_url(text, path=False)
    except ValueError as error:
        raise ConfigError(f"--front {text}: {error}") from None


async def _findings(
    settings: Settings, sample: int, named: str, front: str | None
) -> list[Finding]:
    from rich.console import Console  # noqa: PLC0415

    from nearbucket.cli.check.checks import checked  # noqa: PLC0415  # a second for the SDK

    with Console(stderr=True).status("") as status:
        return await checked(settings, sample, status.update, named, front)


def _sites(settings: Settings) -> dict[str, Any]:
    sites = {
        site.name: {region: target.location() for region, target in site.targets.items()}
        for site in settings.sites
    }
    rollout = {
        site.name: {
            region: {"mode": site.mode_of(region), "percent": site.redirect.percent}
            for region in site.targets
        }
        for site in settings.sites
    }
    return {"valid": True, "sites": sites, "rollout": rollout}


def _as_json(findings: Sequence[Finding]) -> dict[str, Any]:
    return {"summary": _summary(findings), "findings": [asdict(finding) for finding in findings]}


def _summary(findings: Sequence[Finding]) -> dict[str, int]:
    counted = Counter(str(finding.level) for finding in findings)
    return {level: counted[level] for level in _COLOURS}


def _print_configuration(settings: Settings, unreadable: int, unlisted: Collection[str]) -> None:
    """Print what is valid; ``unlisted`` has the keys of targets for regions without addresses."""
    files = f"; {unreadable} file{'s' * (unreadable > 1)} cannot be read" if unreadable else ""
    typer.echo(f"configuration: valid{files}")
    for site in settings.sites:
        typer.echo(f"site {site.name}: origin {site.origin.url()}")
        for bucket in site.failover:
            typer.echo(f"site {site.name}: while the origin fails, {bucket.url()} is asked")
        for region, target in site.targets.items():
            listed = f"{site.key}.targets.{region}" not in unlisted
            where = _rollout(site, region, target.location(), listed=listed)
            typer.echo(f"site {site.name}: {where}")


def _rollout(site: Site, region: str, location: str, *, listed: bool) -> str:
    """Where clients in the region of a target go, and in shadow where they would go."""
    mode, percent = site.mode_of(region), site.redirect.percent
    if mode != "off" and percent and not listed:
        return f"clients in {region} are not redirected: the list of prefixes has no such region"
    share = "they" if percent == 100 else f"{percent:g} % of their requests"  # noqa: PLR2004
    if mode == "on" and percent:
        if share == "they":
            return f"clients in {region} are redirected to {location}"
        return f"clients in {region} are redirected to {location} for {share}"
    if mode == "shadow" and percent:
        would = f"with mode: on, {share} would be, to {location}"
        return f"clients in {region} are not redirected (mode: shadow); {would}"
    why = f"percent: {percent:g}" if mode == "on" else f"mode: {mode}"
    return f"clients in {region} are not redirected ({why})"


def _print_findings(findings: Sequence[Finding]) -> None:
    for finding in findings:
        level = coloured(f"{finding.level}:", fg=_COLOURS[finding.level])
        fix = f"; {finding.fix}" if finding.fix else ""
        typer.echo(f"{level} {finding.place}: {visible(finding.text + fix)}")
    counted = [f"{number} {level}" for level, number in _summary(findings).items()]
    typer.echo(f"summary: {', '.join(counted)}")
