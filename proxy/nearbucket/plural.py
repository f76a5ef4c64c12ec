"""A count and its noun, as every message and report writes it."""

from __future__ import annotations


def plural(number: int, noun: str) -> str:
    """A count with commas, and its noun: 1 file, 2,000 files."""
    if number == 1:
        return f"1 {noun}"
    return f"{number:,} {noun}{'es' if noun.endswith(('s', 'x')) else 's'}"
