"""Counts what a replay sends, what is expected, and what the proxy answers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nearbucket.analysis.live_replay.replay_requests import ExpectedAnswer, SentRequest

NO_ANSWER = "no answer"


class DifferingAnswers:
    """Requests with one pair of expected and given answer.

    Attributes:
        requests: Number of them.
        example: Host and target of the first.
    """

    __slots__ = ("example", "requests")

    def __init__(self, example: str) -> None:
        self.example = example
        self.requests = 0


@dataclass(slots=True)
class ReplayCounts:
    """What was sent, expected and answered.

    Attributes:
        sent: Requests.
        agreed: Those with the expected action, reason and region.
        unanswered: Those without an answer.
        redirects: Expected redirects by site and region of the client.
        bytes: Bytes that they save, by site and region.
        unknown: Expected redirects for which the log does not know the bytes.
        differing: Other requests by expected and given answer.
    """

    sent: int = 0
    agreed: int = 0
    unanswered: int = 0
    redirects: Counter[tuple[str, str]] = field(default_factory=Counter)
    bytes: Counter[tuple[str, str]] = field(default_factory=Counter)
    unknown: int = 0
    differing: dict[tuple[str, str], DifferingAnswers] = field(default_factory=dict)

    def expect(self, expected: ExpectedAnswer, size: int | None) -> None:
        """Count a request that is sent, and the bytes that a redirect of it saves."""
        self.sent += 1
        if expected.to_target:
            labels = expected.site, expected.region
            self.redirects[labels] += 1
            self.bytes[labels] += size or 0
            self.unknown += size is None

    def answer(self, request: SentRequest, expected: ExpectedAnswer, given: str) -> None:
        """Count an answer, in words like those of ``X-Nearbucket``."""
        self.unanswered += given == NO_ANSWER
        wanted = f"{expected.words} {expected.region}"
        if given == wanted:
            self.agreed += 1
            return
        example = f"{request.client} {request.host}{request.target}"
        self.differing.setdefault((wanted, given), DifferingAnswers(example)).requests += 1
