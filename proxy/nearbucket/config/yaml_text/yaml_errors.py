"""Says what is wrong in a file that is not YAML: line, key, what was found, how to write it."""

from __future__ import annotations

import re
from typing import NamedTuple

import yaml

from nearbucket.config.value_types import without_secrets

_LONGEST = 60
_KEY = re.compile(r"^ *(?:- +)*([A-Za-z0-9_.-]+) *:(?: |$)")
_INNER_KEY = re.compile(r".*(?<![A-Za-z0-9_-])([A-Za-z0-9_-]+): ")
_NO_SPACE = re.compile(r"\s*(?:- +)*([a-z_]+):([^\s/].*)")
_CONFLICT = re.compile(r"(?:<{7}|={7}|>{7})(?: |$)").match
_SECRET = re.compile(
    r"secret|password|access_key|values|credentials|^key$|\bkey:|-----BEGIN", re.IGNORECASE
)
_BELOW_SECRET = re.compile(r"(origin_secret\.values(?:\.\d+(?![^.]))?+)\..*", re.DOTALL)
_WORD = re.compile(r"[a-z_]+ *$")


class _Cure(NamedTuple):
    """How an error of PyYAML's is explained.

    Attributes:
        says: Matches PyYAML's text.
        text: What is wrong and what to write; ``{found}`` is the value at the place.
        at_start: Whether the place is where the construct begins, not where reading stopped.
    """

    says: re.Pattern[str]
    text: str
    at_start: bool = False


def _cure(says: str, text: str, *, at_start: bool = False) -> _Cure:
    return _Cure(re.compile(says), text, at_start)


_CURES = (
    _cure("found undefined alias", "{found} is an alias without an anchor; if it is text that "
          'begins with *, put it in quotes: "{found}"'),
    _cure("scanning an alias", '{found} begins with *; put it in quotes: "{found}"',
          at_start=True),
    _cure("scanning an anchor", '{found} begins with &; put it in quotes: "{found}"',
          at_start=True),
    _cure(r"'\\t'", "the line begins with a tab; indent it with spaces"),
    _cure("cannot start any token|directive",
          '{found} begins with a special character; put it in quotes: "{found}"'),
    _cure("unknown escape character", "{line} has a backslash in double quotes; put the text in "
          "single quotes: '…'"),
    _cure("chomping or indentation indicators|comment or a line break|mapping keys",
          "{line} has a special character (| > or ?); put the text in quotes"),
    _cure("scanning a quoted scalar", "{found} has no closing quote; add it", at_start=True),
    _cure("mapping values are not allowed", "{line} has a colon too many, or a line before it has "
          'too few; write "key: value" with a space after the colon, and put text with a colon in '
          "quotes"),
    _cure("could not find expected ':'", "{line} has no colon after its key; write key: value"),
    _cure("expected the node content, but found '[,}\\]]'",
          "{line} has a bracket or comma too many; remove it, or put the text in quotes"),
    _cure("flow (?:node|mapping|sequence)", "{found} is not closed, or has a special character "
          "inside; add the ] or }, and put text with : , [ ] { } in quotes"),
    _cure("block (?:collection|mapping|sequence|end)|sequence entries",
          "{line} is not indented like the other lines of its list or mapping; indent it as they "
          "are"),
    _cure("single document", "--- begins a second document; remove it, or keep only one"),
    _cure("duplicate anchor|found duplicate", "{found} is an anchor that is already used; give it "
          "another name"),
)  # fmt: skip


class Fault(Exception):  # noqa: N818  # not for callers: ``file`` makes a ConfigError of it
    """Something in a file that cannot be read; ``line`` is None where it is not known."""

    def __init__(self, line: int | None, key: str, text: str) -> None:
        super().__init__(text)
        self.line = line
        self.key = _BELOW_SECRET.sub(r"\1", key)
        self.text = text


def fault_of(error: yaml.YAMLError, text: str) -> Fault:
    """What an error of PyYAML's means."""
    lines = text.splitlines()
    if marks := [number for number, line in enumerate(lines, 1) if _CONFLICT(line)]:
        begins = lines[marks[0] - 1][:7]
        about = f"{begins} marks a merge conflict; remove the marks and one of the two sides"
        return Fault(marks[0], "", about)
    if not isinstance(error, yaml.MarkedYAMLError):
        return _unreadable(error, lines, text)
    said = f"{error.context or ''} {error.problem or ''}"
    cure = next((each for each in _CURES if each.says.search(said)), None)
    mark = error.context_mark if cure and cure.at_start else error.problem_mark
    mark = mark or error.problem_mark or error.context_mark
    number = min(mark.line, max(len(lines) - 1, 0)) if mark else 0
    column = mark.column if mark else 0
    if "flow" in said:
        number, column = _open_bracket(lines, number, column)
    line = lines[number] if lines else ""
    before = lines[number - 1] if number else ""
    if "mapping values" in said and (joined := _NO_SPACE.fullmatch(before)):
        # the line was read as the first line of a text that this one continues
        value = "…" if names_secret(joined[1], before) else joined[2]
        about = f"{joined[1]}:{value} needs a space after the colon: {joined[1]}: {value}"
        return Fault(number, ".".join([*_parents(lines, number - 1), joined[1]]), about)
    is_secret = bool(lines) and _may_be_secret(lines, number)
    shown = "a secret" if is_secret else _shorten(line.split(" #")[0].strip())
    found = "a secret" if is_secret else _token(line, column) or shown
    problem = "" if is_secret else f": {error.problem}"
    about = cure.text if cure else f"{{line}} is not YAML{problem}; put text in quotes"
    filled = about.replace("{found}", found).replace("{line}", quoted(shown))
    stop = error.problem_mark
    if stop and stop.line == number:  # a key further right, inside what is not closed
        column = max(column, stop.column)
    return Fault(number + 1, _key_at(lines, number, column), filled)


def _open_bracket(lines: list[str], number: int, column: int) -> tuple[int, int]:
    """Where the innermost bracket before a place begins that is not closed there."""
    closed = 0
    for index in range(min(number, len(lines) - 1), -1, -1):
        line = lines[index][:column] if index == number else lines[index]
        for position in range(len(line) - 1, -1, -1):
            closed += (line[position] in "]}") - (line[position] in "[{")
            if closed < 0:
                return index, position
    return number, column


def _unreadable(error: yaml.YAMLError, lines: list[str], text: str) -> Fault:
    """A character that YAML does not allow; PyYAML gives its position in the whole file."""
    position = getattr(error, "position", 0)
    number = text.count("\n", 0, position)
    character = f"U+{ord(text[position]):04X}" if position < len(text) else "a character"
    column = position - (text.rfind("\n", 0, position) + 1)
    about = f"{character} is not allowed in YAML; remove it, or save the file as UTF-8"
    return Fault(number + 1, _key_at(lines, number, column), about)


def _token(line: str, column: int) -> str:
    """The value that begins at a column, as far as it goes."""
    rest = line[column:].split(" #", maxsplit=1)[0].strip()
    token = re.match(r"[^\s,\]}]+", rest)
    return _shorten(rest if rest[:1] in "[{\"'" else token[0] if token else rest)


def names_secret(*texts: str) -> bool:
    """Whether a line, or a key that it is below, shows that a secret may stand there."""
    return any(_SECRET.search(text) or without_secrets(text) != text for text in texts)


def _may_be_secret(lines: list[str], number: int) -> bool:
    """Whether a line names a secret, is below its key, or is a misindented part of it."""
    line = lines[number]
    texts = [line, *_parents(lines, number)]
    if not _KEY.match(line) and not _WORD.match(line):
        with_keys = (each for each in reversed(lines[:number]) if ":" in each)
        texts += [each for each in with_keys if each.lstrip()[0] != "#"][:1]
    return names_secret(*texts)


def quoted(text: str) -> str:
    """Text in quotes on one line, shortened, as a message shows it."""
    return f"'{_shorten(''.join(each if each.isprintable() else '?' for each in text))}'"


def _shorten(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _key_at(lines: list[str], number: int, column: int) -> str:
    """The key at a place, with those above it by indentation and the numbers of items."""
    if not lines:
        return ""
    inner = _INNER_KEY.match(lines[number][:column])
    parts = _parents(lines, number)
    if inner and inner[1] not in parts[-1:]:
        parts.append(inner[1])
    return ".".join(parts)


def _parents(lines: list[str], number: int) -> list[str]:
    """The keys and item numbers that a line is below, and its own, by indentation."""
    parts: list[str] = []
    limit = _depth(lines[number]) + 1
    below_item = False
    for index in range(number, -1, -1):
        line = lines[index]
        indent = len(line) - len(line.lstrip())
        is_item = line[indent:].startswith("- ")
        # a list may be indented like the key that it belongs to
        inside = indent < limit or (below_item and indent == limit and not is_item)
        if not line.strip() or line[indent] == "#" or not inside:
            continue
        key = _KEY.match(line)
        if key and (_depth(line) < limit or not is_item):
            parts.insert(0, key[1])
        if is_item:
            parts.insert(0, str(_items_before(lines, index)))
        limit, below_item = indent, is_item
    return parts


def _depth(line: str) -> int:
    """Column of the first character that is neither a space nor the dash of an item."""
    return len(line) - len(re.sub(r"^ *(?:- +)*", "", line))


def _items_before(lines: list[str], number: int) -> int:
    """How many items the list has before the one in a line."""
    indent = len(lines[number]) - len(lines[number].lstrip())
    count = 0
    for line in reversed(lines[:number]):
        own = len(line) - len(line.lstrip())
        if line.strip() and (own < indent or (own == indent and not line[own:].startswith("-"))):
            break
        count += own == indent and line[own:].startswith("-")
    return count
