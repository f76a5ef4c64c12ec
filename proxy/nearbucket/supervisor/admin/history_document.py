"""The document of ``/api/history``: traffic over time, which the dashboard draws."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nearbucket.policy.model import Action
from nearbucket.telemetry.history.traffic_history import WINDOWS
from nearbucket.telemetry.utc_text import utc_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nearbucket.telemetry.history.traffic_history import Interval, TrafficHistory

GROUPS = ("redirected", "not_redirected", "outside")
QUANTILES = {"p50": 0.5, "p99": 0.99}
_LEAST = 0.001
"""Seconds of the shortest interval in ``series``, whose lengths are rounded to it: none is 0."""
_OF_REGION = (
    "redirects", "redirected_bytes", "saved_usd", "bypasses", "streamed_bytes", "shadow_bytes",
    "shadow_usd",
)  # fmt: skip


def history_of(history: TrafficHistory, window: str) -> dict[str, Any]:
    """The document, as plain data for JSON.

    Args:
        history: What the supervisor has noted.
        window: One of ``WINDOWS``.
    """
    whole = history.whole(window)
    return {
        "window": window,
        "window_seconds": WINDOWS[window].seconds,
        "step_seconds": WINDOWS[window].step,
        "began": utc_text(history.began),
        "from": utc_text(whole.begin),
        "to": utc_text(whole.end),
        "seconds": round(whole.seconds, 1),
        "series": _series(each for each in history.intervals(window) if each.seconds >= _LEAST),
        "total": {name: _both(whole.shares[name]) for name in GROUPS},
        "responses": whole.of("responses"),
        "latency_seconds": {action.value: _latency(whole, action) for action in Action},
        "regions": _regions(whole),
        "other_aws": _other_aws(whole),
        "verification_usd_hour": whole.sum("verification_usd") * 3600 / max(whole.seconds, _LEAST),
    }


def _both(share: tuple[float, float]) -> dict[str, float]:
    return {"requests": share[0], "bytes": share[1]}


def _series(intervals: Iterable[Interval]) -> dict[str, list[float]]:
    """Columns of equal length: ends of the intervals and their lengths, then what was counted."""
    columns: dict[str, list[float]] = {"end": [], "seconds": []}
    for interval in intervals:
        columns["end"].append(round(interval.end, 3))
        columns["seconds"].append(round(interval.seconds, 3))
        for name, (requests, size) in interval.shares.items():
            columns.setdefault(f"{name}_requests", []).append(max(0.0, requests))
            columns.setdefault(f"{name}_bytes", []).append(max(0.0, size))
    return columns


def _latency(whole: Interval, action: Action) -> dict[str, float | None]:
    """Quantiles of the time from the head of a request to the end of its response."""
    return {name: whole.seconds_of(action.value, share) for name, share in QUANTILES.items()}


def _regions(whole: Interval) -> list[dict[str, Any]]:
    """What was counted by region of the clients, the most bytes first."""
    by_name = {name: whole.of(name) for name in _OF_REGION}
    regions = {region for series in by_name.values() for region in series}
    rows = [
        {"region": region, **{name: by_name[name].get(region, 0.0) for name in _OF_REGION}}
        for region in regions
    ]
    return sorted(
        rows, key=lambda row: (-row["redirected_bytes"] - row["streamed_bytes"], row["region"])
    )


def _other_aws(whole: Interval) -> list[dict[str, Any]]:
    """The regions without a target that ``other-aws`` stands for."""
    requests, sizes = whole.of("other_aws_requests"), whole.of("other_aws_bytes")
    rows = [
        {"region": region, "requests": requests.get(region, 0.0), "bytes": sizes.get(region, 0.0)}
        for region in requests.keys() | sizes.keys()
    ]
    return sorted(rows, key=lambda row: (-row["bytes"], -row["requests"], row["region"]))
