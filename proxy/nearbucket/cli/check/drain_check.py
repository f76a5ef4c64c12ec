"""A finding about ``limits.drain_timeout``, since ``check`` cannot read the stop timeout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nearbucket.cli.check.finding import Finding, Level
from nearbucket.supervisor.config_warnings import long_drain

if TYPE_CHECKING:
    from nearbucket.config.settings import Settings


def drain_findings(settings: Settings) -> list[Finding]:
    """A note if a container needs a longer stop timeout than usual."""
    text = long_drain(settings)
    fix = (
        "set the stop timeout above it (ECS StopTimeout, at most 120 s on Fargate; "
        "terminationGracePeriodSeconds; stop_grace_period; TimeoutStopSec)"
    )
    return [Finding(Level.NOTE, "limits.drain_timeout", "drain", text, fix)] if text else []
