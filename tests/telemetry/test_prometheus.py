"""Which format of metrics a scraper gets that accepts several equally."""

from __future__ import annotations

import pytest

from nearbucket.telemetry.prometheus import exposed

OPENMETRICS, TEXT = "application/openmetrics-text", "text/plain"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (f"{TEXT}, {OPENMETRICS}", OPENMETRICS),
        (f"*/*;q=0.5, {OPENMETRICS};q=0.5", OPENMETRICS),
        (f"{TEXT};q=0, {OPENMETRICS};q=0", TEXT),
        (f"application/*, {TEXT}", TEXT),
        ("application/*, text/*", TEXT),
        ("*/*", TEXT),
    ],
)
def test_of_equal_weights_openmetrics_counts_if_it_is_named(accept: str, expected: str) -> None:
    page = exposed({}, accept)
    assert page.content_type.startswith(f"{expected};")
    assert page.body.endswith(b"# EOF\n") is (expected == OPENMETRICS)
