"""The aiohttp session of the data path, and what every request to S3 carries.

In: how long S3 may be silent. Out: a ``ClientSession``; whom to trust, on any way to S3.
Refuses to know buckets.
"""

from __future__ import annotations

import ssl
from functools import cache

import aiohttp

from proxy import __version__

CONNECT = 5.0
"""Seconds to open a connection."""

READ = 30.0
"""Seconds without a byte from S3, while one is wanted."""

COMMON = {"accept-encoding": "identity", "user-agent": f"nearbucket/{__version__}"}
"""Header fields of every request: objects are passed on as they are stored."""

_READ_BUFFER = 64 * 1024
_IDLE_SECONDS = 12.0
"""Idle connections are dropped before S3 does it, as aiobotocore does (``_constants``)."""


@cache
def trusted() -> ssl.SSLContext:
    """How TLS is spoken to S3: certificates and host names are checked, by the system's list.

    One for a process, and read before workers are forked: the list takes 15 to 50 ms of CPU time
    and a megabyte.
    """
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_RENEGOTIATION  # of TLS 1.2: S3 asks for none
    return context


def client_session(*, connect: float = CONNECT, read: float = READ) -> aiohttp.ClientSession:
    """The session of the data path, to be made in a running event loop and closed at the end.

    Nothing is added, decoded, followed, remembered or taken from the environment, and a
    download may take as long as it moves.

    Args:
        connect: Seconds to open a connection.
        read: Seconds without a byte from S3, while one is wanted.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_SECONDS, ssl=trusted()),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect, sock_read=read),
        headers=COMMON,
        skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        read_bufsize=_READ_BUFFER,
    )
