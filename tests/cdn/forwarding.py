"""Header fields of requests to the origin and of answers to viewers."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from multidict import CIMultiDict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.cdn.distribution import Behaviour, CustomOrigin

VIEWER = "X-Viewer"
"""Not of CloudFront: the address from which a request is to seem to come."""

VIA = "1.1 d111111abcdef8.cloudfront.net (CloudFront)"

_HOP = frozenset({
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection",
    "te", "trailer", "transfer-encoding", "upgrade", "expect",
})  # fmt: skip
_REMOVED = frozenset({"x-forwarded-proto", "x-real-ip", VIEWER.lower()})
_ALWAYS = frozenset({
    "range", "if-range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since",
})  # fmt: skip


def to_origin(
    viewer: Iterable[tuple[str, str]], address: str, behaviour: Behaviour, origin: CustomOrigin
) -> CIMultiDict[str]:
    """The header fields of a request to the origin.

    Args:
        viewer: Those of the viewer's request.
        address: The viewer's address and port, as CloudFront-Viewer-Address has them.
        behaviour: For what its policies let through.
        origin: For its custom header fields.
    """
    policy = behaviour.request
    sent = {name.lower() for name in (*policy.headers, *behaviour.cache.headers)}
    fields = CIMultiDict({"User-Agent": "Amazon CloudFront"})
    forwarded: list[str] = []
    for name, value in viewer:
        low = name.lower()
        if low == "x-forwarded-for":
            forwarded.append(value)
        elif low == "cookie":
            if policy.cookies or behaviour.cache.cookies:
                fields.add(name, value)
        elif _is_sent(low, sent):
            if low in {"user-agent", "host"}:
                fields[name] = value
            else:
                fields.add(name, value)
    fields["X-Forwarded-For"] = ", ".join([*forwarded, address.rpartition(":")[0]])
    fields["Via"] = VIA
    fields["X-Amz-Cf-Id"] = secrets.token_urlsafe(32)
    if policy.viewer_address:
        fields["CloudFront-Viewer-Address"] = address
    fields.update(origin.headers)
    return fields


def _is_sent(low: str, sent: set[str]) -> bool:
    if low in _HOP or low in _REMOVED or low.startswith(("x-edge-", "x-amz-cf-")):
        return False
    if low == "host":
        return "host" in sent
    return low in _ALWAYS or low in sent or "*" in sent


def from_origin(fields: Iterable[tuple[str, str]]) -> CIMultiDict[str]:
    """The header fields of a response that are passed on."""
    return CIMultiDict([(name, value) for name, value in fields if name.lower() not in _HOP])


def to_viewer(fields: Mapping[str, str], said: str, age: float | None) -> CIMultiDict[str]:
    """The header fields of an answer.

    Args:
        fields: Those of the response.
        said: ``Hit``, ``Miss``, ``RefreshHit`` or ``Error``.
        age: Seconds since it was stored; None if it was not.
    """
    made = CIMultiDict(fields)
    made["Via"] = VIA
    made["X-Cache"] = f"{said} from cloudfront"
    made["X-Amz-Cf-Id"] = secrets.token_urlsafe(32)
    if age is not None:
        made["Age"] = str(int(age))
    return made
