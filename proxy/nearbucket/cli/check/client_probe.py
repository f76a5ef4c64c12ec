"""What a client gets where it is sent to: the same request, with nothing but the URL.

In: a URL and what ought to be there. Out: findings. Refuses to follow redirects.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

import aiohttp
from yarl import URL

from nearbucket.cli.check.bucket_inspection import SECONDS, Finding, Level

if TYPE_CHECKING:
    from collections.abc import Collection

_OK, _REFUSED, _ABSENT = 200, {401, 403}, 404
_REDIRECTS, _ERROR = range(300, 400), 400

ProbeAnswer = tuple[int, dict[str, str]]
"""Status and header fields, by lower-case name."""


async def head(
    session: aiohttp.ClientSession, url: str, seconds: float = SECONDS
) -> ProbeAnswer | Exception:
    """The answer to a HEAD, or what came instead."""
    try:
        async with (
            asyncio.timeout(seconds),
            session.head(URL(url, encoded=True), allow_redirects=False) as answer,
        ):
            return answer.status, {name.lower(): value for name, value in answer.headers.items()}
    except (aiohttp.ClientError, OSError) as error:  # TimeoutError is one
        return error


def target_finding(
    place: str, url: str, size: int, answer: ProbeAnswer | Exception, *, signed: bool = False
) -> Finding:
    """Whether clients get an object where they are sent.

    Args:
        place: The target in the configuration.
        url: Where they are sent, without a signature.
        size: Size of the object.
        answer: What we got there.
        signed: Whether it was asked with a signature in the URL, as ``redirect.presign`` does.
    """
    if isinstance(answer, Exception):
        text = f"{url} cannot be reached from here: {_said(answer)}"
        fix = "can clients of the region reach it? (they may, inside a VPC)"
        return Finding(Level.WARNING, place, "clients", text, fix)
    status, fields = answer
    if status in _REFUSED and signed:
        text = f"{url} answers {status} to a signed URL, and so to clients"
        fix = "allow these credentials s3:GetObject, and look at public_url and the bucket policy"
        return Finding(Level.WRONG, place, "clients", text, fix)
    if status in _REFUSED:
        text = f"{url} answers {status} to a request without a signature, and so to clients"
        fix = (
            "allow s3:GetObject in the bucket policy, or set redirect.presign; fine when the "
            "policy lets clients in by VPC endpoint or address, and not this machine"
        )
        return Finding(Level.WARNING, place, "clients", text, fix)
    if status != _OK:
        text = f"{url} answers {status}, though the object is in the bucket"
        return Finding(Level.WRONG, place, "clients", text, "correct public_url or the region")
    length = fields.get("content-length", str(size))
    if length != str(size):
        text = f"{url} has {length} bytes, the object in the bucket {size}"
        return Finding(Level.WRONG, place, "clients", text, "correct public_url")
    how = "with a signed URL" if signed else "without a signature"
    return Finding(Level.OK, place, "clients", f"{url} can be read {how}")


def cdn_finding(
    place: str, url: str, own: Collection[str], answer: ProbeAnswer | Exception
) -> Finding:
    """Whether ``bypass.to`` has an answer, and does not lead back to us.

    Args:
        place: The setting.
        url: What was asked there.
        own: Our host names; ``*`` among them says nothing.
        answer: What we got there.
    """
    if isinstance(answer, Exception):
        text = f"{url} cannot be reached from here: {_said(answer)}"
        return Finding(Level.WARNING, place, "bypass", text, "correct bypass.to")
    status, fields = answer
    onward = urljoin(url, fields.get("location", url)) if status in _REDIRECTS else url
    if onward != url and (
        urlsplit(onward).hostname in own
        # a redirect of a nearbucket: the cache asks a proxy that sends clients to the cache
        or "x-nearbucket" in fields
    ):
        text = f"{url} answers {status} to {onward}, which leads back to this proxy (loop)"
        return Finding(Level.WRONG, place, "bypass", text, "let it fetch from the origin bucket")
    if status >= _ERROR:
        text = f"{url} answers {status}"
        return Finding(Level.WARNING, place, "bypass", text, "does it hold the origin's objects?")
    return Finding(Level.OK, place, "bypass", f"{url} answers {status}")


def _said(error: Exception) -> str:
    return str(error) or "no answer in time"
