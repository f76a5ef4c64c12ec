"""Shell patterns as regular expressions of JavaScript, for percent-encoded text.

Keys are matched in the encoded form of ``encode_key``, which is ASCII: whatever characters a key
has, the expression means the same in every JavaScript engine and needs no flag. One unit is one
character of the pattern: of a key a code point in UTF-8, of a header field a byte, as the engine
reads such fields as Latin-1.
"""

from __future__ import annotations

import re
from fnmatch import translate
from itertools import count
from typing import TYPE_CHECKING

from nearbucket.errors import ConfigError
from nearbucket.policy.object_keys import encode_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

NOTHING = "(?!)"
"""An expression that matches no text."""

_PART = re.compile(r"\*+|\?|\[!?+\]?+[^\]]*+\]|.", re.DOTALL)  # as fnmatch reads brackets
_STEP = "(?:[^%]|%..)"  # of a star: bytes, as all of a character's bytes are skipped or none
_STAR = f"{_STEP}*"
_BEYOND_ASCII = {
    True: "%[CD].%..|%E.%..%..|%F.%..%..%..",
    False: "%[89A-F].",
}
_SPECIAL = re.compile(r"[.~-]")
_NOT_ASCII = "\u00e9"  # stands for all, where a set names only ASCII


def expression(patterns: Iterable[str], where: str, *, keys: bool) -> str:
    """Source of a regular expression that matches whole texts that one of the patterns matches.

    Args:
        patterns: Shell patterns, in which ``*`` matches slashes too.
        where: Key of the setting, for errors.
        keys: Whether the text is an object key; otherwise the value of a header field.

    Raises:
        ConfigError: A pattern cannot be translated.
    """
    groups = count(1)
    found = [_alternative(pattern, where, keys, groups) for pattern in patterns]
    ends = [each.removeprefix(_STAR) for each in found if each.startswith(_STAR)]
    others = [each for each in found if not each.startswith(_STAR)]
    if ends:
        others.append(f"{_STAR}(?:{'|'.join(ends)})")
    return f"^(?:{'|'.join(others)})$" if others else NOTHING


def _alternative(pattern: str, where: str, keys: bool, groups: Iterator[int]) -> str:  # noqa: FBT001
    """One pattern. What stands between two stars is found once, at the first place where it is.

    A lookahead with a reference to its group does that, since JavaScript has no atomic groups:
    without, a key could make an expression with several stars try each combination of places.
    """
    if not keys and not pattern.isascii():
        raise ConfigError(
            f"{where}: {pattern!r} has a character that is not ASCII: CloudFront may show such a "
            "field to functions in another encoding than it was sent in; write * or ? instead"
        )
    pieces = [""]
    for part in _PART.findall(pattern):
        if part.startswith("*"):
            pieces.append("")
        else:
            pieces[-1] += _unit(part, where, keys)
    first, *others = pieces
    if not others:
        return first
    *middle, last = others
    found = (f"(?=({_STEP}*?{piece}))\\{next(groups)}" for piece in middle)
    return f"{first}{''.join(found)}{_STAR}{last}"


def _unit(part: str, where: str, keys: bool) -> str:  # noqa: FBT001
    """What one unit of the pattern matches: a character, ``?``, or a set in brackets."""
    beyond = _BEYOND_ASCII[keys]
    if part == "?":
        return f"(?:[^%]|%[0-7].|{beyond})"
    if len(part) == 1:
        return _SPECIAL.sub(r"\\\g<0>", encode_key(part))
    if not part.isascii():
        raise ConfigError(
            f"{where}: {part} has a character that is not ASCII; write a pattern for each"
        )
    holds = re.compile(translate(part)).fullmatch
    chosen = [char for char in map(chr, range(128)) if holds(char)]
    others = [char for char in map(chr, range(128)) if not holds(char)]
    more = [beyond] if holds(_NOT_ASCII) else []
    if len(chosen) < len(others):
        return _one_of(chosen, more)
    return f"(?!{_one_of(others, [])})(?:{'|'.join(['[^%]', '%[0-7].', *more])})"


def _one_of(characters: Iterable[str], more: list[str]) -> str:
    """An expression for one of some ASCII characters, or for what other expressions match."""
    texts = [encode_key(char) for char in characters]
    plain = "".join(_SPECIAL.sub(r"\\\g<0>", text) for text in texts if len(text) == 1)
    found = [f"[{plain}]"] * bool(plain) + [text for text in texts if len(text) > 1] + more
    return f"(?:{'|'.join(found)})" if found else NOTHING
