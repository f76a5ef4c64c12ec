"""Findings about the front: the CDN, or another proxy, by which clients reach this one.

An object that clients are redirected for is requested through it as by several clients. What can be
found out depends on whether this machine would be redirected: in a target's region it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from nearbucket.cli.check.bucket_inspection import SECONDS
from nearbucket.cli.check.finding import Finding, Level
from nearbucket.cli.check.through_caches.proxy_answers import (
    is_kept,
    is_of_proxy,
    is_redirect,
    reason_of,
)
from nearbucket.policy.reasons import Reason
from nearbucket.policy.rules import any_pattern
from nearbucket.s3.client_request import request_byte

if TYPE_CHECKING:
    import aiohttp

    from nearbucket.config.settings import Settings
    from nearbucket.config.sites import Site
    from nearbucket.s3.client_request import ClientAnswer

ANALYTICS = "_ga"
"""A cookie of an analytics tool, which browsers send to all hosts of a domain."""

_MISDIRECTED, _ERROR = 421, 400
_UNCACHED = "caching disabled, or a minimum TTL of 0 (CloudFront: CachingDisabled)"


class _Problem(NamedTuple):
    text: str
    fix: str
    level: Level = Level.WRONG


def site_of(settings: Settings, front: str) -> Site:
    """The site that is asked at this URL; the first one if its host is not forwarded."""
    host = urlsplit(front).hostname
    for name in (host, "*"):
        for site in settings.sites:
            if name in site.hosts:
                return site
    return settings.sites[0]


async def front_findings(
    session: aiohttp.ClientSession, site: Site, front: str, key: str
) -> list[Finding]:
    """What requests for an object through the front show.

    Args:
        session: From ``client_session``.
        site: The site.
        front: URL of the front, without a path.
        key: Key, encoded, of an object that clients are redirected for.
    """
    url = f"{front}/{key}"
    first, second = [await request_byte(session, url, SECONDS) for _ in range(2)]
    if isinstance(first, Exception) or isinstance(second, Exception):
        error = first if isinstance(first, Exception) else second
        text = f"{url} cannot be reached from here: {str(error) or 'no answer in time'}"
        fix = "correct --front, or check the network from here"
        return [Finding(Level.WRONG, "front", "front", text, fix, reached=False)]
    problem = _problem(site, url, first, second)
    if problem is not None:
        return [_finding(problem)]
    shown = first.fields.get("x-nearbucket", f"status {first.status}")
    good = f"{url} is answered by the proxy ({shown}), and no cache shows that it keeps that"
    found = [Finding(Level.OK, "front", "front", good)]
    if is_redirect(first):
        return [*found, *await _fields_passed_on(session, site, url)]
    text = (
        "whether opt-outs and cookies reach the proxy shows only where clients are redirected: "
        "run this in the region of a target"
    )
    return [*found, Finding(Level.NOTE, "front", "front", text)]


def _problem(site: Site, url: str, first: ClientAnswer, second: ClientAnswer) -> _Problem | None:
    """What is wrong with two equal requests, the worst alone."""
    reason = reason_of(first)
    if first.status == _MISDIRECTED:
        return _Problem(
            f"{url} answers 421: the request came with a Host that no site has",
            "let the front forward the viewer's Host (CloudFront: in the origin request policy), "
            'or add the origin\'s host name, or "*", to hosts',
        )
    if reason == Reason.SECRET:
        text = f"{url} answers 403: the front sends another origin secret"
        return _Problem(text, "send one of client_address.origin_secret.values")
    if not is_of_proxy(first):
        kept = " from its cache" if is_kept(first) or is_kept(second) else ""
        text = f"{url} is answered by the front{kept}, not by the proxy ({first.status})"
        fix = f"send what redirect.paths matches to the proxy, with {_UNCACHED}"
        return _Problem(text, fix)
    if is_kept(first) or is_kept(second):
        text = f"{url} is kept by the front, so that a client gets the answer to another one"
        return _Problem(text, f"let it have {_UNCACHED}")
    if reason == Reason.CLIENT_UNKNOWN:
        text = f"{url}: the front does not say which client asks ({reason})"
        fix = (
            "let it send the header of client_address.from (CloudFront: CloudFront-Viewer-Address, "
            "in the origin request policy)"
        )
        return _Problem(text, fix)
    if first.status >= _ERROR:
        return _Problem(f"{url} answers {first.status}", "nearbucket explain shows why")
    control = first.fields.get("cache-control", "").lower()
    if "private" not in control and site.bypass.cache_control == "private":
        text = f"{url} comes without private in Cache-Control, so that caches may keep it"
        return _Problem(text, "let the front pass Cache-Control on unchanged")
    return None


async def _fields_passed_on(session: aiohttp.ClientSession, site: Site, url: str) -> list[Finding]:
    """Whether an opt-out, in the query or a header, and cookies reach the proxy."""
    opt_out, found = site.opt_out, []
    if opt_out.header and await _is_redirected(session, url, {opt_out.header: "1"}) is True:
        text = f"the front does not pass {opt_out.header} on, by which clients opt out"
        fix = "forward it (CloudFront: all viewer headers, in the origin request policy)"
        found.append(_finding(_Problem(text, fix, Level.WARNING)))
    if opt_out.query and await _is_redirected(session, f"{url}?{opt_out.query}", {}) is True:
        text = f"the front does not pass ?{opt_out.query} on, by which clients opt out"
        fix = "forward queries (CloudFront: all query strings, in the origin request policy)"
        found.append(_finding(_Problem(text, fix, Level.WARNING)))
    counts = any_pattern(site.redirect.cookies).fullmatch(ANALYTICS) is not None
    if counts and await _is_redirected(session, url, {"cookie": f"{ANALYTICS}=1"}) is False:
        text = (
            f"the front passes cookies on: a client with {ANALYTICS}, which browsers send to all "
            f"hosts of a domain, is streamed ({Reason.CREDENTIALS})"
        )
        fix = (
            "forward none (CloudFront: an origin request policy of your own; AllViewer has them "
            "all), or set redirect.cookies"
        )
        found.append(_finding(_Problem(text, fix, Level.WARNING)))
    return found


async def _is_redirected(
    session: aiohttp.ClientSession, url: str, fields: dict[str, str]
) -> bool | None:
    """Whether a request with these fields is redirected; None if there is no answer."""
    answer = await request_byte(session, url, SECONDS, fields)
    return None if isinstance(answer, Exception) else is_redirect(answer)


def _finding(problem: _Problem) -> Finding:
    return Finding(problem.level, "front", "front", problem.text, problem.fix)
