"""Reads S3's error responses for the streaming lane, so that the aiohttp lane need not ask again.

What the client is answered is decided by ``OriginClient.response_to`` for both lanes.
"""

from __future__ import annotations

import re
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

import httptools
from multidict import CIMultiDict

from nearbucket.s3.error_codes import ErrorKind, kind_of_error

if TYPE_CHECKING:
    from multidict import MultiMapping

DOCUMENT = 4096
"""Bytes of an error's XML that are read; the code is at its start."""

DOCUMENT_TIMEOUT = 5.0
"""Seconds after which what has come of an error response is taken for all of it."""

_CODE = re.compile(rb"<Code>([A-Za-z0-9.]+)</Code>")
_CURABLE = {400, 401, 403}  # by another signature or connection

UNREADABLE = frozenset({ErrorKind.ARCHIVED, ErrorKind.CUSTOMER_KEY})
"""Errors of objects that exist, but that no request of ours can read."""

_FINAL = UNREADABLE | {ErrorKind.NOT_ALLOWED}


class ErrorResponse(NamedTuple):
    """An error response of S3.

    Attributes:
        status: HTTP status.
        headers: Header fields; names in any case.
        document: The first ``DOCUMENT`` bytes of the error's XML.
    """

    status: int
    headers: MultiMapping[str]
    document: bytes

    @property
    def code(self) -> str:
        """S3's error code; empty if there is none."""
        found = _CODE.search(self.document)
        return found[1].decode() if found else ""

    @property
    def kind(self) -> ErrorKind | None:
        """What the code means."""
        return kind_of_error(self.code, self.document.decode("latin-1"))

    @property
    def final(self) -> bool:
        """Whether the same request would get the same response again.

        Another signature may help after keys were rotated or the clock was set, and another
        connection if this one was too old.
        """
        return self.status not in _CURABLE or self.kind in _FINAL


def means_no_object(status: int) -> bool:
    """Whether S3 has no object for the request, as far as the status shows."""
    return 300 <= status < 500 and status not in {304, 408, 412, 421, 425}  # noqa: PLR2004  # classes


class ErrorResponseReader:
    """Reads one response; the ``on_`` methods are httptools' callbacks.

    Attributes:
        began: Monotonic time of the start.
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
        """Count responses: more than one make the connection unusable."""
        self._responses += 1

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header field."""
        if not self._status:  # otherwise it is a trailer
            self._headers.add(*(each.decode("utf-8", "surrogateescape") for each in (name, value)))

    def on_headers_complete(self) -> None:
        """Keep the status."""
        self._status = self._status or self._parser.get_status_code()

    def on_body(self, data: bytes) -> None:
        """Keep the start of the document."""
        if self._responses == 1:
            self._document += data[: DOCUMENT - len(self._document)]

    def on_message_complete(self) -> None:
        """Keep whether the connection stays open, which httptools knows only now."""
        if not self._whole:
            self._stays = self._parser.should_keep_alive()
        self._whole = True

    def read(self, data: bytes | memoryview) -> bool:
        """Take bytes; returns whether enough has come."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._broken = True
        return self._whole or self._broken or len(self._document) >= DOCUMENT

    def reusable(self) -> bool:
        """Whether the connection can be used for another request."""
        return self._stays and self._responses == 1 and not self._broken

    def response(self) -> ErrorResponse | None:
        """What has come, from the head on; None if it is not a response."""
        if self._broken and not self._whole:
            return None
        return ErrorResponse(self._status, self._headers, self._document)
