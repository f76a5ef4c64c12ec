"""Shell patterns, and what is written in their place by mistake."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

from nearbucket.config.value_types import SettingError

_ALTERNATIVES = re.compile(r"\([^()]*\|[^()]*\)")
_CLASS = re.compile(r"\[(?:!.|[^!])[^\]]*\]", re.DOTALL)
"""One of several characters, as ``fnmatch`` reads it; a ] that comes first is one of them."""
_BRACES = re.compile(r"\{[^{}]*,[^{}]*\}")


def pattern_fault(pattern: str) -> str | None:
    """What is wrong with a shell pattern, as a predicate; None if nothing is.

    A regular expression would be taken for a pattern that matches no key at all. Characters that
    only look like one can be written in brackets: ``[$]``.
    """
    if not pattern:
        return "is empty and matches nothing; remove it"
    plain = _CLASS.sub("?", pattern)
    if _ALTERNATIVES.search(plain) or _BRACES.search(plain):
        return "has alternatives, which shell patterns do not have; write a pattern for each"
    if "\\" in pattern or _is_expression(plain):
        shell = _shell_pattern(pattern)
        return f'is a regular expression; write a shell pattern, perhaps "{shell}"'
    if "[" in plain:
        return "has a bracket that is not closed; add the ], or write [[] for the character ["
    return None


def _is_expression(pattern: str) -> bool:
    """Whether a pattern without its brackets has what only regular expressions have."""
    # Hadoop's markers of folders end in _$folder$
    ends = pattern.endswith((".+", "$")) and not pattern.endswith("_$folder$")
    begins = pattern.startswith(("^", ".+")) or re.match(r"\.\*[^/]", pattern) is not None
    return begins or ends


def _shell_pattern(expression: str) -> str:
    """A shell pattern that may be what a regular expression means."""
    body = expression.removeprefix("^").removesuffix("$")
    text = re.sub(r"\.[*+]\??", "*", body)
    text = re.sub(r"\\(.)", r"\1", text)
    front = "" if expression.startswith("^") else "*"
    back = "" if expression.endswith("$") else "*"
    return re.sub(r"\*+", "*", f"{front}{text}{back}")


def _patterns(values: tuple[str, ...]) -> tuple[str, ...]:
    for number, value in enumerate(values):
        if fault := pattern_fault(value):
            raise SettingError(fault, number)
    return values


def _key_patterns(values: tuple[str, ...]) -> tuple[str, ...]:
    for number, value in enumerate(values):
        if value.startswith("/"):
            better = value.lstrip("/") or "*"
            raise SettingError(f"begins with a slash, as no key does; write {better}", number)
    return _patterns(values)


Patterns = Annotated[tuple[str, ...], AfterValidator(_patterns)]
"""Shell patterns for any text."""
KeyPatterns = Annotated[tuple[str, ...], AfterValidator(_key_patterns)]
"""Shell patterns for object keys, in which ``*`` matches slashes too."""
