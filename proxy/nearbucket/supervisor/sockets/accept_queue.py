"""Closes a listening socket without resetting a connection.

When a listening socket is closed, the kernel resets the connections in its queue: those that no
process has accepted yet, and those whose handshake is not complete. So the socket is made to
ignore new connections first (a classic BPF filter drops their SYN packets), and is closed when the
handshakes in progress have had time and its queue is empty. The client of an ignored SYN sends it
again after a second, when the port is closed, or another socket of the port takes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import select
import socket
import struct
import time

HANDSHAKE = 0.25  # seconds for a client's answer to the SYN-ACK: longer than most round trips
_MOST = 3.0  # seconds to empty the queue, which a worker without free descriptors cannot
_LOOK = 0.01  # seconds between two looks at the queue

# asm-generic/socket.h; the socket module has no names for them
_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27
_INSTRUCTIONS = (  # linux/filter.h: operation, jump if true, jump if false, operand
    (0x30, 0, 0, 13),  # load the byte of the TCP header that has the flags
    (0x45, 0, 1, 0x02),  # is SYN set?
    (0x06, 0, 0, 0),  # then drop the packet
    (0x06, 0, 0, 0xFFFF_FFFF),  # otherwise keep all of it
)


def ignore_new_connections(listener: socket.socket) -> bool:
    """Have the kernel drop the SYN packets for a listening socket; handshakes in progress go on.

    This holds in all processes that have the socket.

    Returns:
        Whether the kernel does. It does not where it has no filters (gVisor), or keeps those of
        TCP sockets to root (seen with Linux 6.18); connections that are not accepted yet when
        the socket is closed may then be reset.
    """
    code = b"".join(struct.pack("HBBI", *each) for each in _INSTRUCTIONS)
    memory = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HP", len(_INSTRUCTIONS), ctypes.addressof(memory))
    try:
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
    except OSError:
        return False
    return True


def take_new_connections(listener: socket.socket) -> None:
    """Undo ``ignore_new_connections``, whichever process has called it."""
    with contextlib.suppress(OSError):  # there is no filter
        listener.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)


async def emptied(*listeners: socket.socket) -> None:
    """Return when sockets without new connections have empty queues, or after 3 seconds.

    The event loop accepts what is in them meanwhile.
    """
    deadline = time.monotonic() + _MOST
    await asyncio.sleep(HANDSHAKE)
    waiting = select.poll()
    for listener in listeners:
        waiting.register(listener, select.POLLIN)
    while waiting.poll(0) and time.monotonic() < deadline:  # noqa: ASYNC110  # the kernel's
        await asyncio.sleep(_LOOK)
