"""The JSON Schema of the configuration, and the schema at one key of it."""

from __future__ import annotations

import ast
import inspect
import json
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from nearbucket.config.settings import Settings
from nearbucket.config.value_types import Section

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nearbucket.config.yaml_text.yaml_document import Path_

Schema = dict[str, Any]


@cache
def json_schema() -> Schema:
    """The schema, for editors and for messages; the caller does not change it."""
    text = json.dumps(Settings.model_json_schema(by_alias=True))
    schema: Schema = json.loads(text.replace("``", "`"))  # as Markdown, which editors show
    texts, defaults = _descriptions(), _defaults()
    for section in (schema, *schema["$defs"].values()):
        for name, setting in section["properties"].items():
            if "default" in setting:
                setting["default"] = defaults[section["title"]][name]
            description = texts.get((section["title"], name))
            if description is None and "$ref" in setting:  # then that of the section
                inner = schema["$defs"][setting["$ref"].rpartition("/")[2]]
                description = inner["description"]
            if description is not None:
                described = {**setting, "description": description}
                section["properties"][name] = dict(sorted(described.items()))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:nearbucket:configuration",
        **schema,
        # parts of the file that anchors refer to
        "patternProperties": {"^x-": True},
    }


def _defaults() -> dict[str, dict[str, Any]]:
    """The default of each setting as it is written, such as ``1h``, by class and name."""
    return {
        section.__name__: section.model_construct().model_dump(
            mode="json", by_alias=True, warnings=False
        )
        for section in _subclasses(Section)
    }


def _descriptions() -> dict[tuple[str, str], str]:
    """The docstring of each setting, by its section's class and its name."""
    found = {}
    for section in _subclasses(Section):
        parents = [each for each in reversed(section.__mro__) if issubclass(each, Section)]
        for each in parents:
            for name, text in _attribute_docstrings(each):
                alias = section.model_fields[name].alias or name
                found[section.__name__, alias] = text.replace("``", "`")
    return found


def _subclasses(parent: type[Section]) -> Iterator[type[Section]]:
    for each in parent.__subclasses__():
        yield each
        yield from _subclasses(each)


@cache
def _attribute_docstrings(section: type[Section]) -> list[tuple[str, str]]:
    """Names and docstrings of the fields in the body of a class."""
    (tree,) = ast.parse(inspect.getsource(section)).body
    body = tree.body if isinstance(tree, ast.ClassDef) else []
    return [
        (field.target.id, inspect.cleandoc(text.value.value))
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    ]


def schema_at(path: Path_) -> Schema | None:
    """The schema of the value at a path, or None if there is no such setting."""
    found: Schema | None = json_schema()
    for part in path:
        if found is None:
            return None
        found = next((inner for each in alternatives(found) if (inner := _below(each, part))), None)
    return found


def alternatives(schema: Schema) -> Iterator[Schema]:
    """The schemas of which a value has to fit one, without references."""
    if "$ref" in schema:
        yield json_schema()["$defs"][schema["$ref"].rpartition("/")[2]]
    elif "anyOf" in schema:
        for each in schema["anyOf"]:
            yield from alternatives(each)
    else:
        yield schema


def _below(schema: Schema, part: str | int) -> Schema | None:
    found: Any
    if isinstance(part, int):
        found = schema.get("items")
    else:
        others = schema.get("additionalProperties")
        found = schema.get("properties", {}).get(part, others)
    return found if isinstance(found, dict) else None


@cache
def sections() -> Mapping[str, tuple[str, ...]]:
    """The keys of each section, by its place, such as ``sites[].redirect``."""
    return dict(_sections(json_schema(), ""))


def _sections(schema: Schema, place: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    for each in alternatives(schema):
        properties = each.get("properties", {})
        if properties:
            yield place, tuple(properties)
        for key, value in properties.items():
            yield from _sections(value, f"{place}.{key}".removeprefix("."))
        if isinstance(each.get("items"), dict):
            yield from _sections(each["items"], f"{place}[]")
        if isinstance(each.get("additionalProperties"), dict):
            yield from _sections(each["additionalProperties"], f"{place}.<region>")
