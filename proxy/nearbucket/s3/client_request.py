"""Requests the first byte of an object as a redirected client does: by its URL alone."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, NamedTuple

import aiohttp
from yarl import URL

if TYPE_CHECKING:
    from collections.abc import Mapping

_OK = 200
_READABLE = {_OK, 206, 416}
"""The last is the answer for an empty object, which has no first byte."""
_TOO_MANY, _SERVER_ERROR = 429, 500
_TOTAL = re.compile(r"bytes [^/]*/(\d+)")


class ClientAnswer(NamedTuple):
    """What a client gets; ``fields`` have lower-case names."""

    status: int
    fields: Mapping[str, str]

    @property
    def is_readable(self) -> bool | None:
        """Whether the client can read the object; None if the failure may pass by itself."""
        if self.status in _READABLE:
            return True
        return None if self.status == _TOO_MANY or self.status >= _SERVER_ERROR else False

    @property
    def size(self) -> int | None:
        """Bytes of the whole object, if the answer says it."""
        if total := _TOTAL.match(self.fields.get("content-range", "")):
            return int(total[1])
        length = self.fields.get("content-length") if self.status == _OK else None
        return None if length is None else int(length)


async def request_byte(
    session: aiohttp.ClientSession,
    url: str,
    seconds: float,
    fields: Mapping[str, str] | None = None,
) -> ClientAnswer | Exception:
    """The answer to a GET of the first byte without following redirects, or the error.

    Args:
        session: From ``client_session``.
        url: URL of the object, encoded.
        seconds: Time limit.
        fields: Further header fields of the request.
    """
    try:
        async with (
            asyncio.timeout(seconds),
            session.get(
                URL(url, encoded=True),
                headers={"range": "bytes=0-0", **(fields or {})},
                allow_redirects=False,
            ) as answer,
        ):
            shown = {name.lower(): value for name, value in answer.headers.items()}
            return ClientAnswer(answer.status, shown)
    except (aiohttp.ClientError, OSError) as error:  # TimeoutError is one
        return error
