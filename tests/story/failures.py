"""Why a scene failed, in one line."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator


async def failure_of(play: Awaitable[None]) -> str:
    """Play a scene; the first two of its failures, or nothing."""
    failures: list[Exception] = []
    try:
        await play
    except* (AssertionError, TimeoutError) as group:
        failures = list(_leaves(group))
    return "; ".join(map(_told, failures[:2]))


def _leaves(group: BaseExceptionGroup[Exception]) -> Iterator[Exception]:
    for each in group.exceptions:
        if isinstance(each, BaseExceptionGroup):
            yield from _leaves(each)
        else:
            yield each


def _told(error: Exception) -> str:
    line = traceback.extract_tb(error.__traceback__)[-1]
    return f"{line.name}, line {line.lineno}: {line.line} ({error!r})"
