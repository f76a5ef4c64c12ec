"""CORS preflights: passed on to the origin bucket, within the limits that streams have."""

from __future__ import annotations

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

    None if the request is no preflight, if S3 cannot be asked, or if a limit is reached.

    Args:
        context: The worker's.
        request: An OPTIONS request.
        asked: Those of its fields that ``PREFLIGHT`` names.
    """
    resolved = context.decider.engine.resolve(request)
    if len(asked) < _LEAST or isinstance(resolved, Refuse):
        return []
    site = resolved.site.name
    try:
        return await _ask(context, site, resolved.key, request, asked)
    except OriginError as error:
        context.warnings.warn(f"origin of {site}, preflight: {error.detail}")
        return []


async def _ask(
    context: WorkerContext, site: str, key: str, request: Request, asked: Mapping[str, str]
) -> Fields:
    """Ask S3; like a stream, that holds a connection until S3 has answered.

    Raises:
        OriginError: S3 cannot be asked, or a limit is reached.
    """
    limit, of_client = context.stream_limits.by_site[site], context.client_limit
    network = b""  # has no limit
    if of_client.most is not None:
        network = client_network(context.decider.engine.trust.client(request).address)
    if not of_client.begin(network):
        raise OriginError(429, f"the client's network is at limits.per_client, {of_client.most}")
    try:
        if not limit.begin():
            raise OriginError(503, f"{limit.count} streams are in progress (limits.max_streams)")
        try:
            return (await context.origins[site].preflight(key, asked)).headers
        finally:
            limit.end()
    finally:
        of_client.end(network)
