"""Policies by which a log is decided again, and the totals of their differences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nearbucket.analysis.policy_diff import PolicyDiff, PolicyDiffTotals
from tests.build import engine, settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nearbucket.analysis.reading.log_reader import LogEntry, UnreadableInput
    from nearbucket.analysis.replay import Replay
    from nearbucket.policy.engine import Engine

TARGET = "https://us-west-2-downloads.s3.us-west-2.amazonaws.com"
GONE = "redirect/in-region/301 " + TARGET
OPT_OUT = {"user_agents": ["wget/*"]}


def site(**redirect: Any) -> Engine:
    """An engine whose site has these settings of the section ``redirect``."""
    chosen = {"head": "redirect", **redirect}
    return engine(settings(site={"opt_out": OPT_OUT, "redirect": chosen}))


def count(replay: Replay, found: Sequence[LogEntry | UnreadableInput]) -> PolicyDiffTotals:
    """The totals of these entries."""
    counted = PolicyDiff(replay)
    for line in found:
        counted.add(line)
    return counted.finish()
