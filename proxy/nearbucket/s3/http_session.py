"""The aiohttp session for objects, and the header fields of every request to S3."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import aiohttp

from nearbucket import __version__
from nearbucket.s3.receive_buffer import fix_receive_buffer
from nearbucket.s3.tls_trust import trusted

if TYPE_CHECKING:
    from aiohappyeyeballs import AddrInfoType

CONNECT = 5.0
"""Seconds to open a connection."""

READ = 30.0
"""Seconds without a byte from S3, while one is wanted."""

COMMON = {"accept-encoding": "identity", "user-agent": f"nearbucket/{__version__}"}
"""Header fields of every request; objects are passed on in the encoding they are stored in."""

IDLE_TIMEOUT = 12.0
"""Seconds for which an idle connection is kept, as by aiobotocore: S3 closes them later."""

_READ_BUFFER = 64 * 1024


def timeout_of(read: float) -> aiohttp.ClientTimeout:
    """The timeout of a request that fails after ``read`` seconds without a byte from S3."""
    return aiohttp.ClientTimeout(total=None, sock_connect=CONNECT, sock_read=read)


def client_session(
    *, read: float = READ, grows: bool = False, keeps: bool = True
) -> aiohttp.ClientSession:
    """Make the session, in a running event loop; the caller closes it.

    It adds no headers, decodes nothing, has no cookies and ignores the environment's proxies. A
    download may take any time as long as bytes come.

    Args:
        read: Seconds without a byte from S3, while one is wanted; a request may have its own.
        grows: Whether the kernel may enlarge the receive buffers, as long listings from another
            region need; otherwise only after ``fix_receive_buffer(fixed=False)``.
        keeps: Whether connections are kept for further requests.

    Raises:
        ConfigError: As ``trusted``.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0,
            keepalive_timeout=IDLE_TIMEOUT if keeps else None,
            force_close=not keeps,
            ssl=trusted(),
            socket_factory=None if grows else _socket,
        ),
        timeout=timeout_of(read),
        headers=COMMON,
        skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        read_bufsize=_READ_BUFFER,
    )


def _socket(address: AddrInfoType) -> socket.socket:
    family, kind, protocol, *_ = address
    made = socket.socket(family, kind, protocol)
    fix_receive_buffer(made, fixed=True)
    return made
