"""Keeps web pages of other sites from reading the admin port through an operator's browser.

Browsers let a page read answers of its own host name, also if that name resolves to this address
meanwhile (DNS rebinding). So host names that can be registered publicly are refused, unless
``admin.hosts`` has them. The answers themselves allow no foreign scripts and no frames.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from nearbucket.analysis.report.markup import source_hash
from nearbucket.policy.client_address import plain_address
from nearbucket.policy.engine import host_name

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

EXPLAIN = "/api/explain"
_ALWAYS = frozenset({"/healthz", "/readyz"})
"""Paths that are answered under any name: they tell little, and load balancers ask for them."""

_PRIVATE = (".localhost", ".local", ".internal", ".svc")
"""Ends of names that nobody can register (RFC 6761, RFC 6762, ICANN for .internal, Kubernetes)."""


def is_private(authority: str, names: Collection[str]) -> bool:
    """Whether a Host field has an address, a private name, or one of ``names``."""
    name = host_name(authority)
    if name is None:
        return False
    if name in names or "." not in name or name.endswith(_PRIVATE):
        return True
    return plain_address(name) is not None


def content_security_policy(script: str, style: str) -> str:
    """Only this script and this style, and requests to this host."""
    return (
        f"default-src 'none'; script-src {source_hash(script)}; style-src {source_hash(style)}; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def protect(app: web.Application, names: Collection[str], *, script: str, style: str) -> None:
    """Protect an application whose page has one script and one style.

    Args:
        app: The application.
        names: Those of ``admin.hosts``.
        script: Text of the script.
        style: Text of the style sheet.
    """
    policy = content_security_policy(script, style)

    @web.middleware
    async def check_host(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if request.path == EXPLAIN and request.headers.get("Sec-Fetch-Site") == "cross-site":
            # it asks S3, so no page of another site may have a browser request it
            return web.Response(status=403, text="not from a page of another site\n")
        authority = request.headers.get("Host", "")
        if request.path in _ALWAYS or not authority or is_private(authority, names):
            return await handler(request)
        return web.Response(status=421, text="add this host name to admin.hosts to use it here\n")

    async def add_fields(_request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Content-Security-Policy"] = policy
        response.headers["X-Content-Type-Options"] = "nosniff"

    app.middlewares.append(check_host)
    app.on_response_prepare.append(add_fields)
