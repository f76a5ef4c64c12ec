"""A new connection for each redirect: the cost of clients without a connection pool."""  # noqa: INP001  # scripts that run from their own folder, not a package

from __future__ import annotations

from typing import TYPE_CHECKING

from case import CLIENTS, PATH
from comparison import Case, compare
from heads import plain
from servers import FAST, HAPROXY, NGINX

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from frame import Context, Table

TITLE = "New connections"


def closing(addresses: Iterable[str]) -> bytes:
    """Requests after which the server closes."""
    return plain(addresses, PATH, "Connection: close")


def run(context: Context) -> Sequence[Table]:
    """The server accepts, answers once and closes."""
    case = Case(
        name="connections",
        title="New connection for each redirect (Connection: close)",
        servers=(NGINX, HAPROXY, FAST),
        heads=closing,
        clients=CLIENTS,
    )
    return [compare(case, context)]
