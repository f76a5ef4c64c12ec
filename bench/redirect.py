"""One redirect for one key over kept connections: the least work there is."""  # noqa: INP001  # scripts that run from their own folder, not a package

from __future__ import annotations

from typing import TYPE_CHECKING

from case import CLIENTS
from comparison import Case, compare
from heads import plain
from servers import AIOHTTP, FAST, HAPROXY, NGINX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from frame import Context, Table

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
