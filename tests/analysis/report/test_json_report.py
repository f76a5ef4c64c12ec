"""The JSON document has the promised names, keeps to its schema, and loses nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nearbucket.analysis.report import render
from nearbucket.analysis.report.json_report import report_schema
from tests.analysis.made_report import HOSTILE, hostile_report, made_report
from tests.analysis.report.test_findings import without_requests

if TYPE_CHECKING:
    from nearbucket.analysis.answers import Report

SCHEMA = Path(__file__).parents[3] / "docs" / "analyze-schema.json"
KINDS: dict[str, Any] = {
    "object": dict, "array": list, "string": str, "integer": int, "number": int | float,
    "boolean": bool, "null": type(None),
}  # fmt: skip
PROMISED = {
    "scope": "files lines left_out from to days damaged prices_of",
    "totals": "requests bytes downloads aborted",
    "bill": "plan bytes_month usd_month scaled",
    "regions": "region requests bytes downloads addresses",
    "top_files": "key bytes requests addresses size aws_bytes",
    "user_agents": "agent bytes requests redirected came_back",
    "networks": "network region bytes requests addresses top_key",
    "days": "day requests bytes by_region",
    "sizes": "at_least requests bytes objects",
    "hosts": "name requests bytes",
    "what_if": "policy redirects_month bytes_month costs_usd_month saving_usd_month",
    "next_regions": "region redirects_month bytes_month costs_usd_month saving_usd_month",
    "recommendation": (
        "paths exclude min_size regions redirects_month bytes_month costs_usd_month "
        "saving_usd_month low high why yaml"
    ),
}
"""Sections and the names in them."""


def parsed(report: Report) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(render(report, "json"))
    return found


def faults(value: Any, schema: dict[str, Any], where: str = "$") -> list[str]:
    """Where a value does not keep to a schema, by the words that this schema uses."""
    if "anyOf" in schema:
        all_ = [faults(value, each, where) for each in schema["anyOf"]]
        return [] if [] in all_ else all_[0]
    if not isinstance(value, KINDS[schema["type"]]):
        return [f"{where}: {value!r} is no {schema['type']}"]
    found: list[str] = []
    if schema["type"] == "array":
        for number, each in enumerate(value):
            found += faults(each, schema["items"], f"{where}[{number}]")
    if schema["type"] == "object":
        known = schema.get("properties", {})
        found += [f"{where}: no {name}" for name in schema.get("required", ()) if name not in value]
        for name, each in value.items():
            inner = known.get(name, schema.get("additionalProperties"))
            found += faults(each, inner, f"{where}.{name}") if inner else [f"{where}: {name}?"]
    return found


@pytest.mark.parametrize("section", PROMISED)
def test_every_promised_name_is_there(section: str) -> None:
    found = parsed(made_report())[section]
    one = found[0] if isinstance(found, list) else found
    assert set(PROMISED[section].split()) <= set(one)


@pytest.mark.parametrize(
    "report",
    [
        made_report(),
        hostile_report(),
        without_requests(),
        replace(made_report(), recommendation=None),
    ],
    ids=["made", "hostile", "empty", "none"],
)
def test_the_document_keeps_to_the_schema_of_the_documentation(report: Report) -> None:
    assert faults(parsed(report), json.loads(SCHEMA.read_text("utf-8"))) == []


def test_a_document_that_does_not_is_found() -> None:
    document = parsed(made_report())
    document["bill"]["usd_month"] = "5317"
    document["days"][0]["more"] = 1
    del document["scope"]["from"]
    assert len(faults(document, report_schema())) == 3


def test_every_value_of_the_schema_is_described() -> None:
    def bare(node: dict[str, Any], where: str) -> list[str]:
        inner = [node, node.get("items", {}), *node.get("anyOf", ())]
        named = {key: each for part in inner for key, each in part.get("properties", {}).items()}
        return [f"{where}.{key}" for key, each in named.items() if not each["description"]] + [
            fault for key, each in named.items() for fault in bare(each, f"{where}.{key}")
        ]

    assert bare(report_schema(), "$") == []


def test_times_are_utc_and_figures_are_not_rounded() -> None:
    document = parsed(made_report())
    assert document["scope"]["from"] == "2026-11-01T00:00:04Z"
    assert document["days"][0]["day"] == "2026-11-01"
    assert document["recommendation"]["costs_usd_month"] == 47.2
    assert document["totals"]["bytes"] == made_report().counts.bytes


def test_text_of_a_log_is_whole_and_in_ascii() -> None:
    text = render(hostile_report(), "json")
    assert text.isascii()
    assert "\x1b" not in text
    assert [each["agent"] for each in json.loads(text)["user_agents"]] == list(HOSTILE)


def test_there_is_no_other_kind_of_report() -> None:
    with pytest.raises(ValueError, match="yaml"):
        render(made_report(), "yaml")
