"""Timeouts of client connections."""

from __future__ import annotations

import asyncio

from nearbucket.frontend.limits.connection_timeouts import CLOSE_GRACE, ConnectionTimeouts


class LostBelow(asyncio.Transport):
    """TLS's transport between the loss of its connection and its own end: it has no socket."""

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return True


def test_a_tls_connection_that_is_lost_below_is_aborted_after_the_grace() -> None:
    timeouts = ConnectionTimeouts()
    assert not timeouts.stalled(LostBelow(), 100.0, 75.0)
    assert not timeouts.stalled(LostBelow(), 100.0 + CLOSE_GRACE, 75.0)
    assert timeouts.stalled(LostBelow(), 101.0 + CLOSE_GRACE, 75.0)
