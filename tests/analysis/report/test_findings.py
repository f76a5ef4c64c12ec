"""The sentences and sums that all forms of a report share."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nearbucket.analysis.answers import AgentTraffic, Counts, Report
from nearbucket.analysis.report import findings, render
from tests.analysis.made_report import made_report


def without_requests() -> Report:
    """A report on files in which no line is a request."""
    report = made_report()
    counts = Counts(0, 0, 0, 0, (), (), (), (), (), (), (), ())
    scope = replace(report.scope, lines=0, first=None, last=None, days=0.0)
    return replace(report, counts=counts, scope=scope, recommendation=None, next_regions=())


def test_the_steps_lead_from_todays_bill_to_the_one_after() -> None:
    report = made_report()
    steps = findings.bill_steps(report)
    assert [step.name for step in steps] == [
        "today", "dcos/*", "*.qcow2", "blobs/*", "nightly/*", "*.rpm", "after",
    ]  # fmt: skip
    assert [before.end for before in steps[:-2]] == [after.start for after in steps[1:-1]]
    assert steps[-1].end == steps[-2].end == 5_317.0 - 3_636.0
    assert steps[-1].costs == 47.2


def test_what_the_patterns_do_not_account_for_is_a_step_of_its_own() -> None:
    report = made_report()
    assert report.recommendation
    found = replace(report.recommendation, saving_usd_month=3_600.0)
    steps = findings.bill_steps(replace(report, recommendation=found))
    assert (steps[-2].name, round(steps[-2].usd, 6)) == ("rest", 36)
    assert steps[-1].end == 1_717


def test_a_report_without_a_recommendation_has_no_steps_and_says_so() -> None:
    report = replace(made_report(), recommendation=None)
    assert findings.bill_steps(report) == []
    assert findings.headline(report)[-1] == "No policy was asked for."


def test_the_headline_says_what_is_paid_for_what_and_what_less_with_its_doubt() -> None:
    now, then = findings.headline(made_report())
    for words in ("72.2 TB a month for $5,317", "pay as you go", "78 % of the bytes in these logs"):
        assert words in now
    for words in ("49.7 TB", "$3,636 a month less", "between $3,127 and $4,000"):
        assert words in then


def test_the_share_of_aws_is_said_of_the_logs_and_not_of_a_larger_bill() -> None:
    report = made_report()
    bill = replace(report.bill, bytes_month=10 * report.bill.bytes_month)  # prices.monthly_gb
    (now, then), page = findings.headline(replace(report, bill=bill)), render(report, "html")
    assert "78 % of the bytes in these logs go to machines inside AWS" in now
    assert "of them" not in then
    assert "Logged bytes to machines in AWS" in page


def test_a_bill_that_was_given_is_named() -> None:
    report = made_report()
    bill = replace(report.bill, scaled=True)
    assert "scaled to your bill" in findings.headline(replace(report, bill=bill))[0]


def test_amazon_without_a_region_is_inside_aws_and_no_address_is_not() -> None:
    report = made_report()
    by_name = {each.region: each.bytes for each in report.counts.regions}
    outside = by_name["UNKNOWN"] + by_name["NO-ADDRESS"]
    assert findings.aws_bytes(report) == report.counts.bytes - outside


def test_what_was_left_out_is_said_in_the_first_lines() -> None:
    text = findings.scope_text(made_report())
    assert "189,000 requests in 42 files, 1 to 14 November 2026 (14 days)" in text
    assert "15 lines left out. 1 file is damaged or left out." in text
    whole = replace(made_report().scope, left_out={}, damaged=())
    assert "Every line was read." in findings.scope_text(replace(made_report(), scope=whole))


def test_downloads_that_broke_off_come_on_top_of_the_complete_ones() -> None:
    downloads = f"{made_report().counts.downloads:,} complete downloads"
    assert findings.aborted_text(made_report()) == f"{downloads}; 2,310 more broke off"
    assert any(downloads in each for each in findings.how_computed(made_report()))
    left_out = render(made_report(), "html").partition("<h3>Left out</h3>")[2]
    assert "status 000" in left_out
    assert "broke off" not in left_out


@pytest.mark.parametrize(
    ("agent", "redirected", "came_back", "words"),
    [
        ("curl/8.5.0", 0, 0, "only with -L"),
        ("curl/8.5.0", 40, 0, "none came back after 40 redirects"),
        ("Wget/1.21", 40, 3, "3 came back after 40 redirects"),
        ("Wget/1.21", 0, 0, ""),
        ("Java-http-client/21", 0, 0, "only if the program asks for it"),
    ],
)
def test_a_log_with_redirects_says_more_than_what_is_known_of_the_program(
    agent: str, redirected: int, came_back: int, words: str
) -> None:
    assert findings.follows(AgentTraffic(agent, 1, 40, redirected, came_back)) == words


def test_who_would_notice_is_named_with_the_share_of_the_bytes() -> None:
    report = made_report()
    assert "2 User-Agents of the list (19 % of the bytes)" in findings.surprise(report)
    agents = tuple(replace(each, redirected=9) for each in report.counts.user_agents)
    counts = replace(report.counts, user_agents=agents)
    assert "None of the listed clients" in findings.surprise(replace(report, counts=counts))
    stuck = replace(counts, user_agents=(replace(agents[0], came_back=2),))
    assert "1 User-Agent came back after a redirect" in findings.surprise(
        replace(report, counts=stuck)
    )


def test_files_without_a_request_have_a_report() -> None:
    report = without_requests()
    assert findings.headline(report) == ["There is no request in these logs."]
    assert "0 requests in 42 files, no requests" in findings.scope_text(report)
    assert findings.aws_text(report) == "no client has an AWS region"
