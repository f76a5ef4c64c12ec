"""Figures are rounded for readers, and text of a log does nothing."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from nearbucket import figures
from nearbucket.analysis.policies.policy_text import days_text
from tests.analysis.made_report import HOSTILE


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        (0, "$0"), (0.004, "under $0.01"), (0.005, "$0.01"), (4.2, "$4.20"), (99.99, "$99.99"),
        (99.996, "$100"), (3636.4, "$3,636"), (-4.2, "-$4.20"), (-1485, "-$1,485"),
        (-0.001, "about $0"), (12_298_000, "$12,298,000"),
    ],
)  # fmt: skip
def test_dollars_have_cents_below_a_hundred(usd: float, text: str) -> None:
    assert figures.money(usd) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0"), (1, "1 byte"), (1023, "1,023 bytes"), (1024, "1.00 KB"), (1024**3, "1.00 GB"),
        (49.7 * 1024**4, "49.7 TB"), (1014 * 1024**3, "1,014 GB"), (1024**4, "1.00 TB"),
        (2000 * 1024**5, "2,000 PB"),
    ],
)  # fmt: skip
def test_volumes_are_in_the_units_of_awss_bills(size: float, text: str) -> None:
    assert figures.volume(size) == text


def test_sizes_of_objects_are_in_the_units_of_the_configuration() -> None:
    assert [figures.size(at) for at in (0, 512, 4096, 2**24, 5 * 2**30, 1_500_000)] == [
        "0 B", "512 B", "4 KiB", "16 MiB", "5 GiB", "1.43 MiB",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("part", "text"),
    [
        (0, "0 %"), (1000, "100 %"), (999, "99.9 %"), (999.5, ">99.9 %"), (1, "0.1 %"),
        (0.5, "<0.1 %"), (-684, "-68 %"), (-0.5, "about 0 %"), (5, "0.5 %"), (684, "68 %"),
    ],
)  # fmt: skip
def test_a_share_is_all_or_nothing_only_if_it_is(part: float, text: str) -> None:
    assert figures.share(part, 1000) == text
    assert figures.share(part, 0) == "0 %"


def test_estimates_have_three_digits() -> None:
    assert [figures.about(n) for n in (0, 7, 999, 146_830, 1_234_567)] == [
        "0", "7", "999", "147,000", "1,230,000",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("first", "last", "text"),
    [
        ("2026-11-01T00:00", "2026-11-14T23:59", "1 to 14 November 2026"),
        ("2026-10-30T00:00", "2026-11-14T23:59", "30 October to 14 November 2026"),
        ("2025-12-30T00:00", "2026-01-02T23:59", "30 December 2025 to 2 January 2026"),
        ("2026-11-14T10:00", "2026-11-14T17:30", "14 November 2026, 10:00 to 17:30 UTC"),
    ],
)
def test_a_period_is_named_by_its_days(first: str, last: str, text: str) -> None:
    begin, end = (datetime.fromisoformat(each).replace(tzinfo=UTC) for each in (first, last))
    assert figures.period(begin, end) == text


def test_a_length_of_time_is_in_days_hours_or_minutes() -> None:
    assert [days_text(days) for days in (14.0, 1.0, 0.5, 13.96, 1 / 24, 900 / 86400, 0)] == [
        "14 days", "1 day", "12 hours", "14 days", "1 hour", "15 minutes", "1 minute",
    ]  # fmt: skip


def test_text_of_a_log_is_printable_bounded_and_no_formula() -> None:
    for text in (*HOSTILE, "+1", "@x", "-x", "a\nb\tc", "\u200fx", "\x9b2J", "=" * 9000):
        shown = figures.harmless(text)
        assert shown.isprintable()
        assert shown[0] not in "=+-@"
        assert len(shown) < 300


def test_text_that_does_no_harm_is_shown_as_it_is() -> None:
    for text in ("-", "dcos/v1.0/x.tar.xz", "b\u00fccher/\u4e66.pdf", "Wget/1.21.3", "<b>", "'x'"):
        assert figures.harmless(text) == text
