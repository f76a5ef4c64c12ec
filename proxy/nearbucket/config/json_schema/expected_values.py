"""What the schema expects of a value, as the end of a sentence."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from nearbucket.config.json_schema.schema import alternatives

if TYPE_CHECKING:
    from nearbucket.config.json_schema.schema import Schema

_MANY_KEYS = 4


def expected(schema: Schema) -> str:
    """What to write: ``auto or a whole number from 1 to 256``."""
    options = [_option(each) for each in alternatives(schema)]
    return _listed(list(dict.fromkeys(options)))


def words_of(schema: Schema) -> list[str]:
    """The words that a value may be."""
    return [
        word
        for each in alternatives(schema)
        for word in each.get("enum", [each.get("const")])
        if isinstance(word, str)
    ]


def is_text(schema: Schema) -> bool:
    """Whether a value has to be text, or may be left out."""
    kinds = [each for each in alternatives(schema) if each.get("type") != "null"]
    return all(each.get("type") == "string" and not words_of(each) for each in kinds)


def _listed(options: list[str]) -> str:
    *first, last = options
    return f"{', '.join(first)} or {last}" if first else last


def _option(schema: Schema) -> str:
    if "enum" in schema or "const" in schema:
        return _listed([str(word) for word in schema.get("enum", [schema.get("const")])])
    match schema.get("type"):
        case "integer":
            return f"a whole number{_bounds(schema)}"
        case "number":
            return f"a number{_bounds(schema)}"
        case "boolean":
            return "true or false"
        case "null":
            return "null"
        case "array":
            return _list(schema)
        case "object" if "properties" in schema:
            return f"a mapping of {_keys(schema)}"
        case "object":
            return "a mapping: a key, a colon and a value in each line"
    return "text"


def _bounds(schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if high is None:
        return "" if low is None else f" of at least {int(low)}"
    return f" from {int(low or 0)} to {int(high)}"


def _list(schema: Schema) -> str:
    items = next(alternatives(schema["items"]))
    if items.get("type") == "object":
        return f'a list of mappings, with "- " before the first key of each ({_keys(items)})'
    example = schema.get("default") or items.get("enum", ["a", "b"])
    return f"a list such as {json.dumps(example[:2])}"


def _keys(schema: Schema) -> str:
    names = list(dict.fromkeys(schema.get("required", []) + list(schema["properties"])))
    return ", ".join(names[:_MANY_KEYS]) + (", …" if len(names) > _MANY_KEYS else "")
