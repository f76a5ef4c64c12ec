"""The admin port: metrics, health, readiness, status, explain, hosts and the dashboard.

Nothing can be changed through it, and nothing of it is reachable on the public port.
"""

from __future__ import annotations

from collections import Counter
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Protocol

from aiohttp import web

from nearbucket.policy.client_address import plain_address
from nearbucket.policy.explain import PATH_STARTS, ExplainQuery, explained
from nearbucket.supervisor.admin.admin_protection import EXPLAIN, protect

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from nearbucket.policy.engine import Engine
    from nearbucket.policy.explain import Explanation
    from nearbucket.telemetry.metrics import Values


class SupervisorView(Protocol):
    """What the admin port needs of the supervisor."""

    @property
    def engine(self) -> Engine:
        """The engine that workers use."""

    async def explain(self, query: ExplainQuery) -> Sequence[Explanation]:
        """The explanations of all workers; empty if none answers."""

    def not_ready(self) -> Sequence[str]:
        """Why traffic may not come now; empty if it may."""

    def warnings(self) -> Sequence[str]:
        """What keeps it from working as configured, though traffic may come."""

    def hosts(self) -> Sequence[str]:
        """Every host that clients may be redirected to."""

    async def figures(self) -> Values:
        """All metrics, summed over the workers."""

    async def status(self) -> Mapping[str, Any]:
        """The document of ``/api/status``."""


def application(view: SupervisorView, names: Collection[str] = ()) -> web.Application:
    """The admin port's routes; ``names`` are those of ``admin.hosts``."""
    page = (
        files("nearbucket.supervisor.admin").joinpath("dashboard.html").read_text(encoding="utf-8")
    )

    async def metrics(request: web.Request) -> web.Response:
        # Importing prometheus_client takes a twentieth of the start, so it waits until here.
        from nearbucket.telemetry.prometheus import exposed  # noqa: PLC0415

        accept = ",".join(request.headers.getall("Accept", []))
        exposition = exposed(await view.figures(), accept)
        return web.Response(body=exposition.body, headers={"Content-Type": exposition.content_type})

    async def healthz(_request: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def readyz(_request: web.Request) -> web.Response:
        reasons = view.not_ready()
        lines = [*(reasons or ["ready"]), *(f"warning: {each}" for each in view.warnings())]
        text = "".join(f"{line}\n" for line in lines)
        return web.Response(status=503 if reasons else 200, text=text)

    async def status(_request: web.Request) -> web.Response:
        return web.json_response(await view.status())

    async def explain(request: web.Request) -> web.Response:
        query = request.query
        path = query.get("path", "")
        if plain_address(query.get("ip", "")) is None or not path.startswith(PATH_STARTS):
            return web.json_response(
                {"errors": ["give ip=, an address, and path=/..."]}, status=400
            )
        fields = [line.partition(":") for line in query.getall("header", [])]
        asked = ExplainQuery(
            query["ip"],
            path,
            query.get("host"),
            query.get("method", "GET"),
            {name.strip(): value.strip() for name, _, value in fields},
        )
        found = await view.explain(asked)
        reasons = Counter(each.reason for each in found)
        most = max(found, key=lambda each: reasons[each.reason], default=None)
        shown = most or explained(view.engine, asked)
        return web.json_response({**shown.as_json(), "workers": dict(reasons)})

    async def hosts(_request: web.Request) -> web.Response:
        return web.json_response({"hosts": list(view.hosts())})

    async def dashboard(_request: web.Request) -> web.Response:
        return web.Response(text=page, content_type="text/html")

    app = web.Application()
    protect(app, page, names)
    app.add_routes(
        [
            web.get("/metrics", metrics),
            web.get("/healthz", healthz),
            web.get("/readyz", readyz),
            web.get("/api/status", status),
            web.get(EXPLAIN, explain),
            web.get("/api/hosts", hosts),
            web.get("/", dashboard),
        ]
    )
    return app
