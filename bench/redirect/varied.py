"""Redirects of which no two requests are equal, as they come through CloudFront.

Every request has an id of its own, so a server that remembers answers by the bytes of a request
gains nothing. In the first table keys and clients come back, as they do in real traffic; in the
second no key comes back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.lib.case import CLIENTS
from bench.lib.comparison import Case, compare
from bench.lib.heads import KEYS, fresh, varied
from bench.lib.servers import COMPILED, FAST, HAPROXY, NGINX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.lib.frame import Context, Table

TITLE = "Heads all different"
_SERVERS = (NGINX, HAPROXY, FAST, COMPILED)


def run(context: Context) -> Sequence[Table]:
    """Connections are kept; most fields change from request to request."""
    known = Case(
        name="varied",
        title=f"Heads all different: {KEYS:,} keys and {CLIENTS:,} clients in turn, 14 fields",
        servers=_SERVERS,
        heads=varied,
        clients=CLIENTS,
        warm_up=3 * KEYS,
    )
    unknown = Case(
        name="fresh",
        title=f"Nothing seen before: each key asked once, {KEYS:,} clients in turn, 14 fields",
        servers=_SERVERS,
        heads=fresh,
        clients=KEYS,
    )
    return [compare(known, context), compare(unknown, context)]
