"""What S3 says when it refuses, read to its end below aiohttp: so it is not asked a second time.

In: the bytes of a response that is no object. Out: an ``ErrorResponse``, and whether asking again
might help. Refuses to say what a client is told: that is ``OriginClient.response_to``'s, whichever
way it came.
"""

from __future__ import annotations

import re
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

import httptools
from multidict import CIMultiDict

from nearbucket.s3.error_codes import ErrorKind, kind_of_code

if TYPE_CHECKING:
    from collections.abc import Mapping

DOCUMENT = 4096
"""Bytes of an error's XML that are looked at: its code stands at the start."""

DOCUMENT_TIMEOUT = 5.0
"""Seconds for its end to come; the status is there by then, and the code mostly."""

_CODE = re.compile(rb"<Code>([A-Za-z0-9.]+)</Code>")
_CURABLE = {400, 401, 403}


class ErrorResponse(NamedTuple):
    """A response that is no object.

    Attributes:
        status: HTTP status.
        headers: Its fields; names in any case.
        document: The first ``DOCUMENT`` bytes of the error's XML, or what there is.
    """

    status: int
    headers: Mapping[str, str]
    document: bytes

    @property
    def code(self) -> str:
        """S3's own word for it; empty where there is none."""
        found = _CODE.search(self.document)
        return found[1].decode() if found else ""

    @property
    def kind(self) -> ErrorKind | None:
        """What the code means."""
        return kind_of_code(self.code)

    @property
    def final(self) -> bool:
        """Whether asking again would not change it.

        What S3 has against a signature or a connection may be cured by another one: keys that
        were rotated, a clock that was set, a connection that was too old.
        """
        return self.status not in _CURABLE or self.kind is ErrorKind.NOT_ALLOWED


def means_no_object(status: int) -> bool:
    """Whether a status says that there is no object to be had, as far as a status can say it."""
    return 300 <= status < 500 and status not in {304, 408, 412, 421, 425}  # noqa: PLR2004  # classes


class ErrorResponseReader:
    """Reads one response.

    Attributes:
        began: Monotonic time at which that began.
    """

    def __init__(self) -> None:
        self.began = monotonic()
        self._parser = httptools.HttpResponseParser(self)
        self._headers: CIMultiDict[str] = CIMultiDict()
        self._document = b""
        self._responses = self._status = 0
        self._broken = self._stays = False
        self._whole = False

    def on_message_begin(self) -> None:
        """As of httptools."""
        self._responses += 1

    def on_header(self, name: bytes, value: bytes) -> None:
        """As of httptools."""
        if not self._status:  # behind the head it is a trailer's
            self._headers.add(*(each.decode("utf-8", "surrogateescape") for each in (name, value)))

    def on_headers_complete(self) -> None:
        """As of httptools."""
        self._status = self._status or self._parser.get_status_code()

    def on_body(self, data: bytes) -> None:
        """As of httptools."""
        if self._responses == 1:
            self._document += data[: DOCUMENT - len(self._document)]

    def on_message_complete(self) -> None:
        """As of httptools, which knows of the connection only until it returns."""
        if not self._whole:
            self._stays = self._parser.should_keep_alive()
        self._whole = True

    def read(self, data: bytes | memoryview) -> bool:
        """Take bytes; whether nothing more is to be waited for."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._broken = True
        return self._whole or self._broken or len(self._document) >= DOCUMENT

    def reusable(self) -> bool:
        """Whether the connection stays open behind it, with nothing on it."""
        return self._stays and self._responses == 1 and not self._broken

    def response(self) -> ErrorResponse | None:
        """What was read of it, once its head is there; None for what is no response."""
        if self._broken and not self._whole:
            return None
        return ErrorResponse(self._status, self._headers, self._document)
