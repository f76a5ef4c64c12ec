"""Explains a decision by what a running worker knows, for ``/api/explain``.

Nothing is counted, logged or noted as a recent redirect.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from nearbucket.frontend.returning_clients.recent_redirects import mark_of_asker
from nearbucket.policy.engine import NOT_NEEDED, ExplainStep
from nearbucket.policy.explain import explanation_of, request_for
from nearbucket.policy.model import Reason, RedirectTo, Stream

if TYPE_CHECKING:
    from nearbucket.frontend.decider import Decider
    from nearbucket.policy.explain import ExplainQuery, Explanation
    from nearbucket.policy.model import Decision, ReplicaStatus, Request


_NOT_SIGNED = ExplainStep(
    "copy",
    "not signed",
    "redirect.presign: the credentials are missing, or expire within a minute",
)


class _LiveKnowledge:
    """The engine's ``ReplicaKnowledge``: as ``Decider``'s, but nothing follows from a question."""

    def __init__(self, decider: Decider) -> None:
        self._decider = decider
        self.status: ReplicaStatus | None = None

    def replica_status(self, site: str, region: str, key: str) -> ReplicaStatus:
        self.status = self._decider.replica_status(site, region, key)
        return self.status

    def came_back(self, site: str, region: str, client: str, _key: str, request: Request) -> bool:
        redirects = self._decider.recent_redirects.get(site)
        asker = mark_of_asker(site, client, request, cdn=not region)
        return redirects is not None and redirects.is_stuck(asker, monotonic())


async def live_explanation(decider: Decider, query: ExplainQuery) -> Explanation:
    """The steps of a decision; where the copy is not known, S3 is asked as for a client."""
    engine, request = request_for(decider.engine, **query._asdict())
    knowledge = _LiveKnowledge(decider)
    decision = engine.decide(request, knowledge)
    if isinstance(decision, Stream) and decision.reason is Reason.UNVERIFIED and decider.replicas:
        await decider.replicas.settle(decision.site, decision.region or "", decision.key)
        decision = engine.decide(request, knowledge)
    copy = _copy_step(decider, decision, knowledge.status)
    if isinstance(decision, RedirectTo):
        # a signed URL lets anyone read the object, so the Location is shown without its signature
        signed = decider.signed(request, decision)
        if isinstance(signed, Stream):
            decision, copy = signed, _NOT_SIGNED
    return explanation_of(engine, query, request, decision, copy)


def _copy_step(decider: Decider, decision: Decision, status: ReplicaStatus | None) -> ExplainStep:
    """What is known of the copy, if the decision depends on it."""
    replicas = decider.replicas
    if status is None or replicas is None or not isinstance(decision, Stream | RedirectTo):
        return NOT_NEEDED
    place = decision.site, decision.region or "", decision.key
    return ExplainStep("copy", *replicas.report(*place, status))
