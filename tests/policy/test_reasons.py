"""The words of reasons, which metrics, logs, ``explain`` and headers have in common."""

from __future__ import annotations

from nearbucket.policy.reasons import Reason

PROMISED = {
    "redirect": {"in-region"},
    "stream": {
        "client-unknown", "outside-aws", "no-target", "path", "mutable", "small", "opt-out",
        "came-back", "not-modified", "other-etag", "credentials", "not-replicated", "absent",
        "unreadable", "unverified", "target-down", "head", "percent", "shadow", "off",
    },
    "refuse": {"well-known", "method", "host", "path-invalid", "bad-request", "secret"},
}  # fmt: skip
"""Dashboards rely on these words: they change only with a line in the changelog."""


def test_the_reasons_are_those_that_are_promised() -> None:
    found: dict[str, set[str]] = {}
    for reason in Reason:
        found.setdefault(reason.action.value, set()).add(reason.value)
        assert reason.help.endswith(".")
    assert found == PROMISED
