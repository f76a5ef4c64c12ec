"""The JSON document, and its schema.

The document has the values of ``analysis/answers.py`` under the names of their attributes. The
counts are at the top level; ``first`` and ``last`` of the scope are ``from`` and ``to``. Text of a
log is written as it is, in ASCII with escapes.
"""

from __future__ import annotations

import json
import re
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from inspect import cleandoc
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from nearbucket.analysis import answers
from nearbucket.analysis.answers import Counts, Report, Scope

_TOTALS = ("requests", "bytes", "downloads", "aborted")
"""Counts of everything; in the document together under ``totals``."""
_RENAMED = {"first": "from", "last": "to"}
"""Names of the scope that differ in the document: ``from`` is a word of Python."""
_SIMPLE: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    date: {"type": "string", "format": "date"},
    datetime: {"type": "string", "format": "date-time"},
}
_ATTRIBUTE = re.compile(r"^    (\w+): (.+(?:\n {5,}.+)*)", re.MULTILINE)

_DIGITS = 6
"""Behind the point. The last digits of a sum depend on the order of rows, which DuckDB's threads
give in any order: without those digits, the same logs give the same document."""

Node = dict[str, Any]


def as_json(report: Report) -> str:
    """The document, with indentation."""
    return json.dumps(document(report), indent=2, allow_nan=False) + "\n"


def document(report: Report) -> Node:
    """The document as plain values."""
    whole = _plain(report)
    counts = whole.pop("counts")
    totals = {name: counts.pop(name) for name in _TOTALS}
    return {
        "scope": whole.pop("scope"),
        "totals": totals,
        "bill": whole.pop("bill"),
        **counts,
        **whole,
    }


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        names = _RENAMED if isinstance(value, Scope) else {}
        return {
            names.get(each.name, each.name): _plain(getattr(value, each.name))
            for each in fields(value)
        }
    if isinstance(value, float):
        return round(value, _DIGITS) + 0.0  # never -0.0
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    return value


def report_schema() -> Node:
    """The JSON Schema of the document, with the descriptions of the attributes."""
    whole, counts = _schema_of(Report), _schema_of(Counts)
    ours = {name: counts["properties"].pop(name) for name in _TOTALS}
    totals = _object(ours) | {"description": "Sums of all requests."}
    own = whole["properties"]
    del own["counts"]
    properties = {
        "scope": own.pop("scope"),
        "totals": totals,
        "bill": own.pop("bill"),
        **counts["properties"],
        **own,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "nearbucket analyze --format json",
        "description": _units(),
        **_object(properties),
    }


def _units() -> str:
    text = " ".join((answers.__doc__ or "").partition("Units: ")[2].replace("``", "`").split())
    return text[:1].upper() + text[1:]


def _object(properties: Node) -> Node:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _schema_of(kind: Any) -> Node:
    hints = get_type_hints(kind, {**vars(answers), "date": date, "datetime": datetime})
    told = _descriptions(kind)
    names = _RENAMED if kind is Scope else {}
    return _object(
        {
            names.get(name, name): _schema(hint) | {"description": told[name]}
            for name, hint in hints.items()
        }
    )


def _schema(hint: Any) -> Node:
    arguments = get_args(hint)
    if get_origin(hint) in {Union, UnionType}:
        (only,) = (each for each in arguments if each is not NoneType)
        return {"anyOf": [_schema(only), {"type": "null"}]}
    if get_origin(hint) is tuple:
        return {"type": "array", "items": _schema(arguments[0])}
    if get_origin(hint) is dict:
        return {"type": "object", "additionalProperties": _schema(arguments[1])}
    return _schema_of(hint) if is_dataclass(hint) else dict(_SIMPLE[hint])


def _descriptions(kind: Any) -> dict[str, str]:
    """Each attribute of a class and what its docstring says of it."""
    text = cleandoc(kind.__doc__).partition("Attributes:\n")[2]
    return {
        name: " ".join(words.replace("``", "`").split()) for name, words in _ATTRIBUTE.findall(text)
    }
