"""The finding about ``bypass.to``: it must have the objects, and not lead back to the proxy.

Clients that are redirected there would come again and again if its CDN had the proxy as its origin,
or was the front of the proxy. A loop is found by any of these, wherever this machine is: an answer
of the proxy's, a redirect to a URL that was requested before, to a host of the configuration or to
a target, and the proxy's list of hosts.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urljoin, urlsplit

import aiohttp

from nearbucket.cli.check.bucket_inspection import SECONDS
from nearbucket.cli.check.finding import Finding, Level
from nearbucket.cli.check.through_caches.proxy_answers import is_of_proxy, is_redirect
from nearbucket.policy.engine import HOSTS_PATH
from nearbucket.s3.client_request import request_byte

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nearbucket.config.settings import Settings
    from nearbucket.s3.client_request import ClientAnswer

_FIX = "let that CDN fetch from the origin bucket, and give it a host name of its own"
_MOST = 5
_ERROR = 400
_LONGEST = 1 << 16  # bytes of a list of hosts


class _Hop(NamedTuple):
    """A request, its answer, and where that leads to; empty if it is no redirect."""

    url: str
    answer: ClientAnswer | Exception
    location: str


async def loop_finding(
    session: aiohttp.ClientSession, settings: Settings, place: str, to: str, key: str
) -> Finding:
    """Whether clients get an object at ``bypass.to``, or are led back to the proxy.

    Args:
        session: From ``client_session``.
        settings: The configuration.
        place: Key of the setting.
        to: Its value.
        key: Key of an object, encoded; may be empty.
    """
    hops = await _followed(session, f"{to}/{key}")
    text = _loop(settings, hops)
    if text is None and settings.listen.well_known and not urlsplit(to).path:
        text = await _listing(session, to)
    if text is not None:
        return Finding(Level.WRONG, place, "bypass", f"{text} (loop)", _FIX)
    url, answer, location = hops[-1]
    if isinstance(answer, Exception):
        text = f"{url} cannot be reached from here: {str(answer) or 'no answer in time'}"
        return Finding(Level.WARNING, place, "bypass", text, "correct bypass.to")
    if location:
        text = f"{hops[0].url} is answered by more than {_MOST} redirects, at last to {location}"
        return Finding(Level.WARNING, place, "bypass", text, "write the URL that they lead to")
    if answer.status >= _ERROR or is_redirect(answer):
        fix = "check that the CDN can fetch the origin's objects"
        return Finding(Level.WARNING, place, "bypass", f"{url} answers {answer.status}", fix)
    return Finding(Level.OK, place, "bypass", f"{url} answers {answer.status}")


async def _followed(session: aiohttp.ClientSession, url: str) -> list[_Hop]:
    """Follow redirects, each as a client without an address in the URL of the last."""
    hops: list[_Hop] = []
    while len(hops) <= _MOST:
        answer = await request_byte(session, url, SECONDS)
        location = "" if isinstance(answer, Exception) else _location(url, answer)
        hops.append(_Hop(url, answer, location))
        if not location or location in {hop.url for hop in hops}:
            break
        url = location
    return hops


def _location(url: str, answer: ClientAnswer) -> str:
    """Where a redirect leads to; empty if it is none, or has no Location that is a URL.

    S3 answers 301 without one for a bucket in another region.
    """
    given = answer.fields.get("location")
    if not given or not is_redirect(answer):
        return ""
    try:
        location = urljoin(url, given)
        _ = urlsplit(location).port
    except ValueError:
        return ""
    return location


def _loop(settings: Settings, hops: Sequence[_Hop]) -> str | None:
    """What shows that the proxy is behind one of the URLs; None if nothing does."""
    own = {host for site in settings.sites for host in site.hosts}
    targets = tuple(
        f"{target.location(dualstack=dualstack)}/"
        for site in settings.sites
        for target in site.targets.values()
        for dualstack in (False, True)
    )
    for place, (url, answer, location) in enumerate(hops):
        if not isinstance(answer, Exception) and is_of_proxy(answer):
            return f"{url} is answered by this proxy, which redirects clients there"
        if location in {hop.url for hop in hops[: place + 1]}:
            return f"{url} redirects to {location}, which was requested before"
        if urlsplit(location).hostname in own:
            return f"{url} redirects to {location}, which leads back to this proxy"
        if location.startswith(targets):
            return f"{url} redirects to {location}, a target: the proxy is behind it"
    return None


async def _listing(session: aiohttp.ClientSession, to: str) -> str | None:
    """Whether the proxy's list of hosts is there, if a cache keeps the proxy's fields back."""
    url = f"{to}{HOSTS_PATH}"
    try:
        async with asyncio.timeout(SECONDS), session.get(url, allow_redirects=False) as answer:
            document = json.loads(await answer.content.read(_LONGEST))
    except (aiohttp.ClientError, OSError, ValueError):
        return None
    if isinstance(document, dict) and isinstance(document.get("hosts"), list):
        return f"{url} has this proxy's list of hosts"
    return None
