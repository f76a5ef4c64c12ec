"""CORS preflights: passed on to the origin bucket, within the limits that streams have."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from nearbucket.errors import OriginError
from nearbucket.policy.client_address import client_network
from nearbucket.policy.model import Refuse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nearbucket.frontend.worker_context import WorkerContext
    from nearbucket.origin.missing_objects import Fields
    from nearbucket.policy.model import Request

PREFLIGHT = ("Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers")
"""Fields of a preflight that are passed on."""
_LEAST = 2  # a preflight has an Origin and the method of the request to come


async def cors_answer(context: WorkerContext, request: Request, asked: Mapping[str, str]) -> Fields:
    """The fields that tell a browser what the bucket's CORS rules permit.

    Empty if the request is no preflight, if S3 cannot be asked, or if a limit is reached.

    Args:
        context: The worker's.
        request: An OPTIONS request.
        asked: Those of its fields that ``PREFLIGHT`` names.
    """
    resolved = context.decider.engine.resolve(request)
    if len(asked) < _LEAST or isinstance(resolved, Refuse):
        return []
    site = resolved.site.name
    with ExitStack() as held:
        why = _limit_reached(context, site, request, held)
        if why is None:
            try:
                return (await context.origins[site].preflight(resolved.key, asked)).headers
            except OriginError as error:
                why = error.detail
    context.warnings.warn(f"origin of {site}, preflight: {why}")
    return []


def _limit_reached(
    context: WorkerContext, site: str, request: Request, held: ExitStack
) -> str | None:
    """Count a preflight as a stream until ``held`` is closed; or say which limit is reached.

    Like a stream, it holds a connection until S3 has answered.
    """
    limit, of_client = context.stream_limits.by_site[site], context.client_limit
    network = b""  # has no limit
    if of_client.most is not None:
        network = client_network(context.decider.engine.trust.client(request).address)
    if not of_client.begin(network):
        return f"the client's network is at limits.per_client, {of_client.most}"
    held.callback(of_client.end, network)
    if not limit.begin():
        return f"{limit.count} streams are in progress (limits.max_streams)"
    held.callback(limit.end)
    return None
