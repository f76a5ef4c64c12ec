"""One redirect for one key over kept connections: the least work there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.case import CLIENTS
from bench.comparison import Case, compare
from bench.heads import plain
from bench.servers import AIOHTTP, FAST, HAPROXY, NGINX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.frame import Context, Table

TITLE = "One redirect"


def run(context: Context) -> Sequence[Table]:
    """Everybody asks for the same key, with the few fields that curl sends."""
    case = Case(
        name="redirect",
        title="One redirect: connections kept, one key, 5 header fields",
        servers=(NGINX, HAPROXY, FAST, AIOHTTP),
        heads=plain,
        clients=CLIENTS,
    )
    return [compare(case, context)]
