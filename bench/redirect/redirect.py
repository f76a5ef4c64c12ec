"""One redirect for one key over kept connections: the least work there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.lib.case import CLIENTS
from bench.lib.comparison import Case, compare
from bench.lib.heads import plain
from bench.lib.servers import AIOHTTP, COMPILED, FAST, HAPROXY, NGINX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.lib.frame import Context, Table

TITLE = "One redirect"


def run(context: Context) -> Sequence[Table]:
    """All clients request the same key, with the few fields that curl sends."""
    case = Case(
        name="redirect",
        title="One redirect: connections kept, one key, 5 header fields",
        servers=(NGINX, HAPROXY, FAST, COMPILED, AIOHTTP),
        heads=plain,
        clients=CLIENTS,
    )
    return [compare(case, context)]
