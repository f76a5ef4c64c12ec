"""The decorator of values that are made for each request.

A frozen dataclass sets each field by a call, and takes several times as long to make
(docs/design.md, "A first request makes few objects").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataclasses import dataclass as record
else:

    def record(*, frozen: bool, slots: bool) -> type:
        """A dataclass that only mypy keeps frozen: each request makes several."""
        return dataclass(slots=slots, unsafe_hash=frozen)


__all__ = ["record"]
