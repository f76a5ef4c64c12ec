"""Request heads as bytes: one for each client address, sent in turn."""

from __future__ import annotations

from itertools import cycle, islice
from typing import TYPE_CHECKING

from bench.lib.case import PATH

if TYPE_CHECKING:
    from collections.abc import Iterable

UNIQUE = "@@@@@@@@"
"""In a head: eight hexadecimal digits, other ones in each request that is sent."""

KEYS = 20_000
_HOST = "downloads.example"
_VIEWER_PORTS = 64_000
_EDGES = 211


def plain(addresses: Iterable[str], path: str = PATH, *more: str) -> bytes:
    """What curl sends, through one proxy; ``more`` fields at the end."""
    return b"".join(
        _head(
            path,
            f"Host: {_HOST}",
            "User-Agent: curl/8.5.0",
            "Accept: */*",
            f"X-Forwarded-For: {address}",
            *more,
        )
        for address in addresses
    )


def varied(addresses: Iterable[str], key: str = "{number:05}") -> bytes:
    """What CloudFront sends: 14 fields, each head another key, and an id that is sent once.

    Args:
        addresses: Clients, in turn.
        key: What is in the name of an object, given the head's number.

    Names and shapes are CloudFront's own (Developer Guide, "Add CloudFront request headers"
    and "Request and response behavior for custom origins"); its request ids have 56
    characters.
    """
    return b"".join(
        _head(
            f"/releases/{number % 97}/app-{key.format(number=number)}-linux-amd64.tar.gz",
            f"Host: {_HOST}",
            "User-Agent: curl/8.5.0",
            f"X-Amz-Cf-Id: {UNIQUE}Vx7Kq2mT9bYw4RzE1sLdPc8HnJ5gUoFa3iBQkX0uMvtWZ6A==",
            "Connection: Keep-Alive",
            f"Via: 2.0 {number % _EDGES * 2654435761:016x}.cloudfront.net (CloudFront)",
            f"X-Forwarded-For: {address}",
            "Accept: */*",
            "Accept-Encoding: gzip",
            f"CloudFront-Viewer-Address: {address}:{1024 + number % _VIEWER_PORTS}",
            "CloudFront-Viewer-Country: US",
            "CloudFront-Viewer-ASN: 16509",
            "CloudFront-Viewer-Http-Version: 2.0",
            "CloudFront-Viewer-TLS: TLSv1.3:TLS_AES_128_GCM_SHA256:fullHandshake",
            "CloudFront-Forwarded-Proto: https",
        )
        for number, address in enumerate(islice(cycle(addresses), KEYS))
    )


def fresh(addresses: Iterable[str]) -> bytes:
    """The same with keys that were not requested before."""
    return varied(addresses, UNIQUE)


def _head(path: str, *fields: str) -> bytes:
    return "\r\n".join((f"GET {path} HTTP/1.1", *fields, "\r\n")).encode()
