"""Redirects, refusals, and short texts in place of S3's error documents, as aiohttp responses."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web

from nearbucket.frontend.response_heads import SERVER, reason_value, redirect_body, redirect_fields
from nearbucket.policy.model import Action, Reason, RedirectTo, Refuse, Stream

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nearbucket.origin.missing_objects import Fields

ALLOW = "GET, HEAD, OPTIONS"
NOT_KEPT = "no-store"  # for all that is no object: docs/request-handling.md, "Caches in front"
LONG = "public, max-age=300"

KEPT = frozenset({"content-range", "vary"})  # S3's fields that 404, 412 and 416 keep, beside CORS
RETRY_AFTER = "5"  # seconds; most failures of S3 are over by then

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
    421: "This server does not serve that host; a CDN has to forward the viewer's Host.",
    431: "The header fields are too large, or there are too many.",
    502: "The origin gave no usable answer; try again.",
    503: "The origin is overloaded; try again.",
    504: "The origin did not answer in time; try again.",
}

TOO_MANY_OF_NETWORK = "Too many downloads from this network are in progress; try again."
TOO_MANY_STREAMS = "Too many downloads are in progress; try again."
_UNREADABLE = "The object is archived or encrypted, and cannot be read here."


def redirection(decision: RedirectTo, *, reason_header: bool) -> web.Response:
    """The same redirect as in the fast lane."""
    response = web.Response(status=decision.status, body=redirect_body(decision.location))
    for name, value in redirect_fields(decision, reason_header=reason_header):
        response.headers[name] = value
    return response


def _plain(status: int, text: str | None = None) -> web.Response:
    if status == HTTPStatus.NO_CONTENT:
        return web.Response(status=status)
    text = text or TEXT.get(status, HTTPStatus(status).phrase + ".")
    return web.Response(status=status, text=text + "\n")


def refusal(decision: Refuse, *, reason_header: bool, close: bool = False) -> web.Response:
    """A refusal with a line of text; ``close`` closes the connection after it."""
    response = _plain(decision.status)
    response.headers["Server"] = SERVER
    response.headers["Cache-Control"] = NOT_KEPT
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
    """The hosts that clients may be redirected to, for the rules of a firewall."""
    response = web.json_response({"hosts": hosts})
    response.headers["Server"] = SERVER
    response.headers["Cache-Control"] = LONG
    response.headers["Access-Control-Allow-Origin"] = "*"
    if reason_header:
        value = reason_value(Action.REFUSE.value, None, Reason.WELL_KNOWN.value)
        response.headers["X-Nearbucket"] = value
    return response


def kept_fields(fields: Fields) -> Fields:
    """S3's header fields that are kept when a short text replaces its response."""
    return [
        (name, value)
        for name, value in fields
        if name.lower() in KEPT or name.lower().startswith("access-control-")
    ]


def instead(
    decision: Stream,
    status: int,
    fields: Iterable[tuple[str, str]],
    *,
    reason_header: bool,
    text: str | None = None,
) -> web.Response:
    """A short text in place of an object or of S3's error document.

    Args:
        decision: The decision to stream.
        status: Status of the answer.
        fields: Fields of S3's response that the answer keeps.
        reason_header: Whether ``X-Nearbucket`` is sent.
        text: Another text than that of the status.
    """
    response = _plain(status, _UNREADABLE if status == HTTPStatus.FORBIDDEN else text)
    response.headers.extend(fields)
    response.headers["Cache-Control"] = NOT_KEPT
    if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        response.headers["Retry-After"] = RETRY_AFTER
    decorate(response, decision, reason_header=reason_header)
    return response


def unchanged(decision: Stream, *, private: bool, reason_header: bool) -> web.Response:
    """304 for a client that has the current version.

    The object's Cache-Control is not known. Without one, that of the stored response stays (RFC
    9110 section 15.4.5); if ``private``, a shared cache must not keep that any longer, and the
    client asks each time rather than guess for how long it may not.
    """
    response = web.Response(status=HTTPStatus.NOT_MODIFIED)
    if private:
        response.headers["Cache-Control"] = "private, no-cache"
    response.headers["ETag"] = f'"{decision.etag}"'
    decorate(response, decision, reason_header=reason_header)
    return response


def decorate(response: web.StreamResponse, decision: Stream, *, reason_header: bool) -> None:
    """Add the fields that every streamed answer has."""
    response.headers["Server"] = SERVER
    if reason_header:
        response.headers["X-Nearbucket"] = reason_value(
            Action.STREAM.value, decision.region, decision.reason.value
        )
