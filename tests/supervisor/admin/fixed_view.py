"""A ``SupervisorView`` with fixed values, for the admin port to show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.build import engine, settings
from tests.supervisor.admin.made_documents import documents

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nearbucket.config.settings import Settings
    from nearbucket.policy.engine import Engine
    from nearbucket.policy.explain import ExplainQuery, Explanation
    from nearbucket.telemetry.history.recent_answers import RecentAnswer
    from nearbucket.telemetry.metrics import Values

NAMED = settings(site={"hosts": ["dl.example", "other.example"]})


class Fake:
    """A ``SupervisorView`` with fixed values."""

    def __init__(self, chosen: Settings) -> None:
        self.engine: Engine = engine(chosen)
        self.reasons: list[str] = []
        self.problems: list[str] = []
        self.asked: list[ExplainQuery] = []
        self.explanations: list[Explanation] = []
        self.values: Values = {"nearbucket_workers": {(): 2}}

    async def explain(self, query: ExplainQuery) -> list[Explanation]:
        self.asked.append(query)
        return self.explanations

    def not_ready(self) -> list[str]:
        return self.reasons

    def warnings(self) -> list[str]:
        return self.problems

    def hosts(self) -> list[str]:
        return ["downloads.s3.us-east-1.amazonaws.com", "eu.example:8080"]

    async def figures(self) -> Values:
        return self.values

    async def status(self) -> Mapping[str, Any]:
        return {**documents().status, "ready": not self.reasons, "version": "0"}

    async def history(self, window: str) -> Mapping[str, Any]:
        return documents().history[window]

    def decisions(self) -> Sequence[RecentAnswer]:
        return documents().decisions
