"""The bound on the streams and checks in progress for one network of clients."""

from __future__ import annotations


class ClientLimit:
    """Counts streams and checks in progress by network of clients; keeps nothing of other networks.

    Attributes:
        most: How many there may be for one network; None: no limit.
    """

    __slots__ = ("_in_progress", "most")

    def __init__(self) -> None:
        self.most: int | None = None
        self._in_progress: dict[bytes, int] = {}

    def begin(self, network: bytes) -> bool:
        """Count one more for a network; False if it has ``most`` already.

        Args:
            network: From ``client_network``; empty if not known, which has no limit.
        """
        if self.most is not None and network:
            if self._in_progress.get(network, 0) >= self.most:
                return False
            self.begin_again(network)
        return True

    def begin_again(self, network: bytes) -> None:
        """Count one that another lane has begun and passed on, even if there are too many."""
        if network:
            self._in_progress[network] = self._in_progress.get(network, 0) + 1

    def end(self, network: bytes) -> None:
        """One for this network has ended. Does nothing if it began before there was a limit."""
        count = self._in_progress.get(network, 0)
        if count > 1:
            self._in_progress[network] = count - 1
        elif count:
            del self._in_progress[network]
