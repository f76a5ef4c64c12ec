"""Builds the request that ``nearbucket explain`` and ``/api/explain`` decide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from nearbucket.policy.model import Request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nearbucket.policy.engine import Engine, ExplainStep


class ExplainQuery(NamedTuple):
    """The request that ``/api/explain`` is asked about: the arguments of ``request_for``."""

    ip: str
    target: str
    host: str | None
    method: str
    headers: Mapping[str, str]


class Explanation(NamedTuple):
    """A decision and the steps that lead to it.

    Attributes:
        reason: The reason of the decision.
        steps: The steps, in the order of the decision.
    """

    reason: str
    steps: tuple[ExplainStep, ...]

    def as_json(self) -> dict[str, Any]:
        """The explanation as plain data."""
        return {"reason": self.reason, "steps": [step._asdict() for step in self.steps]}


def explained(engine: Engine, query: ExplainQuery) -> Explanation:
    """The explanation by the policy alone; no bucket is asked."""
    engine, request = request_for(engine, **query._asdict())
    steps = tuple(engine.explain(request))
    return Explanation(engine.decide(request).reason.value, steps)


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
