"""Findings about requests of an object as redirected clients send them, to a target or the CDN."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from nearbucket.cli.check.finding import Finding, Level

if TYPE_CHECKING:
    from collections.abc import Collection

    from nearbucket.s3.client_request import ClientAnswer

_REFUSED = {401, 403}
_REDIRECTS, _ERROR = range(300, 400), 400


def target_finding(
    place: str, url: str, size: int, answer: ClientAnswer | Exception, *, signed: bool = False
) -> Finding:
    """Whether a redirected client gets an object of ``size`` bytes.

    ``url`` has no signature, even if the request that got ``answer`` was ``signed``.
    """
    level, fix = Level.WRONG, "correct public_url or the region"
    if isinstance(answer, Exception):
        text = f"{url} cannot be reached from here: {_text(answer)}"
        fix = "check that clients in the region can reach it, for example inside their VPC"
        return Finding(Level.WARNING, place, "clients", text, fix)
    status = answer.status
    if status in _REFUSED and signed:
        text = f"{url} answers {status} to a signed request"
        fix = "allow these credentials s3:GetObject, and check public_url and the bucket policy"
    elif status in _REFUSED:
        level, text = Level.WARNING, f"{url} answers {status} to a request without a signature"
        fix = (
            "allow s3:GetObject in the bucket policy, or set redirect.presign; if only clients can "
            "read the bucket, by a VPC endpoint or their address, set redirect.client_probe: false"
        )
    elif not answer.is_readable:
        text = f"{url} answers {status}, but the object is in the bucket"
    elif answer.size not in {None, size}:
        text = f"{url} has {answer.size} bytes, but the object in the bucket has {size}"
    else:
        how = "with a signed URL" if signed else "without a signature"
        level, text, fix = Level.OK, f"{url} can be read {how}", ""
    return Finding(level, place, "clients", text, fix)


def cdn_finding(
    place: str, url: str, own: Collection[str], answer: ClientAnswer | Exception
) -> Finding:
    """Whether the CDN answers a client, and does not redirect it back to ``own`` hosts."""
    if isinstance(answer, Exception):
        text = f"{url} cannot be reached from here: {_text(answer)}"
        return Finding(Level.WARNING, place, "bypass", text, "correct bypass.to")
    status, fields = answer
    location = urljoin(url, fields.get("location", url)) if status in _REDIRECTS else url
    # X-Nearbucket in a redirect: the CDN fetches from a proxy that redirects clients to the CDN
    if location != url and (urlsplit(location).hostname in own or "x-nearbucket" in fields):
        text = f"{url} redirects to {location}, which leads back to this proxy (loop)"
        return Finding(Level.WRONG, place, "bypass", text, "let it fetch from the origin bucket")
    if status >= _ERROR:
        fix = "check that the CDN can fetch the origin's objects"
        return Finding(Level.WARNING, place, "bypass", f"{url} answers {status}", fix)
    return Finding(Level.OK, place, "bypass", f"{url} answers {status}")


def _text(error: Exception) -> str:
    return str(error) or "no answer in time"
