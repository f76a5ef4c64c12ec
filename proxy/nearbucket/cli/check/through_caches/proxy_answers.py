"""How an answer shows that the proxy gave it, and that a cache kept it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nearbucket.frontend.response_heads import SERVER

if TYPE_CHECKING:
    from nearbucket.s3.client_request import ClientAnswer

_REDIRECTS = range(300, 400)
_NOT_MODIFIED = 304


def is_of_proxy(answer: ClientAnswer) -> bool:
    """Whether nearbucket gave the answer; ``X-Nearbucket`` can be switched off."""
    return "x-nearbucket" in answer.fields or answer.fields.get("server") == SERVER


def reason_of(answer: ClientAnswer) -> str:
    """The reason in ``X-Nearbucket``; empty if there is none."""
    return answer.fields.get("x-nearbucket", "").rpartition("reason=")[2]


def is_redirect(answer: ClientAnswer) -> bool:
    """Whether the client is redirected."""
    return answer.status in _REDIRECTS and answer.status != _NOT_MODIFIED


def is_kept(answer: ClientAnswer) -> bool:
    """Whether a cache gave the answer: by Age (RFC 9111 section 5.1), or as CDNs say it."""
    kept_for = answer.fields.get("age", "0")
    return kept_for != "0" or "hit" in answer.fields.get("x-cache", "").lower()
