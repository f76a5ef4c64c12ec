"""Reading YAML: version 1.2's values, merge keys, ``x-`` keys, lines, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from nearbucket.config.yaml_text.yaml_document import read_yaml, write_yaml
from nearbucket.config.yaml_text.yaml_errors import Fault


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("010", 10), ("0x10", 16), ("0o10", 8), ("-5", -5), ("+5", 5), ("1e3", 1000.0), (".5", 0.5),
        ("1:30", "1:30"), ("12:30:45", "12:30:45"), ("1_000", "1_000"), ("0b11", "0b11"),
        ("on", "on"), ("off", "off"), ("yes", "yes"), ("no", "no"), ("y", "y"),
        ("true", True), ("False", False), ("null", None), ("~", None), ("", None),
        ("2026-01-31", "2026-01-31"), ("2026-01-31T10:00:00Z", "2026-01-31T10:00:00Z"),
        ("'010'", "010"), ('"true"', "true"), ("!!str 010", "010"), ("<<", "<<"), ("=", "="),
    ],
)  # fmt: skip
def test_a_plain_value_is_what_yaml_1_2_reads(text: str, value: object) -> None:
    found = read_yaml(f"a: {text}\n").data["a"]
    assert (found, type(found)) == (value, type(value))


def test_every_key_is_text_as_it_is_written() -> None:
    text = "a: {on: 1, 010: 2, 2026-01-31: 3, null: 4, 10.0.0.0/8: 5}\n"
    assert list(read_yaml(text).data["a"]) == ["on", "010", "2026-01-31", "null", "10.0.0.0/8"]


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("x-a: &a {p: 1, q: 2}\nb: {<<: *a, q: 3}\n", {"b": {"p": 1, "q": 3}}),
        ("x-a: &a {p: 1, q: 2}\nb: {q: 3, <<: *a}\n", {"b": {"p": 1, "q": 3}}),
        ("x-a: &a {p: 1}\nx-b: &b {p: 2, q: 2}\nc: {<<: [*a, *b]}\n", {"c": {"p": 1, "q": 2}}),
        ("x-a: &a {p: 1}\nx-b: &b {<<: *a, q: 2}\nc: {<<: *b}\n", {"c": {"p": 1, "q": 2}}),
        ("x-a: &a [1, 2]\nb: *a\nc: *a\n", {"b": [1, 2], "c": [1, 2]}),
        ("a: {x-b: 1}\n", {"a": {"x-b": 1}}),
        ("x-a: &a {p: {q: 1}}\nb: {<<: *a}\n", {"b": {"p": {"q": 1}}}),
        ("b: {'<<': 1}\n", {"b": {"<<": 1}}),
    ],
)
def test_merge_keys_and_top_level_x_keys_are_for_parts_that_are_used_twice(
    text: str, data: object
) -> None:
    assert read_yaml(text).data == data


def test_an_alias_gives_each_place_a_value_of_its_own() -> None:
    data = read_yaml("x-a: &a {p: [1]}\nb: *a\nc: *a\n").data
    data["b"]["p"].append(2)
    assert data["c"] == {"p": [1]}


def test_lines_are_those_of_the_keys_and_of_the_items_also_of_merged_ones() -> None:
    text = "x-a: &a\n  p: 010\nb:\n  <<: *a\n  c:\n    - 1\n    -\n      d: |\n        text\n"
    entries = read_yaml(text).entries
    lines = {".".join(map(str, path)): entry.line for path, entry in entries.items() if path}
    assert lines == {"x-a": 1, "b": 3, "b.p": 2, "b.c": 5, "b.c.0": 6, "b.c.1": 8, "b.c.1.d": 8}
    assert entries["b", "p"].text == "010"


PLAIN = [
    "010", "0x10", "0o17", "1e3", "1:30", "on", "yes", "true", "null", "~", "", "<<", "-", "*a",
    "088122223333", ".5", ".inf", "2026-01-31", "a: b", "a #b", "x\ny", "é", 1, 0.5, 1e20, True,
    None, [], {}, ["010"], {"on": "off"},
]  # fmt: skip


@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_what_is_written_is_read_as_the_same_value(value: object) -> None:
    found = read_yaml(write_yaml({"a": value})).data["a"]
    assert (found, type(found)) == (value, type(value))


LAUGHS = "".join(f"a{n}: &a{n} [{', '.join(9 * [f'*a{n - 1}'])}]\n" for n in range(1, 10))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param(f"a0: &a0 [1]\n{LAUGHS}", "repeat without end", id="billion laughs"),
        pytest.param("a: &a {b: *a}\n", "repeat without end", id="an alias of itself"),
        pytest.param("a: &a {<<: *a}\n", "takes a mapping", id="a merge of itself"),
        pytest.param("[\n" * 1500 + "]" * 1500, "not valid YAML", id="deep"),
        pytest.param("a: {b: 1, b: 2}\n", "already in line 1", id="a key twice"),
        pytest.param("a: !!python/object:os.system x\n", "is a tag", id="a tag"),
        pytest.param("a: !include x\n", "is a tag", id="an inclusion"),
    ],
)
def test_what_a_configuration_cannot_have_is_refused(text: str, says: str) -> None:
    with pytest.raises(Fault, match=says):
        read_yaml(text)


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "null\n"])
def test_a_file_without_values_has_none(text: str) -> None:
    assert read_yaml(text).data is None


def test_a_huge_number_stays_text() -> None:
    found: Any = read_yaml(f"a: {'9' * 5000}\n").data["a"]
    assert found == "9" * 5000
