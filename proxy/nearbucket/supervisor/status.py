"""The document of ``/api/status``: what an operator looks at first. Secrets are masked."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from nearbucket import __version__
from nearbucket.config.file import masked
from nearbucket.policy.rules import SitePolicy
from nearbucket.supervisor.snapshot import fingerprint, worker_count

if TYPE_CHECKING:
    from nearbucket.config.sites import Site
    from nearbucket.regions.ip_ranges import Ranges
    from nearbucket.replicas.warm_up import WarmUpProgress
    from nearbucket.supervisor.admin_api import Readiness
    from nearbucket.supervisor.snapshot import Snapshot
    from nearbucket.telemetry.metrics import Values

_FIGURES = (
    "nearbucket_redirects_total", "nearbucket_redirected_bytes_total", "nearbucket_saved_usd_total",
    "nearbucket_bypasses_total", "nearbucket_refusals_total", "nearbucket_streamed_bytes_total",
    "nearbucket_checks_total", "nearbucket_streams_in_progress", "nearbucket_connections",
    "nearbucket_stream_ends_total", "nearbucket_config_reloads_total",
)  # fmt: skip


class SupervisorState(NamedTuple):
    """What the document is made of, beside the snapshot.

    Attributes:
        readiness: Whether traffic may come.
        serving: Workers that accept connections.
        started: Unix time of the start.
        ranges: The list in use, or None.
        age: Seconds since the source last confirmed it.
        refused: Why the last reload was refused, or None.
        warm_up: Progress of the warm-up, or None.
        values: All metrics.
    """

    readiness: Readiness
    serving: int
    started: float
    ranges: Ranges | None
    age: float
    refused: str | None
    warm_up: WarmUpProgress | None
    values: Values


def status_of(snapshot: Snapshot, state: SupervisorState) -> dict[str, Any]:
    """The document, as plain data for JSON."""
    settings, table, ranges = snapshot.settings, snapshot.table, state.ranges
    return {
        "version": __version__,
        "ready": state.readiness.ready,
        "reasons": list(state.readiness.reasons),
        "uptime_seconds": round(time.time() - state.started, 1),
        "workers": {"serving": state.serving, "configured": worker_count(settings.listen)},
        "sites": [_rollout(site, state.values) for site in settings.sites],
        "warm_up": state.warm_up and state.warm_up._asdict(),
        "config": {
            "hash": fingerprint(settings),
            "refused": state.refused,
            "settings": masked(settings),
        },
        "ranges": ranges
        and {
            "token": ranges.token,
            "created": ranges.created,
            "age_seconds": round(state.age),
            "prefixes_v4": table.prefixes_v4,
            "prefixes_v6": table.prefixes_v6,
        },
        "figures": {
            name: [
                {"labels": list(labels), "value": value}
                for labels, value in sorted(state.values.get(name, {}).items())
            ]
            for name in _FIGURES
        },
    }


def _rollout(site: Site, values: Values) -> dict[str, Any]:
    """How far the redirects of a site are switched on, and which of its targets are up."""
    policy, up = SitePolicy.build(site), values.get("nearbucket_target_up", {})
    return {
        "site": site.name,
        "mode": site.redirect.mode,
        "percent": site.redirect.percent,
        "verify": site.redirect.verify,
        "bypass": site.bypass.to or "stream",
        "targets": {
            region: {
                "location": target.location(),
                "mode": policy.modes[region],
                "up": bool(up[site.name, region]) if (site.name, region) in up else None,
            }
            for region, target in site.targets.items()
        },
    }
