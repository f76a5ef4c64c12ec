"""Whether a client that has closed its side of the connection still waits for its answer.

TCP does not tell: a client that has gone has sent the same FIN as one that waits. Bytes for it
would tell, since it answers them with a reset; while S3 is silent, there are none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nearbucket.frontend.limits.tcp_info import TcpField, tcp_info
from nearbucket.frontend.limits.unread_bytes import unread_bytes

if TYPE_CHECKING:
    import asyncio

    from nearbucket.config.settings import Settings

_SILENCE = 1.0  # seconds of S3, after a check of the copy has taken as long as it may


def is_gone(transport: asyncio.Transport, settings: Settings) -> bool:
    """Whether a client that has sent its FIN is taken for gone.

    It is if for a second and ``catalog.wait`` nothing was sent to it and nothing came from it, and
    if it has confirmed all that was sent before. False if the connection is lost.
    """
    silence = 1000 * (_SILENCE + settings.catalog.wait)  # milliseconds
    times = tcp_info(transport, TcpField.LAST_DATA_SENT, TcpField.LAST_DATA_RECEIVED)
    return times is not None and min(times) >= silence and not unread_bytes(transport)
