"""Explains a decision by what a running worker knows, for ``/api/explain``.

Nothing is counted, logged or noted as a recent redirect.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from nearbucket.frontend.recent_redirects import mark_of_asker
from nearbucket.policy.engine import ExplainStep
from nearbucket.policy.explain import Explanation, request_for
from nearbucket.policy.model import Reason, Refuse

if TYPE_CHECKING:
    from nearbucket.frontend.decider import Decider
    from nearbucket.policy.explain import ExplainQuery
    from nearbucket.policy.model import ReplicaStatus, Request


_NOT_NEEDED = ExplainStep("copy", "not needed", "the rules above decide")


class _LiveKnowledge:
    """The engine's ``ReplicaKnowledge``: as ``Decider``'s, but nothing follows from a question."""

    def __init__(self, decider: Decider) -> None:
        self._decider = decider
        self.was_asked = False

    def replica_status(self, site: str, region: str, key: str) -> ReplicaStatus:
        self.was_asked = True
        return self._decider.replica_status(site, region, key)

    def came_back(self, site: str, _region: str, client: str, _key: str, request: Request) -> bool:
        redirects = self._decider.recent_redirects.get(site)
        asker = mark_of_asker(site, client, request)
        return redirects is not None and redirects.is_stuck(asker, monotonic())


async def live_explanation(decider: Decider, query: ExplainQuery) -> Explanation:
    """The steps of a decision; where the copy is not known, S3 is asked as for a client."""
    engine, request = request_for(decider.engine, **query._asdict())
    knowledge, replicas = _LiveKnowledge(decider), decider.replicas
    decision, copy = engine.decide(request, knowledge), _NOT_NEEDED
    if knowledge.was_asked and replicas is not None and not isinstance(decision, Refuse):
        of = decision.site, decision.region or "", decision.key
        if decision.reason is Reason.UNVERIFIED:
            await replicas.settle(*of)
            decision = engine.decide(request, knowledge)
        copy = ExplainStep("copy", *replicas.report(*of))
    steps = tuple(engine.explain(request, knowledge, copy))
    return Explanation(decision.reason.value, steps)
