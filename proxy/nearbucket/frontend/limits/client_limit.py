"""The bound on the streams and checks in progress for one network of clients."""

from __future__ import annotations


class ClientLimit:
    """Counts what is in progress, by network of clients; nothing is kept of others.

    Attributes:
        most: How much there may be for a network; None: any number.
    """

    __slots__ = ("_in_progress", "most")

    def __init__(self) -> None:
        self.most: int | None = None
        self._in_progress: dict[bytes, int] = {}

    def begin(self, network: bytes) -> bool:
        """Count one more for a network, unless it has as many as it may.

        Args:
            network: From ``client_network``; empty if not known, which has no limit.
        """
        if self.most is not None and network:
            count = self._in_progress.get(network, 0)
            if count >= self.most:
                return False
            self._in_progress[network] = count + 1
        return True

    def end(self, network: bytes) -> None:
        """One that was counted is over; nothing to do if it began before there was a limit."""
        count = self._in_progress.get(network, 0)
        if count > 1:
            self._in_progress[network] = count - 1
        elif count:
            del self._in_progress[network]
