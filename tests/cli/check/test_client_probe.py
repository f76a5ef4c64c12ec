"""What answers to requests of targets, as of a redirected client, mean."""

from __future__ import annotations

import pytest

from nearbucket.cli.check.client_probe import target_finding
from nearbucket.s3.client_request import ClientAnswer

Answered = tuple[int, dict[str, str]] | Exception


def answered(said: Answered) -> ClientAnswer | Exception:
    return said if isinstance(said, Exception) else ClientAnswer(*said)


@pytest.mark.parametrize(
    ("answer", "level", "text"),
    [
        ((200, {"content-length": "5"}), "ok", "can be read without a signature"),
        ((206, {"content-range": "bytes 0-0/5"}), "ok", "can be read without a signature"),
        ((416, {}), "ok", "can be read without a signature"),
        (
            (206, {"content-range": "bytes 0-0/6"}),
            "wrong",
            "has 6 bytes, but the object in the bucket has 5",
        ),
        (
            (200, {"content-length": "6"}),
            "wrong",
            "has 6 bytes, but the object in the bucket has 5",
        ),
        ((403, {}), "warning", "answers 403 to a request without a signature"),
        ((404, {}), "wrong", "answers 404, but the object is in the bucket"),
        ((301, {}), "wrong", "answers 301"),
        (TimeoutError(), "warning", "cannot be reached from here: no answer in time"),
    ],
    ids=str,
)
def test_what_clients_would_get_is_judged(answer: Answered, level: str, text: str) -> None:
    finding = target_finding("t", "https://b.example/a", 5, answered(answer))
    assert finding.level == level
    assert text in finding.text


@pytest.mark.parametrize(("status", "level"), [(200, "ok"), (403, "wrong"), (404, "wrong")])
def test_a_signed_url_has_no_excuse_for_a_refusal(status: int, level: str) -> None:
    finding = target_finding("t", "https://b.example/a", 5, ClientAnswer(status, {}), signed=True)
    assert finding.level == level
