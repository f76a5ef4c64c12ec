"""What the kernel knows of a client connection (TCP_INFO, linux/tcp.h)."""

from __future__ import annotations

import socket
import sys
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

_SIZE = 192  # bytes that are asked for


class TcpField(Enum):
    """Fields, by their place in the structure."""

    LAST_DATA_SENT = slice(44, 48)
    """Milliseconds since bytes went to the client, or it connected."""
    LAST_DATA_RECEIVED = slice(52, 56)
    """Milliseconds since bytes came from it, or it connected; its FIN is none."""
    BYTES_ACKED = slice(120, 128)
    """Bytes that the client's side has confirmed."""


def tcp_info(transport: asyncio.Transport, *fields: TcpField) -> list[int] | None:
    """The values of fields, 0 where the kernel does not tell; None if the connection is lost."""
    sock = transport.get_extra_info("socket")
    if sock is None:  # of TLS: the transport's end is to come
        return None
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _SIZE)
    except OSError:  # closed meanwhile
        return None
    return [int.from_bytes(info[field.value], sys.byteorder) for field in fields]
