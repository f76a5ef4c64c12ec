"""Memory that a process holds and that the kernel holds for it, in bytes.

Resident memory now and at its peak, and the memory of its sockets and pipes.
"""

from __future__ import annotations

import array
import fcntl
import os
import re
import socket
import struct
import termios
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bench.lib.case import BenchError

if TYPE_CHECKING:
    from collections.abc import Iterator

_KIB = 1024
_PAGE = os.sysconf("SC_PAGE_SIZE")


def resident(pid: int, field: str = "VmRSS") -> int:
    """Resident memory: ``VmRSS``, now, or ``VmHWM``, the most since ``forget_peak``.

    Raises:
        BenchError: The process has ended.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        raise BenchError(f"process {pid} ended while it was measured") from None
    found = re.search(rf"^{field}:\s+(\d+) kB$", status, re.MULTILINE)
    return int(found[1]) * _KIB if found else 0


def forget_peak(pid: int) -> None:
    """Start the peak anew, from what is resident now (proc_pid_clear_refs(5), value 5)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")


def tcp_memory() -> int:
    """What the kernel holds for all TCP sockets of the machine, at either end."""
    text = Path("/proc/net/sockstat").read_text(encoding="ascii")
    found = re.search(r"^TCP:.* mem (\d+)$", text, re.MULTILINE)
    return int(found[1]) * _PAGE if found else 0


def tcp_pressure() -> int:
    """From where on the kernel gives TCP sockets less (tcp(7), tcp_mem)."""
    return int(Path("/proc/sys/net/ipv4/tcp_mem").read_text(encoding="ascii").split()[1]) * _PAGE


def pipes(pid: int) -> int:
    """Bytes that wait in the process's pipes: where splice(2) keeps what it has read."""
    waiting = 0
    seen = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            name = entry.readlink().name
            if not name.startswith("pipe:") or name in seen:
                continue
            seen.add(name)
            waiting += _unread(entry)
    return waiting


def _unread(entry: Path) -> int:
    descriptor = os.open(entry, os.O_RDONLY | os.O_NONBLOCK)
    try:
        count = array.array("i", [0])
        fcntl.ioctl(descriptor, termios.FIONREAD, count)
        return count[0]
    finally:
        os.close(descriptor)


# sock_diag(7): a dump of all IPv4 TCP sockets with their memory.
_SOCK_DIAG_BY_FAMILY, _REQUEST_DUMP = 20, 0x1 | 0x300
_DONE, _ERROR = 3, 2
_SKMEMINFO = 7
_HEADER = struct.Struct("=IHHII")
_ASKED = struct.Struct("=BBBxI48x")
_PORTS = struct.Struct("!HH")
_MESSAGE, _PORTS_AT = 72, 4  # struct inet_diag_msg, and idiag_sport in it
_ATTRIBUTE = struct.Struct("=HH")
_MEMORY = struct.Struct("=9i")  # signed: what is reserved may be below zero for a moment


def sockets(port: int, origin: int) -> int:
    """What the kernel holds for a proxy's sockets on both sides, queued and reserved.

    Args:
        port: Where it listens.
        origin: Where it connects to.

    Raises:
        OSError: The kernel does not tell.
    """
    return sum(held for ours, theirs, held in _dump() if ours == port or theirs == origin)


def _dump() -> Iterator[tuple[int, int, int]]:
    """Local port, remote port and memory of each TCP socket."""
    asked = _ASKED.pack(socket.AF_INET, socket.IPPROTO_TCP, 1 << (_SKMEMINFO - 1), 0xFFFFFFFF)
    length = _HEADER.size + len(asked)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4) as kernel:  # NETLINK_SOCK_DIAG
        kernel.send(_HEADER.pack(length, _SOCK_DIAG_BY_FAMILY, _REQUEST_DUMP, 0, 0) + asked)
        while True:
            data = kernel.recv(1 << 18)
            while data:
                size, kind, *_ = _HEADER.unpack_from(data)
                if kind == _DONE:
                    return
                if kind == _ERROR:
                    raise OSError("sock_diag is refused")
                yield _socket(data[_HEADER.size : size])
                data = data[(size + 3) & ~3 :]


def _socket(message: bytes) -> tuple[int, int, int]:
    ours, theirs = _PORTS.unpack_from(message, _PORTS_AT)
    place = _MESSAGE
    held = 0
    while place + _ATTRIBUTE.size <= len(message):
        size, kind = _ATTRIBUTE.unpack_from(message, place)
        if kind == _SKMEMINFO:
            received, _, _, _, reserved, queued, *_ = _MEMORY.unpack_from(message, place + 4)
            held = received + reserved + queued
        place += (size + 3) & ~3
    return ours, theirs, held
