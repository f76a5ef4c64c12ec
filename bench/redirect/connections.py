"""A new connection for each redirect: the cost of clients without a connection pool."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.lib.case import CLIENTS, PATH
from bench.lib.comparison import Case, compare
from bench.lib.heads import plain
from bench.lib.servers import COMPILED, FAST, HAPROXY, NGINX

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.lib.frame import Context, Table

TITLE = "New connections"


def closing(addresses: Iterable[str]) -> bytes:
    """Requests after which the server closes."""
    return plain(addresses, PATH, "Connection: close")


def run(context: Context) -> Sequence[Table]:
    """The server accepts, answers once and closes."""
    case = Case(
        name="connections",
        title="New connection for each redirect (Connection: close)",
        servers=(NGINX, HAPROXY, FAST, COMPILED),
        heads=closing,
        clients=CLIENTS,
    )
    return [compare(case, context)]
