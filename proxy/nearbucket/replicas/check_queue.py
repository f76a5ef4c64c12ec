"""The checks of one bucket that wait for their turn, fairly between the networks of clients.

A bounded number of checks runs at a time. The next is taken from each network in turn, so a client
that wants to know many objects waits for itself. If too many wait, the last of the network with
most of them is given up.
"""

from __future__ import annotations

import asyncio
from collections import deque

NO_CLIENT = b""
"""Stands for the network of checks that no client waits for."""


class Ticket:
    """A check that runs, or waits for its turn.

    Attributes:
        turn: Done with True when the check may run, with False when it is given up.
        networks: Those that it waits for.
    """

    __slots__ = ("networks", "turn")

    def __init__(self) -> None:
        self.turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.networks: list[bytes] = []


class CheckQueue:
    """Lets the checks of one bucket run.

    Attributes:
        waiting: Places in all queues; one check may have a place in several.
    """

    __slots__ = ("_free", "_most", "_queues", "waiting")

    def __init__(self, at_once: int, most: int) -> None:
        """Let ``at_once`` checks run at a time, and ``most`` wait."""
        self._free = at_once
        self._most = most
        self._queues: dict[bytes, deque[Ticket]] = {}  # the network whose turn it is first
        self.waiting = 0

    def enter(self, network: bytes, *, refusable: bool = True) -> Ticket | None:
        """Begin a check, or have it wait for its turn.

        Args:
            network: Of the client that waits for it.
            refusable: Whether it may be refused, because too many wait.

        Returns:
            None if it is refused. ``leave`` has to be called when a check that got its turn ends.
        """
        ticket = Ticket()
        if self._free:
            self._free -= 1
            ticket.turn.set_result(True)
        elif not self._append(ticket, network) and refusable:
            return None
        elif network not in ticket.networks:
            self._place(ticket, network)
        return ticket

    def join(self, ticket: Ticket, network: bytes) -> None:
        """A client of another network waits for the check too: queue it for that network also."""
        if not ticket.turn.done() and network not in ticket.networks:
            self._append(ticket, network)

    def _append(self, ticket: Ticket, network: bytes) -> bool:
        """Give a check a place in a queue, unless too many wait and no queue is longer."""
        if self.waiting >= self._most:
            names = [name for name in self._queues if name != NO_CLIENT]
            longest = max(names, key=lambda name: len(self._queues[name]), default=network)
            if longest == network or len(self._queues[longest]) <= self._length(network):
                return False
            self._give_up(longest)
        self._place(ticket, network)
        return True

    def _length(self, network: bytes) -> int:
        return len(self._queues.get(network, ()))

    def _place(self, ticket: Ticket, network: bytes) -> None:
        self._queues.setdefault(network, deque()).append(ticket)
        ticket.networks.append(network)
        self.waiting += 1

    def _give_up(self, network: bytes) -> None:
        """Take the last check from the queue of a network."""
        queue = self._queues[network]
        ticket = queue.pop()
        if not queue:
            del self._queues[network]
        self.waiting -= 1
        ticket.networks.remove(network)
        if not ticket.networks and not ticket.turn.done():
            ticket.turn.set_result(False)

    def leave(self) -> None:
        """A check has ended: the next may run."""
        while self._queues:
            network = next(iter(self._queues))
            queue = self._queues.pop(network)
            ticket = queue.popleft()
            self.waiting -= 1
            if queue:
                self._queues[network] = queue  # behind the others
            if not ticket.turn.done():  # it may have had its turn for another network
                ticket.turn.set_result(True)
                return
        self._free += 1
