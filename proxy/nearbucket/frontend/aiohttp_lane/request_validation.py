"""Refuses requests that aiohttp accepts although two hops could frame them differently.

llhttp and aiohttp 3.14 accept some framing that RFC 9112 forbids (sections 2.3 and 6.1), and carry
trailer fields over into the next request. Where a proxy in front shares connections between
clients, each of these would let one client write the request of another.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import HttpVersion10, HttpVersion11, web
from aiohttp.web_protocol import ERROR

from nearbucket.frontend.aiohttp_lane.protocol import AiohttpConnection
from nearbucket.policy.model import Reason, Refuse

if TYPE_CHECKING:
    from aiohttp import StreamReader
    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.http import RawRequestMessage
    from aiohttp.web_protocol import RequestHandler

_CONTINUE = "100-continue"


class Incoming(web.BaseRequest):
    """A request of HTTP/1.0 or HTTP/1.1.

    Attributes:
        foreign: Whether it came with another version: it is refused, in HTTP/1.1.
    """

    foreign = False


def incoming(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: RequestHandler,
    writer: AbstractStreamWriter,
    task: asyncio.Task[None],
) -> Incoming:
    """Aiohttp's request factory.

    It is called for bytes that are no request as well: those are answered in HTTP/1.1, and without
    a body if they begin like a HEAD.
    """
    if message is ERROR:
        head = isinstance(protocol, AiohttpConnection) and protocol.is_head
        message = ERROR._replace(version=HttpVersion11, method="HEAD" if head else ERROR.method)
    foreign = message.version not in {HttpVersion10, HttpVersion11}
    if foreign:
        message = message._replace(version=HttpVersion11)
    made = Incoming(message, payload, protocol, writer, task, asyncio.get_running_loop())
    made.foreign = foreign
    return made


def refused(request: Incoming) -> Refuse | None:
    """The answer to a request whose framing or expectation cannot be met, or None."""
    headers = request.headers
    coded = "Transfer-Encoding" in headers
    if request.foreign or (
        coded and ("Content-Length" in headers or request.version == HttpVersion10)
    ):
        return Refuse(400, Reason.BAD_REQUEST)
    if headers.get("Expect", _CONTINUE).strip().lower() != _CONTINUE:
        return Refuse(417, Reason.BAD_REQUEST)  # RFC 9110 section 10.1.1
    return None


def is_last(request: Incoming) -> bool:
    """Whether the connection has to be closed after this request."""
    headers = request.headers
    return (
        request.foreign
        or request.method == "CONNECT"
        or "Upgrade" in headers
        or "Transfer-Encoding" in headers
    )
