"""Groups object keys by folder and suffix, and proposes shell patterns for the groups. Pure.

A group is a folder and the suffixes of a name: ``releases/1.2/app-1.2.3.tar.xz`` is in
``releases/`` with ``.tar.xz``. Folders are as deep as their bytes deserve: one with more than a
fifth of all bytes is divided into its subfolders. Numbers in the names of folders stand for any:
``v1.13/`` and ``v2.0/`` are ``v*/``.
"""

from __future__ import annotations

import re
from collections import defaultdict
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from nearbucket.config.patterns import pattern_fault
from nearbucket.policy.rules import any_pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_SUFFIXES = re.compile(r"(?:\.(?:[A-Za-z][A-Za-z0-9]{0,7}|7z)){1,3}$")
_NUMBER = re.compile(r"\d+(?:[._-]\d+)*")
_SPECIAL = re.compile(r"[*?\[]")

_DEEPEST = 4
"""Folders inside each other that are told apart."""
_DIVIDED = 0.2
"""Share of all bytes from which a folder is divided into its subfolders."""
_RARE = 0.002
"""Share of all bytes below which folders and chains of suffixes are not told apart."""


class KeyGroup(NamedTuple):
    """Objects in one folder with one chain of suffixes.

    Attributes:
        folder: Shell pattern of the folder with its slash; empty: the root, or any rare folder.
        suffix: Chain of suffixes with its first dot; empty: none, or a rare one.
    """

    folder: str
    suffix: str


class KeyGrouping:
    """Finds the groups of keys, once all of them have been weighed."""

    def __init__(self) -> None:
        """Begin with no keys."""
        self._total = 0.0
        self._folders: defaultdict[str, float] = defaultdict(float)
        self._suffixes: defaultdict[str, float] = defaultdict(float)

    def weigh(self, finest: KeyGroup, weight: float) -> None:
        """Count the bytes of the keys in a group that ``finest_group`` gives."""
        self._total += weight
        for path in _levels(finest.folder):
            self._folders[path] += weight
        for tail in _tails(finest.suffix):
            self._suffixes[tail] += weight

    def group(self, finest: KeyGroup) -> KeyGroup:
        """The group for the keys of a group that ``finest_group`` gives."""
        return KeyGroup(self._folder(finest.folder), self._suffix(finest.suffix))

    def _folder(self, deepest: str) -> str:
        chosen = ""
        for path in _levels(deepest):
            if self._folders[path] <= self._total * _RARE:
                break
            chosen = path
            if self._folders[path] <= self._total * _DIVIDED:
                break
        return chosen

    def _suffix(self, chain: str) -> str:
        """The chain of suffixes, without leading parts that make it a rare one."""
        least = self._total * _RARE
        return next((tail for tail in _tails(chain) if self._suffixes[tail] > least), "")


def finest_group(key: str) -> KeyGroup:
    """The deepest folder of a key that is told apart, and all of its suffixes."""
    found = _SUFFIXES.search(key)
    return KeyGroup(
        _deepest(key.rpartition("/")[0]) if "/" in key else "", found[0] if found else ""
    )


@lru_cache(1 << 14)
def _deepest(path: str) -> str:
    """The pattern for the part of a key before its last slash; at most ``_DEEPEST`` folders."""
    names = path.split("/")[:_DEEPEST]
    return "".join(_NUMBER.sub("*", _SPECIAL.sub(r"[\g<0>]", name)) + "/" for name in names)


def _levels(folder: str) -> list[str]:
    """The folders of a folder's pattern, the outermost first, itself the last."""
    return list(accumulate(f"{name}/" for name in folder.split("/")[:-1]))


def _tails(chain: str) -> list[str]:
    """A chain of suffixes, and what remains of it without its first parts."""
    return [chain[at:] for at, letter in enumerate(chain) if letter == "."]


def patterns_for(groups: Iterable[KeyGroup]) -> list[str]:
    """Patterns for folders and suffixes, the most general of equal ones first."""
    ranked: dict[str, tuple[int, int]] = {}
    for folder, suffix in groups:
        tails = _tails(suffix)
        folders = _levels(folder)
        names = {
            **{f"*{tail}": (0 if tail == suffix else 2, 0) for tail in tails},
            **{f"{each}*": (1, depth) for depth, each in enumerate(folders)},
            **{
                f"{each}*{tail}": (3, depth) for depth, each in enumerate(folders) for tail in tails
            },
        }
        for name, rank in names.items():
            ranked[name] = min(rank, ranked.get(name, rank))
    usable = (name for name in ranked if pattern_fault(name) is None and not name.startswith("/"))
    return sorted(usable, key=lambda name: (ranked[name], len(name), name))


def coverage(
    patterns: Iterable[str], examples: Mapping[int, Iterable[str]]
) -> dict[str, frozenset[int]]:
    """The groups that each pattern covers; of patterns that cover the same, the first.

    Args:
        patterns: Shell patterns, in order of preference.
        examples: Some keys of each group. A pattern covers a group if it matches all of them.
    """
    covered: dict[frozenset[int], str] = {}
    for pattern in patterns:
        matches = any_pattern((pattern,)).fullmatch
        groups = frozenset(
            number for number, keys in examples.items() if all(matches(key) for key in keys)
        )
        if groups:
            covered.setdefault(groups, pattern)
    return {pattern: groups for groups, pattern in covered.items()}


def first_match(patterns: Iterable[str]) -> Callable[[str], str]:
    """A function that gives the first pattern that matches a key; empty if none does."""
    compiled = [(pattern, any_pattern((pattern,)).fullmatch) for pattern in patterns]

    def first(key: str) -> str:
        return next((pattern for pattern, matches in compiled if matches(key)), "")

    return first
