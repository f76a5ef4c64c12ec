"""What is counted of the requests to an origin."""

from __future__ import annotations

from typing import Protocol


class OriginCounters(Protocol):
    """Counts responses of S3."""

    def on_status(self, status: int) -> None:
        """Count a response by its HTTP status; 0 if there was none."""

    def on_resume(self) -> None:
        """Count a request for the rest of a body that broke off."""

    def on_failover(self) -> None:
        """Count a request that a failover bucket answers."""


class NotCounted:
    """Counts nothing."""

    def on_status(self, status: int) -> None:
        """Count nothing."""

    def on_resume(self) -> None:
        """Count nothing."""

    def on_failover(self) -> None:
        """Count nothing."""
