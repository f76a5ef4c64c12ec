"""Times for people and programs: ISO 8601 in UTC, in whole seconds."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_text(moment: float) -> str:
    """A Unix time, such as ``2026-11-29T18:00:00+00:00``."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")
