"""The aiohttp session of the data path, and what every request to S3 carries.

In: how long S3 may be silent. Out: a ``ClientSession``. Refuses to know buckets.
"""

from __future__ import annotations

import aiohttp

from nearbucket import __version__
from nearbucket.s3.tls_trust import trusted

CONNECT = 5.0
"""Seconds to open a connection."""

READ = 30.0
"""Seconds without a byte from S3, while one is wanted."""

COMMON = {"accept-encoding": "identity", "user-agent": f"nearbucket/{__version__}"}
"""Header fields of every request: objects are passed on as they are stored."""

_READ_BUFFER = 64 * 1024
_IDLE_SECONDS = 12.0
"""Idle connections are dropped before S3 does it, as aiobotocore does (``_constants``)."""


def client_session(*, connect: float = CONNECT, read: float = READ) -> aiohttp.ClientSession:
    """The session of the data path, to be made in a running event loop and closed at the end.

    Nothing is added, decoded, followed, remembered or taken from the environment, and a
    download may take as long as it moves.

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
