"""The report on a terminal, and in a pipe."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from rich.cells import cell_len

from nearbucket.analysis.report import render
from tests.analysis.made_report import HOSTILE, YAML, hostile_report, made_report
from tests.analysis.report.test_findings import without_requests


def facts(text: str, name: str) -> list[list[str]]:
    lines = [line.split("\t") for line in text.splitlines()]
    return [values for first, *values in lines if first == name]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_is_wider_than_the_terminal_and_no_figure_is_lost(width: int) -> None:
    text = render(made_report(), "text", width=width)
    before, _, after = text.partition("Policy to paste")
    lines = before.splitlines() + after.partition("Who would notice")[2].splitlines()
    assert max(map(cell_len, lines)) <= width
    assert "…" not in text
    for figure in (
        "$5,317",
        "$3,636",
        "$3,127",
        "71,200",
        "42,300",
        "2.98 TB",
        "1,014 GB",
        "-$61.00",
    ):
        assert figure in text


def test_the_policy_can_be_copied_from_a_narrow_terminal() -> None:
    text = render(made_report(), "text", width=40)
    assert "".join(f"  {line}\n" for line in YAML.splitlines()) in text


def test_what_matters_comes_first() -> None:
    text = render(made_report(), "text", width=80)
    order = [
        "downloads.example.com", "189,000 requests", "$3,636 a month less", "flat-rate plan",
        "From today's bill", "Where the bytes go", "2026-11-07", "size at least",
        "What a policy would change", "Policy to paste", "Who would notice",
        "20 files with the most bytes", "10 User-Agents", "networks inside AWS", "One bucket more",
        "Hosts", "How this is computed", "ends early",
    ]  # fmt: skip
    places = [text.find(words) for words in order]
    assert -1 not in places
    assert places == sorted(places)


def test_colours_are_only_there_when_they_are_wanted() -> None:
    assert "\x1b" not in render(made_report(), "text", width=80)
    coloured = render(made_report(), "text", width=80, colour=True)
    assert "\x1b[1m" in coloured
    assert "\x1b[2J" not in render(hostile_report(), "text", width=80, colour=True)


@pytest.mark.parametrize("width", [None, 80])
def test_text_of_a_log_moves_no_cursor_and_is_no_formula(width: int | None) -> None:
    text = render(hostile_report(), "text", width=width)
    assert all(line.replace("\t", "").isprintable() for line in text.splitlines())
    cells = {cell for line in text.splitlines() for cell in line.split("\t")}
    assert not [cell for cell in cells if cell.startswith(("=", "+", "@"))]
    assert "\\x1b[2J" in text
    assert "[bold]obeyed[/bold]" in text


def test_a_pipe_gets_one_fact_a_line_with_exact_figures() -> None:
    text = render(made_report(), "text")
    assert facts(text, "scope.files") == [["42"]]
    assert facts(text, "scope.left_out") == [
        ["more or fewer fields than #Fields", "3"],
        ["status 000", "12"],
    ]
    assert facts(text, "bill.usd_month") == [["5317.00"]]
    assert facts(text, "bill.scaled") == [["no"]]
    assert ["UNKNOWN", "48100", "7806532557209", "20050", "11240"] in facts(text, "regions")
    assert len(facts(text, "top_files")) == 20
    assert facts(text, "top_files")[-1][-2:] == ["-", "87960930222"]
    assert ["2026-11-07", "ap-southeast-1", "1979120929996"] in facts(text, "days.by_region")
    assert facts(text, "recommendation.paths")[0] == ["dcos/*"]


def test_what_is_lost_by_less_than_a_cent_is_no_negative_zero() -> None:
    report = made_report()
    lost = replace(report, what_if=replace(report.what_if, saving_usd_month=-0.0003))
    assert facts(render(lost, "text"), "what_if.saving_usd_month") == [["0.00"]]
    nothing = replace(report, what_if=replace(report.what_if, saving_usd_month=-1e-9))
    assert '"saving_usd_month": -0' not in render(nothing, "json")


def test_a_pipe_has_every_value_of_the_json_document() -> None:
    report = made_report()
    document = json.loads(render(report, "json"))
    names = {line.split("\t")[0] for line in render(report, "text").splitlines()}
    for name, value in document.items():
        inner = [f"{name}.{each}" for each in value] if isinstance(value, dict) else [name]
        assert set(inner) <= names


def test_the_policy_can_be_cut_out_of_a_pipe() -> None:
    lines = facts(render(made_report(), "text"), "recommendation.yaml")
    assert "".join(f"{line}\n" for (line,) in lines) == YAML


def test_long_text_is_whole_in_a_pipe() -> None:
    agents = facts(render(hostile_report(), "text"), "user_agents")
    assert [HOSTILE[-1], str(1024**3), "10", "0", "0"] in agents


@pytest.mark.parametrize("width", [None, 80])
def test_files_without_a_request_have_a_report(width: int | None) -> None:
    assert "42" in render(without_requests(), "text", width=width)


def test_a_report_without_a_recommendation_names_the_policy_that_is_compared() -> None:
    text = render(replace(made_report(), recommendation=None), "text", width=80)
    assert "No policy was asked for." in text
    assert "$1,759" in text
    assert "Policy to paste" not in text


def test_a_terminal_says_once_why_there_is_no_policy_and_shows_no_empty_table() -> None:
    why = "No policy is recommended: no evidence for us-west-2."
    report = made_report()
    report = replace(
        report,
        recommendation=None,
        notes=("Other.", why),
        counts=replace(report.counts, networks=()),
        next_regions=(),
    )
    text = render(report, "text", width=80)
    assert text.count(why) == 1
    assert "! Other." in text
    assert "Heaviest networks" not in text
    assert "One bucket more" not in text


@pytest.mark.parametrize("width", range(60, 120))
def test_no_line_begins_with_a_percent_sign(width: int) -> None:
    lines = render(made_report(), "text", width=width).splitlines()
    assert not [line for line in lines if line.lstrip().startswith("%")]
    assert any(" %" in line for line in lines)
