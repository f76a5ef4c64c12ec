"""What is wrong with settings, a line for each: file and line, key, value found, what to write."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from nearbucket.config.json_schema.expected_values import expected, is_text, words_of
from nearbucket.config.json_schema.schema import schema_at, sections
from nearbucket.config.value_types import SettingError, nearest, without_secrets
from nearbucket.config.yaml_text.yaml_errors import names_secret, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

    from nearbucket.config.yaml_text.yaml_document import Entry, Path_

SECRETS = ("client_address", "origin_secret", "values")
TLS_KEY = ("listen", "tls", "key")
KEY_FILES = ("access_key_file",), ("secret_key_file",)
_OF_THE_LIBRARY = re.compile(r"literal\[.*\]|constrained-.*|function-.*|KeyFiles|\[key\]").fullmatch
"""Parts of pydantic's locations that are no keys, but name a branch of a union."""
_PERCENT = re.compile(r"[-+]?[\d.]+ *%").fullmatch
_SECRET_INSIDE = re.compile(r"(?:secret|password|access_key)\w*:|-----BEGIN", re.IGNORECASE).search
_CLOSE = 0.8
_MISSING = object()


class Sources(NamedTuple):
    """Where the values of a configuration come from.

    Attributes:
        name: The file's name.
        entries: The lines of its values.
        variables: The environment variable of each value that one has set.
        data: All values, merged.
    """

    name: str
    entries: Mapping[Path_, Entry]
    variables: Mapping[Path_, str]
    data: Any

    def place(self, path: Path_) -> str:
        """The variable, or the file and the line, that a value comes from."""
        written = [path[:end] for end in range(len(path), -1, -1)]
        for each in written:
            if each in self.variables:
                return self.variables[each]
            if each in self.entries and each:
                return f"{self.name}:{self.entries[each].line}"
            if each == path or each not in self.entries:
                inside = [key for key in self.variables if key[: len(each)] == each and each]
                if inside:
                    return self.variables[inside[0]]
        return f"{self.name}:1" if self.entries else self.name

    def value(self, path: Path_) -> Any:
        """The value at a path, or ``_MISSING``."""
        found = self.data
        for part in path:
            try:
                found = found[part]
            except (LookupError, TypeError):
                return _MISSING
        return found

    def has(self, path: Path_) -> bool:
        """Whether there is a value at a path, and not only a default."""
        return self.value(path) is not _MISSING

    def shown(self, path: Path_) -> str:
        """The value at a path as it was written, or an empty text if there is none to show."""
        value = self.value(path)
        if value is _MISSING or _is_secret(path, value) or isinstance(value, dict):
            return ""
        entry = self.entries.get(path)
        if entry and entry.text and not isinstance(value, str):
            return entry.text
        return shown(value)


def shown(value: object) -> str:
    """A value as one writes it in YAML, shortened; what is secret in a URL is masked."""
    if isinstance(value, str):
        return quoted(without_secrets(value))
    if value is None or isinstance(value, bool | list | tuple):
        text = without_secrets(json.dumps(value, default=str))
    else:
        text = str(value)
    return quoted(text)[1:-1]


def messages(error: ValidationError, sources: Sources, section: Path_ = ()) -> str:
    """One line for each wrong setting: first those of variables, then by the lines of the file."""
    details = error.errors(include_url=False)
    lines = dict.fromkeys(_message(detail, sources, section) for detail in details)
    lines.pop("", None)
    if not lines:  # the only errors are those of branches that were not meant
        path = section + _path(details[0]["loc"])
        text = _wrong_type(path, sources)
        return message(sources.place(path), ".".join(map(str, path)), text)
    return "\n".join(sorted(lines, key=lambda text: _line_number(text, sources.name)))


def _line_number(text: str, name: str) -> int:
    """The line that a message names in the file; 0 if it names a variable."""
    found = re.match(rf"{re.escape(name)}:(\d+): ", text)
    return int(found[1]) if found else 0


def _path(parts: tuple[str | int, ...]) -> Path_:
    """A location of pydantic without the names of branches of a union."""
    return tuple(part for part in parts if not _OF_THE_LIBRARY(str(part)))


def message(place: str, path: str, text: str) -> str:
    """A line: the place, the key if there is one, what is wrong and what to write."""
    return ": ".join(part for part in (place, path, text) if part)


def _message(detail: ErrorDetails, sources: Sources, section: Path_) -> str:
    parts = detail["loc"]
    path = section + _path(parts)
    found = sources.shown(path)
    match detail:
        case {"type": "too_short", "input": [_, *_] | (_, *_)}:
            return ""  # the list is not empty; its items have errors of their own
        case {"type": "missing"}:
            text, found = _missing(path), ""
        case {"type": "extra_forbidden"}:
            text, found = _unknown(path), ""
        case {"type": "value_error", "ctx": {"error": SettingError() as wrong}}:
            path += wrong.path
            found = sources.shown(path) if wrong.value is None else shown(wrong.value)
            text = str(wrong)
            while wrong.value is not None and sources.value(path) is _MISSING and path:
                path = path[:-1]
        case {"type": "value_error", "ctx": {"error": wrong}}:
            text = str(wrong)
        case _:
            if _is_other_branch(detail, sources.value(path)):
                return ""
            text = _wrong_type(path, sources)
    if parts[-1:] == ("[key]",):
        found = shown(path[-1])
    text = f"{found} {text}" if found else text
    *above, last = path or ("",)
    if names_secret(str(last)):  # may be a key and its value, without a space after the colon
        last = str(last).partition(":")[0]
    return message(sources.place(path), ".".join(map(str, [*above, last])), text)


def _is_other_branch(detail: ErrorDetails, value: object) -> bool:
    """Whether a mapping was given, and the error is of a branch of the union that is a word."""
    branched = any(_OF_THE_LIBRARY(str(part)) for part in detail["loc"]) or (
        detail["type"] == "literal_error"
    )
    return branched and isinstance(value, dict) and detail["type"] != "model_type"


def _is_secret(path: Path_, value: object) -> bool:
    """Whether a value is a secret, stands where one belongs, or has the key of one inside.

    Of an origin secret only the header is none. Keys may have been written as ``credentials``.
    """
    if path[-1:] == ("credentials",):
        is_word = isinstance(value, str) and nearest(value, words_of(schema_at(path) or {}))
        return isinstance(value, str | list) and not is_word
    within = isinstance(value, str) and _SECRET_INSIDE(value)
    own = path[:2] == SECRETS[:2] and path[2:3] != ("header",)
    return own or bool(within) or path[-1:] in KEY_FILES or path == TLS_KEY


def _missing(path: Path_) -> str:
    schema = schema_at(path) or {}
    meaning = " ".join(str(schema.get("description", "")).replace("``", "").split())
    return f"is required; write {path[-1]}: … ({meaning.rstrip('.')})"


def _wrong_type(path: Path_, sources: Sources) -> str:
    """How to write a value, by the schema."""
    schema = schema_at(path) or {}
    value = sources.value(path)
    what = expected(schema)
    if isinstance(value, dict):
        return f"is a mapping; write {what}"
    if value in ([], ()):
        return f"is empty; write {what}"
    entry = sources.entries.get(path)
    if isinstance(value, int | float) and is_text(schema):
        return f'is not text; put it in quotes: "{entry.text if entry and entry.text else value}"'
    if isinstance(value, str) and not _is_secret(path, value):
        if schema.get("type") == "array" and schema["items"].get("type") == "string":
            return f"is not a list; put it in brackets: {json.dumps([value])}"
        if _PERCENT(value):
            return f"is not a number; leave out the percent sign, and write {what}"
        if near := nearest(value, words_of(schema)):
            return f"cannot be used here; did you mean {near}? (allowed: {what})"
    return f"cannot be used here; write {what}"


def _unknown(path: Path_) -> str:
    """What to write instead of a key that there is not."""
    key = str(path[-1])
    place = re.sub(r"\.(\d+)", "[]", ".".join(map(str, path[:-1])))
    place = re.sub(r"(targets)\.[^.]+", r"\1.<region>", place)
    siblings = sections().get(place, ())
    name, colon, value = key.partition(":")
    if colon and name in siblings:
        value = "…" if names_secret(name, key) else value
        return f"has no space after its colon; write {name}: {value}"
    if (word := re.match(r"\w+(?= ?[\[{])", key)) and word[0] in siblings:
        return f"has no colon before its bracket; write {word[0]}: and then the bracket"
    if near := nearest(key, siblings, _CLOSE):
        return f"is not a key here; did you mean {near}?"
    if home := _homes(key):
        return f"is not a key here; it belongs in {home}"
    if near := nearest(key, siblings):
        return f"is not a key here; did you mean {near}?"
    known = {other for keys in sections().values() for other in keys}
    if near := nearest(key, known, _CLOSE):
        return f"is not a key here; did you mean {near}, which belongs in {_homes(near)}?"
    return f"is not a key here; the keys are {', '.join(siblings)}"


def _homes(key: str) -> str:
    """The sections that have a key."""
    found = [place or "the top level" for place, keys in sections().items() if key in keys]
    return " or ".join(found[:3])
