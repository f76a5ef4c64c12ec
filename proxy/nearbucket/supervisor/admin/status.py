"""The document of ``/api/status``, which the dashboard shows. Secrets are masked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from nearbucket import __version__
from nearbucket.config.file import masked
from nearbucket.policy.rules import SitePolicy
from nearbucket.pricing.tariff import tariff
from nearbucket.supervisor.snapshot import fingerprint
from nearbucket.telemetry.utc_text import utc_text
from nearbucket.version import commit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from nearbucket.config.settings import Settings
    from nearbucket.config.sites import Site
    from nearbucket.frontend.returning_clients.stuck_clients import StuckClient
    from nearbucket.replicas.warm_up import WarmUp
    from nearbucket.supervisor.admin.target_times import TargetTimes
    from nearbucket.supervisor.reload_history import Reload
    from nearbucket.supervisor.snapshot import Snapshot
    from nearbucket.telemetry.history.missing_copies import MissingCopy
    from nearbucket.telemetry.history.month_estimate import MonthFigures
    from nearbucket.telemetry.metrics import Values

_FIGURES = (
    "nearbucket_redirects_total", "nearbucket_redirected_bytes_total", "nearbucket_saved_usd_total",
    "nearbucket_shadow_bytes_total", "nearbucket_shadow_usd_total",
    "nearbucket_host_requests_total", "nearbucket_bypasses_total", "nearbucket_refusals_total",
    "nearbucket_streamed_bytes_total", "nearbucket_checks_total",
    "nearbucket_responses_total", "nearbucket_streams_in_progress", "nearbucket_connections",
    "nearbucket_stream_ends_total", "nearbucket_config_reloads_total",
)  # fmt: skip


class Past(NamedTuple):
    """What the supervisor has noted.

    Attributes:
        started: Unix time of the start.
        uptime: Seconds since then.
        targets: Since when targets are up or down.
        reloads: The last reloads.
        missing_copies: Objects that were asked for most and that targets lack.
        month: The figures of a month.
    """

    started: float
    uptime: float
    targets: TargetTimes
    reloads: Iterable[Reload]
    missing_copies: Sequence[MissingCopy]
    month: MonthFigures


def status_of(  # noqa: PLR0913  # one document, one call
    snapshot: Snapshot,
    values: Values,
    *,
    reasons: Sequence[str],
    refused: str | None,
    warm_up: WarmUp | None,
    warnings: Sequence[str],
    down: Mapping[tuple[str, str], str],
    stuck_clients: Sequence[StuckClient],
    past: Past,
) -> dict[str, Any]:
    """The document, as plain data for JSON.

    Args:
        snapshot: The snapshot in use.
        values: All metrics.
        reasons: Why traffic may not come; empty if it may.
        refused: Why the last reload was refused, or None.
        warm_up: The warm-up, or None.
        warnings: What keeps it from working as configured, though traffic may come.
        down: Why targets and origins are down, by site, and region or key of the origin.
        stuck_clients: Clients whose redirects fail.
        past: What the supervisor has noted.
    """
    settings, table = snapshot.settings, snapshot.table
    by = tariff(settings.prices)
    return {
        "version": __version__,
        "commit": commit(),
        "ready": not reasons,
        "reasons": list(reasons),
        "warnings": list(warnings),
        "started": utc_text(past.started),
        "uptime_seconds": round(past.uptime, 1),
        "workers": {
            "serving": values["nearbucket_workers"][()],
            "configured": snapshot.workers,
        },
        "sites": [_rollout(site, values, down, past.targets) for site in settings.sites],
        "outages": [outage.as_json() for outage in past.targets.outages],
        "missing_copies": [
            {**copy._asdict(), "last": utc_text(copy.last)} for copy in past.missing_copies
        ],
        "month": past.month._asdict(),
        "reloads": [reload.as_json() for reload in past.reloads],
        "warm_up": warm_up and warm_up.progress._asdict(),
        "stuck_clients": [client.as_json() for client in stuck_clients],
        "config": {
            "hash": fingerprint(settings),
            "refused": refused,
            "settings": masked(settings),
        },
        "ranges": None
        if table.token is None
        else {
            "token": table.token,
            "created": table.created,
            "built_in": bool(table.built_in),
            "age_seconds": round(values["nearbucket_ranges_age_seconds"][()]),
            "prefixes_v4": table.prefixes_v4,
            "prefixes_v6": table.prefixes_v6,
        },
        "prices": {"plan": by.words, "at_most": by.at_most},
        "figures": {
            name: [
                {"labels": list(labels), "value": value}
                for labels, value in sorted(values.get(name, {}).items())
            ]
            for name in _FIGURES
        },
    }


def _rollout(
    site: Site, values: Values, down: Mapping[tuple[str, str], str], times: TargetTimes
) -> dict[str, Any]:
    """How far the redirects of a site are switched on, and which buckets are up.

    An origin without failover buckets is not watched: it counts as up.
    """
    policy, up = SitePolicy.build(site), values.get("nearbucket_target_up", {})
    return {
        "site": site.name,
        "mode": site.redirect.mode,
        "percent": site.redirect.percent,
        "verify": site.redirect.verify,
        "bypass": (site.redirects_to_cdn and site.bypass.to) or "stream",
        "origins": {
            key: {
                "url": bucket.object_base_url,
                "up": (site.name, key) not in down,
                "why_down": down.get((site.name, key)),
            }
            for key, bucket in site.origins.items()
        },
        "targets": {
            region: {
                "location": target.location(),
                "mode": policy.modes[region],
                "up": bool(up[site.name, region]) if (site.name, region) in up else None,
                "why_down": down.get((site.name, region)),
                "since": None
                if (since := times.since(site.name, region)) is None
                else utc_text(since),
            }
            for region, target in site.targets.items()
        },
    }


def origins_down(settings: Settings, down: Mapping[tuple[str, str], str]) -> list[str]:
    """A warning for each origin that is down; ``down`` as in ``status_of``."""
    return [
        f"{site.key}.{key}: bucket {bucket.bucket} is down, and other origins are asked: {why}"
        for site in settings.sites
        for key, bucket in site.origins.items()
        if (why := down.get((site.name, key)))
    ]
