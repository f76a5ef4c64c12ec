"""Builds the request that ``nearbucket explain`` and ``/api/explain`` decide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from nearbucket.policy.engine import NOT_CHECKED, NOT_NEEDED, WITH_COPY, ExplainStep
from nearbucket.policy.model import Request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nearbucket.policy.engine import Engine
    from nearbucket.policy.model import Decision

PATH_STARTS = ("/", "http://", "https://")
"""What a path begins with; a whole URL names the host as well."""
FAILED = "error"
"""Given as the reason of an explanation that failed."""


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

    @classmethod
    def of_failure(cls, error: Exception) -> Explanation:
        """What is shown where explaining has failed."""
        return cls(FAILED, (ExplainStep(FAILED, repr(error), "the log has more"),))

    def as_json(self) -> dict[str, Any]:
        """The explanation as plain data."""
        return {"reason": self.reason, "steps": [step._asdict() for step in self.steps]}


def explained(engine: Engine, query: ExplainQuery) -> Explanation:
    """The explanation by the policy alone; no bucket is asked."""
    engine, request = request_for(engine, **query._asdict())
    decision = engine.decide(request)
    copy = NOT_CHECKED if decision.reason in WITH_COPY else NOT_NEEDED
    return explanation_of(engine, query, request, decision, copy)


def explanation_of(
    engine: Engine,
    query: ExplainQuery,
    request: Request,
    decision: Decision,
    copy: ExplainStep,
) -> Explanation:
    """The explanation of a decision; ``request`` is that of ``request_for``."""
    first, *others = engine.explain(request, decision, copy)
    steps = (first, *_host_step(engine, query), *others)
    return Explanation(decision.reason.value, steps)


def _host_step(engine: Engine, query: ExplainQuery) -> tuple[ExplainStep, ...]:
    """The host that was taken because the query names none, if there are several sites."""
    if query.host is not None or not query.target.startswith("/"):
        return ()
    if any(name.lower() == "host" for name in query.headers):
        return ()
    if len({policy.name for policy in engine.sites.values()}) <= 1:
        return ()
    detail = f"the first of {len(engine.sites)} hosts; --host names another"
    return (ExplainStep("host", _first_host(engine), detail),)


def _first_host(engine: Engine) -> str:
    return next((name for name in engine.sites if name != "*"), "localhost")


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
    fields = {_bytes(name.lower()): _bytes(value) for name, value in (headers or {}).items()}
    if host is None:
        host = _first_host(engine)
    fields.setdefault(b"host", _bytes(host))
    if engine.trust.reads.isdisjoint(fields):
        engine = engine.for_client()
    return engine, Request(method, target, fields, ip)


def _bytes(text: str) -> bytes:
    """As a client sends it; what an argument has instead of bytes that are not UTF-8, as those."""
    return text.encode("utf-8", "surrogateescape")
