"""The command ``nearbucket check``: options, output and exit code."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from nearbucket.cli.output import (
    NEEDS_ATTENTION,
    UNREACHABLE,
    AsJson,
    Config,
    print_json,
    printable,
)
from nearbucket.config.file import load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nearbucket.cli.check.bucket_inspection import Finding
    from nearbucket.config.settings import Settings

_COLOURS = {"ok": "green", "note": "blue", "warning": "yellow", "wrong": "red"}


def check(
    config: Config = None,
    *,
    offline: Annotated[
        bool, typer.Option("--offline", help="Check the configuration without its buckets.")
    ] = False,
    sample: Annotated[
        int, typer.Option(min=1, max=1000, help="Number of objects to compare for each site.")
    ] = 20,
    as_json: AsJson = False,
) -> None:
    """Check the configuration, and whether its buckets are as it says."""
    settings = load(config)
    if not as_json:
        _print_configuration(settings)
    findings = [] if offline else asyncio.run(_findings(settings, sample))
    if as_json:
        print_json(_sites(settings) | ({} if offline else _as_json(findings)))
    elif not offline:
        _print_findings(findings)
    if not all(finding.reached for finding in findings):
        raise typer.Exit(UNREACHABLE)
    if any(finding.level == "wrong" for finding in findings):
        raise typer.Exit(NEEDS_ATTENTION)


async def _findings(settings: Settings, sample: int) -> list[Finding]:
    from nearbucket.cli.check.checks import checked  # noqa: PLC0415  # a second for the SDK

    with Console(stderr=True).status("") as status:
        return await checked(settings, sample, status.update)


def _sites(settings: Settings) -> dict[str, Any]:
    sites = {
        site.name: {region: target.location() for region, target in site.targets.items()}
        for site in settings.sites
    }
    return {"valid": True, "sites": sites}


def _as_json(findings: Sequence[Finding]) -> dict[str, Any]:
    return {"summary": _summary(findings), "findings": [asdict(finding) for finding in findings]}


def _summary(findings: Sequence[Finding]) -> dict[str, int]:
    counted = Counter(str(finding.level) for finding in findings)
    return {level: counted[level] for level in _COLOURS}


def _print_configuration(settings: Settings) -> None:
    typer.echo("configuration: valid")
    for site in settings.sites:
        typer.echo(f"site {site.name}: origin {site.origin.url()}")
        for region, target in site.targets.items():
            mode = site.mode_of(region)
            verb = "are redirected" if mode == "on" else f"would be redirected (mode: {mode})"
            typer.echo(f"site {site.name}: clients in {region} {verb} to {target.location()}")


def _print_findings(findings: Sequence[Finding]) -> None:
    for finding in findings:
        level = typer.style(f"{finding.level}:", fg=_COLOURS[finding.level])
        fix = f"; {finding.fix}" if finding.fix else ""
        typer.echo(f"{level} {finding.place}: {printable(finding.text + fix)}")
    counted = [f"{number} {level}" for level, number in _summary(findings).items()]
    typer.echo(f"summary: {', '.join(counted)}")
