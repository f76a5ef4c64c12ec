"""Builds the request that ``nearbucket explain`` and ``/api/explain`` decide."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nearbucket.policy.model import Request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nearbucket.policy.engine import Engine


def request_for(  # noqa: PLR0913  # one parameter for each part of a request
    engine: Engine,
    *,
    ip: str,
    target: str,
    host: str | None = None,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
) -> tuple[Engine, Request]:
    """The request, and the engine to decide it.

    ``ip`` is the client's address, whatever header carries it in production. If ``headers`` has
    that header or the origin secret, ``ip`` is the address of the socket's peer instead.
    """
    fields = {name.lower().encode(): value.encode() for name, value in (headers or {}).items()}
    if host is None:
        host = next((name for name in engine.sites if name != "*"), "localhost")
    fields.setdefault(b"host", host.encode())
    if engine.trust.reads.isdisjoint(fields):
        engine = engine.for_client()
    return engine, Request(method, target, fields, ip)
