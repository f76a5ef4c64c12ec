"""Redirects of which no two requests are equal, as they come through CloudFront.

In: what ``frame.py`` gives. Out: one table. Refuses to know how it is measured.

A server that remembers answers by the bytes of a request, its path or its client gains nothing
here: every request has an id of its own, and keys and clients come round after 20,000.
"""  # noqa: INP001  # scripts that run from their own folder, not a package

from __future__ import annotations

from typing import TYPE_CHECKING

from comparison import Case, compare
from heads import KEYS, varied
from servers import FAST, HAPROXY, NGINX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from frame import Context, Table

TITLE = "Heads all different"


def run(context: Context) -> Sequence[Table]:
    """Connections are kept; everything else changes from request to request."""
    case = Case(
        name="varied",
        title="Heads all different: connections kept, 20,000 keys and clients, 14 header fields",
        servers=(NGINX, HAPROXY, FAST),
        heads=varied,
        clients=KEYS,
    )
    return [compare(case, context)]
