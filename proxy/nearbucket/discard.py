"""Large dictionaries that nobody needs any more, taken apart between two turns of the loop.

In: dictionaries that only the caller had. Out: nothing; in a while their memory is free. Refuses
to know what is in them.

To let a dictionary of 20,000 remembered requests go at once would hold a worker's loop, and with
it every client, for 8 ms.
"""

from __future__ import annotations

import asyncio
from typing import Any

_AT_A_TIME = 256
"""Entries a turn of the loop: about a tenth of a millisecond."""


def let_go(*kept: dict[Any, Any]) -> None:
    """Empty dictionaries bit by bit; where no loop runs nobody waits, and they go at once.

    Args:
        kept: The dictionaries; nobody else may use them.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return
    full = [each for each in kept if each]
    if full:
        loop.call_soon(_go_on, loop, full)


def _go_on(loop: asyncio.AbstractEventLoop, full: list[dict[Any, Any]]) -> None:
    last = full[-1]
    for _ in range(min(_AT_A_TIME, len(last))):
        last.popitem()
    if not last:
        full.pop()
    if full:
        loop.call_soon(_go_on, loop, full)
