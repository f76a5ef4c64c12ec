"""The aiohttp session for objects, and the header fields of every request to S3."""

from __future__ import annotations

import aiohttp

from nearbucket import __version__
from nearbucket.s3.tls_trust import trusted

CONNECT = 5.0
"""Seconds to open a connection."""

READ = 30.0
"""Seconds without a byte from S3, while one is wanted."""

COMMON = {"accept-encoding": "identity", "user-agent": f"nearbucket/{__version__}"}
"""Header fields of every request; objects are passed on in the encoding they are stored in."""

_READ_BUFFER = 64 * 1024
_IDLE_SECONDS = 12.0
"""Idle connections are dropped before S3 does it, as aiobotocore does (``_constants``)."""


def client_session(*, connect: float = CONNECT, read: float = READ) -> aiohttp.ClientSession:
    """Make the session, in a running event loop; the caller closes it.

    It adds no headers, decodes nothing, has no cookies and ignores the environment's proxies. A
    download may take any time as long as bytes come.

    Args:
        connect: Seconds to open a connection.
        read: Seconds without a byte from S3, while one is wanted.

    Raises:
        ConfigError: As ``trusted``.
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
