"""Times and limits of the product, as a test needs them: each function patches one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.serving import PATIENCE

if TYPE_CHECKING:
    import pytest


class Clock:
    """A clock that a test sets."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def recheck_at_once(patch: pytest.MonkeyPatch) -> None:
    """Ask for a copy again when a client comes back, however lately that was asked."""
    patch.setattr("nearbucket.replicas.replica_status.REVALIDATE_PAUSE", 0.0)


def give_checks_time(patch: pytest.MonkeyPatch) -> None:
    """Let a check of a copy take as long as a test may wait: a busy machine is no dead bucket."""
    patch.setattr("nearbucket.replicas.bucket_probe.HEAD_TIMEOUT", PATIENCE)


def check_few_at_once(patch: pytest.MonkeyPatch, count: int) -> None:
    """Let so many checks of a bucket run at a time."""
    patch.setattr("nearbucket.replicas.bucket_cache._AT_ONCE", count)


def forget_missing_objects(patch: pytest.MonkeyPatch) -> None:
    """Have the origin asked again for each request for an object that it did not have."""
    patch.setattr("nearbucket.origin.missing_objects.LIFETIME", 0.0)
    patch.setattr("nearbucket.origin.missing_objects.RENEWAL", 0.0)


def shorten_patience(patch: pytest.MonkeyPatch, seconds: float) -> None:
    """How long an origin may take to begin its response where another one can be asked."""
    patch.setattr("nearbucket.origin.registry.PATIENCE", seconds)


def resume_at_once(patch: pytest.MonkeyPatch) -> None:
    """Request the rest of a body without a pause, however often it was requested."""
    patch.setattr("nearbucket.origin.failover.rest_of_body.PAUSE", 0.0)


def probe_often(patch: pytest.MonkeyPatch, seconds: float) -> None:
    """Probe targets every so many seconds instead of every three, and scale all other times."""
    usual = {
        "health_check.INTERVAL": 3, "health_check.RETRY_INTERVAL": 1,
        "health_check.RISE_INTERVAL": 2,
        "client_check.INTERVAL": 30, "client_check.RETRY_INTERVAL": 5,
    }  # fmt: skip
    for name, length in usual.items():
        patch.setattr(f"nearbucket.replicas.health.{name}", seconds * length / 3)
