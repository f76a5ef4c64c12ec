"""The script: its size, and that it has nothing that the runtime does not list."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nearbucket.config.aws_endpoints import known_regions
from nearbucket.edge_function.function_source import LONGEST_FUNCTION, function_source
from nearbucket.errors import ConfigError
from tests.build import settings
from tests.edge_function.node_runs import node
from tests.edge_function.test_decisions import ODD_SITES, PLAIN, SETTINGS

LINT = "--expose-internals", "--no-warnings"  # for the parser that Node has inside


UNLISTED = {
    "for (const a of b) { c(); }": "ForOfStatement",
    "const {a} = b;": "ObjectPattern",
    "const a = {b};": "a property that ES 5.1 does not have",
    "const a = {b() {}};": "a property that ES 5.1 does not have",
    "const a = [...b];": "SpreadElement",
    "const a = b?.c;": "ChainExpression",
    "const a = b ?? c;": "??",
    "let a = 1; a ||= 2;": "||=",
    "class A {}": "ClassDeclaration",
    "function a(b = 1) {}": "AssignmentPattern",
    "try { a(); } catch { b(); }": "catch without a name",
    "const a = /(?<=b)c/;": "regular expression (?<=b)c",
    "const a = /b/s;": "flags s",
    "const a = 1n;": "a number that ES 5.1 does not have",
    "async function a() { b(await c()); }": "await in an argument",
    "function a() { return async () => 1; }": "an async closure",
    "eval('1');": "eval",
    "const a = import('b');": "ImportExpression",
}
"""Scripts with something that the runtime does not list, and what is said of it."""


def problems(*scripts: str) -> list[list[str]]:
    """What each script has that the runtime does not list."""
    found: list[list[str]] = json.loads(node("lint.mjs", json.dumps(scripts), *LINT))
    return found


def test_the_script_has_only_what_the_runtime_lists() -> None:
    chosen = (ODD_SITES, PLAIN, *SETTINGS.values())
    assert problems(*map(function_source, chosen)) == [[]] * len(chosen)


def test_what_the_runtime_does_not_list_is_found() -> None:
    found = dict(zip(UNLISTED, problems(*UNLISTED), strict=True))
    assert {script: f"1: {text}" for script, text in UNLISTED.items()} == {
        script: each[0] for script, each in found.items()
    }


def test_a_fifth_of_the_length_is_left_for_the_policy() -> None:
    assert len(function_source(settings())) < 0.8 * LONGEST_FUNCTION


def regional(name: str) -> Any:
    regions = [name for name in sorted(known_regions()) if name.count("-") == 2][:28]
    assert len(regions) == 28
    return settings(site={
        "targets": {region: {"bucket": name.format(region, number * 104729)}
                    for number, region in enumerate(regions) if not region.startswith("cn")},
    })  # fmt: skip


@pytest.mark.parametrize("name", ["{0}-downloads", "a-name-without-rule-{1:x}"])
def test_28_targets_fit(name: str) -> None:
    assert len(function_source(regional(name)).encode()) < LONGEST_FUNCTION


def test_what_does_not_fit_is_refused() -> None:
    chosen = settings(site={"opt_out": {"networks": [f"10.{i}.0.0/24" for i in range(250)]}})
    with pytest.raises(ConfigError, match="CloudFront takes 10240"):
        function_source(chosen)


@pytest.mark.parametrize(
    ("site", "message"),
    [
        ({"redirect": {"paths": ["*[é].zip"]}}, "redirect.paths: .é. has a character"),
        ({"opt_out": {"user_agents": ["é*"]}}, "opt_out.user_agents: 'é.*' has a character"),
        ({"redirect": {"cookies": ["é"]}}, "redirect.cookies: 'é' has a character"),
    ],
)
def test_a_pattern_that_means_something_else_there_is_refused(site: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        function_source(settings(site=site))
