"""Answers in our own words: redirects, refusals, and texts in place of what S3 says.

In: decisions and statuses. Out: aiohttp responses. Refuses to know requests, connections
and objects.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web

from nearbucket.frontend.response_heads import SERVER, reason_value, redirect_body, redirect_fields
from nearbucket.policy.model import Action, Reason, RedirectTo, Refuse, Stream

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ALLOW = "GET, HEAD, OPTIONS"
SHORT = "public, max-age=10"  # CloudFront's own default for errors: a new object shows soon
LONG = "public, max-age=300"

RETRY_AFTER = "5"  # seconds; as long as a passing fault of S3 tends to last

TEXT = {
    204: "",
    400: "This path or request is not one that an object could be served for.",
    403: "This request did not come through the expected front.",
    404: "There is no such object.",
    405: f"Only {ALLOW} are answered here.",
    412: "The object does not meet the request's conditions.",
    416: "The object has no such range of bytes.",
    414: "The address is longer than any object's can be.",
    417: "No expectation but 100-continue is met here.",
    421: "This server does not serve that host.",
    431: "A header field is too long, or there are too many.",
    502: "The origin gave no usable answer; try again.",
    503: "The origin is overloaded; try again.",
    504: "The origin did not answer in time; try again.",
}


def redirection(decision: RedirectTo, *, reason_header: bool) -> web.Response:
    """The redirect that the fast lane would write."""
    response = web.Response(status=decision.status, body=redirect_body(decision.location))
    for name, value in redirect_fields(decision, reason_header=reason_header):
        response.headers[name] = value
    return response


def _plain(status: int) -> web.Response:
    if status == HTTPStatus.NO_CONTENT:
        return web.Response(status=status)
    text = TEXT.get(status, HTTPStatus(status).phrase + ".")
    return web.Response(status=status, text=text + "\n")


def refusal(decision: Refuse, *, reason_header: bool, close: bool = False) -> web.Response:
    """An error of the client's, in a line of text; ``close`` ends the connection after it."""
    response = _plain(decision.status)
    response.headers["Server"] = SERVER
    response.headers["Cache-Control"] = "no-store"
    if decision.reason is Reason.METHOD:
        response.headers["Allow"] = ALLOW
    if reason_header:
        response.headers["X-Nearbucket"] = reason_value(
            Action.REFUSE.value, None, decision.reason.value
        )
    if close:
        response.headers["Connection"] = "close"
        response.force_close()
    return response


def listing(hosts: Sequence[str], *, reason_header: bool) -> web.Response:
    """The hosts that clients may be sent to, for whoever writes their firewall's rules."""
    response = web.json_response({"hosts": hosts})
    response.headers["Server"] = SERVER
    response.headers["Cache-Control"] = LONG
    response.headers["Access-Control-Allow-Origin"] = "*"
    if reason_header:
        value = reason_value(Action.REFUSE.value, None, Reason.WELL_KNOWN.value)
        response.headers["X-Nearbucket"] = value
    return response


def instead(
    decision: Stream, status: int, fields: Iterable[tuple[str, str]], *, reason_header: bool
) -> web.Response:
    """A short text in place of an object or of S3's error document.

    Args:
        decision: What was to be streamed.
        status: Status of the answer.
        fields: What of S3's answer still belongs to it.
        reason_header: Whether ``X-Nearbucket`` is sent.
    """
    response = _plain(status)
    response.headers.extend(fields)
    # 412 and 416 depend on this request alone, and a failure is nobody else's.
    missing = status == HTTPStatus.NOT_FOUND
    response.headers["Cache-Control"] = SHORT if missing else "no-store"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        response.headers["Retry-After"] = RETRY_AFTER
    decorate(response, decision, reason_header=reason_header)
    return response


def decorate(response: web.StreamResponse, decision: Stream, *, reason_header: bool) -> None:
    """Add what every answer carries."""
    response.headers["Server"] = SERVER
    if reason_header:
        response.headers["X-Nearbucket"] = reason_value(
            Action.STREAM.value, decision.region, decision.reason.value
        )
