"""The request that an operator asks about: for the command ``explain`` and the admin port."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nearbucket.policy.model import Request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nearbucket.policy.engine import Engine


def request_for(  # noqa: PLR0913  # the parts of a request
    engine: Engine,
    *,
    ip: str,
    target: str,
    host: str | None = None,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
) -> tuple[Engine, Request]:
    """An engine and request that ask: what would this client get?

    ``ip`` is the client's address, whatever header carries it in production; when the
    headers given hold that header or the origin secret, it is the socket's peer instead.
    """
    fields = {name.lower().encode(): value.encode() for name, value in (headers or {}).items()}
    if host is None:
        host = next((name for name in engine.sites if name != "*"), "localhost")
    fields.setdefault(b"host", host.encode())
    if engine.trust.reads.isdisjoint(fields):
        engine = engine.for_client()
    return engine, Request(method, target, fields, ip)
