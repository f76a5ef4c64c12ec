"""The admin port: metrics, health, readiness, status, explain, hosts and the dashboard.

Nothing can be changed through it, and nothing of it is reachable on the public port.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from aiohttp import web

from nearbucket.policy.client_address import plain_address
from nearbucket.policy.explain import PATH_STARTS, ExplainQuery, explained
from nearbucket.supervisor.admin.admin_protection import EXPLAIN, protect
from nearbucket.supervisor.admin.dashboard.dashboard_page import View, own_text, page_of
from nearbucket.telemetry.history.traffic_history import WINDOWS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from nearbucket.policy.engine import Engine
    from nearbucket.policy.explain import Explanation
    from nearbucket.telemetry.history.recent_answers import RecentAnswer
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

    async def history(self, window: str) -> Mapping[str, Any]:
        """The document of ``/api/history`` for one of ``WINDOWS``."""

    def decisions(self) -> Sequence[RecentAnswer]:
        """The last answers, the last one first."""


def application(view: SupervisorView, names: Collection[str] = ()) -> web.Application:
    """The admin port's routes; ``names`` are those of ``admin.hosts``."""

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
        if not all(colon and name.strip() for name, colon, _ in fields):
            return web.json_response({"errors": ["header= has the form Name: value"]}, status=400)
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

    app = web.Application()
    protect(app, names, script=own_text("dashboard.js"), style=own_text("dashboard.css"))
    app.add_routes(
        [
            web.get("/metrics", metrics),
            web.get("/healthz", healthz),
            web.get("/readyz", readyz),
            web.get("/api/status", status),
            web.get(EXPLAIN, explain),
            web.get("/api/hosts", hosts),
            *_dashboard_routes(view),
        ]
    )
    paths = ", ".join(each.canonical for each in app.router.resources())

    async def missing(_request: web.Request) -> web.Response:
        return web.Response(status=404, text=f"there is no such page; there are: {paths}\n")

    app.router.add_get("/{path:.*}", missing)
    return app


def _dashboard_routes(view: SupervisorView) -> list[web.RouteDef]:
    """The dashboard, and those of its documents that have no other use."""

    async def history(request: web.Request) -> web.Response:
        window = request.query.get("window", "hour")
        if window not in WINDOWS:
            errors = [f"window= is one of {', '.join(WINDOWS)}"]
            return web.json_response({"errors": errors}, status=400)
        return web.json_response(await view.history(window))

    async def decisions(_request: web.Request) -> web.Response:
        # as fresh as the workers' last messages, once a second
        return web.json_response({"decisions": [each._asdict() for each in view.decisions()]})

    async def dashboard(request: web.Request) -> web.Response:
        found = await view.status()
        chosen = View.of(request.query, found)
        past = await view.history(chosen.window)
        page = page_of(found, past, view.decisions(), chosen, datetime.now(UTC))
        return web.Response(text=page, content_type="text/html")

    return [
        web.get("/api/history", history),
        web.get("/api/decisions", decisions),
        web.get("/", dashboard),
    ]
