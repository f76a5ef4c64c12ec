"""The admin port: what operators and their monitoring read."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING, Any

import pytest
from multidict import CIMultiDict

from nearbucket.supervisor.admin.admin_api import application
from tests.supervisor.admin.made_documents import HOSTILE

if TYPE_CHECKING:
    from aiohttp.pytest_plugin import AiohttpClient
    from aiohttp.test_utils import TestClient

    from tests.supervisor.admin.fixed_view import Fake

PROMETHEUS = """\
# HELP nearbucket_workers Worker processes that answer.
# TYPE nearbucket_workers gauge
nearbucket_workers 2.0
"""


@pytest.mark.parametrize(
    ("accept", "kind", "text"),
    [
        pytest.param(None, "text/plain", PROMETHEUS, id="nothing said"),
        pytest.param("*/*", "text/plain", PROMETHEUS, id="anything"),
        pytest.param("text/html", "text/plain", PROMETHEUS, id="a browser"),
        pytest.param("text/plain;version=0.0.4", "text/plain", PROMETHEUS, id="Prometheus 1"),
        pytest.param("application/openmetrics-text; version=1.0.0",
                     "application/openmetrics-text", PROMETHEUS + "# EOF\n", id="OpenMetrics"),
        pytest.param("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.2,*/*;q=0.1",
                     "application/openmetrics-text", PROMETHEUS + "# EOF\n", id="Prometheus 2"),
        pytest.param("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
                     "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;"
                     "q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                     "application/openmetrics-text", PROMETHEUS + "# EOF\n", id="Prometheus 3"),
        pytest.param("application/openmetrics-text;q=0.1, text/plain", "text/plain", PROMETHEUS,
                     id="rather text"),
        pytest.param("application/openmetrics-text; version=1.0.0; Q=0, */*", "text/plain",
                     PROMETHEUS, id="not OpenMetrics"),
        pytest.param("text/plain;q=0.5, application/openmetrics-text;q=0.9",
                     "application/openmetrics-text", PROMETHEUS + "# EOF\n", id="the second"),
        pytest.param("*/*, text/plain;q=0.5, application/openmetrics-text;q=0.2", "text/plain",
                     PROMETHEUS, id="a named type counts more than any"),
        pytest.param("application/openmetrics-text;version=1.0.0;q=0.1,"
                     "application/openmetrics-text;q=0.9,text/plain;q=0.5",
                     "application/openmetrics-text", PROMETHEUS + "# EOF\n", id="its best form"),
        pytest.param("text/*;q=0.2, application/*;q=0.5", "application/openmetrics-text",
                     PROMETHEUS + "# EOF\n", id="any of a kind"),
        pytest.param("text/plain;q=0, application/openmetrics-text;q=x", "text/plain", PROMETHEUS,
                     id="nothing that there is"),
        pytest.param("Application/OpenMetrics-Text", "application/openmetrics-text",
                     PROMETHEUS + "# EOF\n", id="in any case"),
    ],
)  # fmt: skip
async def test_a_scraper_gets_the_format_it_asks_for(
    client: TestClient[Any, Any], accept: str | None, kind: str, text: str
) -> None:
    answer = await client.get("/metrics", headers={"Accept": accept} if accept else {})
    assert (answer.status, await answer.text()) == (200, text)
    assert answer.content_type == kind
    assert answer.charset == "utf-8"
    assert "version=" in answer.headers["Content-Type"]


async def test_two_accept_fields_are_one_list(client: TestClient[Any, Any]) -> None:
    fields = CIMultiDict(
        [("Accept", "text/plain;q=0.1"), ("Accept", "application/openmetrics-text")]
    )
    answer = await client.get("/metrics", headers=fields)
    assert answer.content_type == "application/openmetrics-text"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:9090", 200),
        ("10.0.0.7", 200),
        ("[::1]:9090", 200),
        ("localhost:9090", 200),
        ("LOCALHOST", 200),
        ("nearbucket", 200),
        ("dl.prod.svc.cluster.local:9090", 200),
        ("dl.prod.svc", 200),
        ("ip-10-0-0-7.ec2.internal", 200),
        ("admin.example.com", 200),
        ("Admin.example.com.:9090", 200),
        ("evil.example.com", 421),
        ("admin.example.com.evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("evil.example:9090", 421),
        ("evil.local.example", 421),
        ("a@localhost", 421),
        ("localhost, evil.example", 421),
        ("localhost:evil", 421),
    ],
)
async def test_the_page_of_another_site_cannot_use_a_name_of_its_own_for_this_port(
    view: Fake, aiohttp_client: AiohttpClient, host: str, status: int
) -> None:
    client = await aiohttp_client(application(view, ["admin.example.com"]))
    pages = ["/", "/metrics", "/api/status", "/api/hosts", "/api/history", "/api/decisions"]
    for path in [*pages, "/nope"]:
        answer = await client.get(path, headers={"Host": host})
        assert answer.status == (404 if status == 200 and path == "/nope" else status), path
        if status != 200:
            assert await answer.text() == "add this host name to admin.hosts to use it here\n"
    for probe in ("/healthz", "/readyz"):  # which tell nothing
        assert (await client.get(probe, headers={"Host": host})).status == 200


@pytest.mark.parametrize(
    ("site", "status"), [("cross-site", 403), ("same-origin", 200), ("none", 200)]
)
async def test_no_page_of_another_site_can_have_s3_asked(
    view: Fake, client: TestClient[Any, Any], site: str, status: int
) -> None:
    query = {"ip": "192.0.2.7", "path": "/a"}
    fields = {"Sec-Fetch-Site": site}
    answer = await client.get("/api/explain", params=query, headers=fields)
    assert (answer.status, len(view.asked)) == (status, status == 200)


@pytest.mark.parametrize("path", ["/", "/metrics", "/healthz", "/readyz", "/api/status", "/nope"])
@pytest.mark.parametrize("host", ["localhost", "evil.example"])
async def test_every_answer_forbids_foreign_scripts_frames_and_guesses_of_its_type(
    client: TestClient[Any, Any], path: str, host: str
) -> None:
    headers = (await client.get(path, headers={"Host": host})).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    policy = headers["Content-Security-Policy"]
    for part in ("default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'"):
        assert part in policy
    assert "unsafe-inline" not in policy


async def test_the_policy_names_the_script_and_the_style_of_the_dashboard(
    client: TestClient[Any, Any],
) -> None:
    answer = await client.get("/")
    page, policy = await answer.text(), answer.headers["Content-Security-Policy"]
    for tag in ("script", "style"):
        (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


async def test_each_scrape_shows_the_figures_of_its_moment(
    client: TestClient[Any, Any], view: Fake
) -> None:
    await client.get("/metrics")
    view.values = {"nearbucket_workers": {(): 3}}
    assert "nearbucket_workers 3.0\n" in await (await client.get("/metrics")).text()


@pytest.mark.parametrize(
    ("reasons", "status", "text"),
    [
        pytest.param([], 200, "ready\n", id="ready"),
        pytest.param(["draining"], 503, "draining\n", id="one reason"),
        pytest.param(["draining", "no worker"], 503, "draining\nno worker\n", id="two reasons"),
    ],
)
async def test_readiness_is_a_status_and_a_reason_a_line_and_life_is_apart(
    client: TestClient[Any, Any], view: Fake, reasons: list[str], status: int, text: str
) -> None:
    view.reasons = reasons
    ready, alive = await client.get("/readyz"), await client.get("/healthz")
    assert (ready.status, await ready.text()) == (status, text)
    assert (alive.status, await alive.text()) == (200, "alive\n")


async def test_readiness_has_a_line_for_each_warning(
    client: TestClient[Any, Any], view: Fake
) -> None:
    view.problems = ["no AWS credentials found"]
    ready = await client.get("/readyz")
    assert (ready.status, await ready.text()) == (200, "ready\nwarning: no AWS credentials found\n")


async def test_status_and_hosts_are_json(client: TestClient[Any, Any]) -> None:
    status, hosts = await client.get("/api/status"), await client.get("/api/hosts")
    assert status.content_type == hosts.content_type == "application/json"
    found = await status.json()
    assert (found["ready"], found["version"]) == (True, "0")
    assert await hosts.json() == {
        "hosts": ["downloads.s3.us-east-1.amazonaws.com", "eu.example:8080"]
    }


async def test_the_root_is_the_dashboard(client: TestClient[Any, Any]) -> None:
    answer = await client.get("/")
    assert (answer.status, answer.content_type, answer.charset) == (200, "text/html", "utf-8")
    assert "<title>1 down, nearbucket</title>" in await answer.text()


@pytest.mark.parametrize(
    ("query", "chosen"),
    [
        ("", ["last hour", "bytes"]),
        ("?window=week&show=requests", ["last week", "requests"]),
        ("?window=%3Cscript%3E&show=%22", ["last hour", "bytes"]),
    ],
)
async def test_the_dashboard_shows_the_window_and_the_unit_of_its_query(
    client: TestClient[Any, Any], query: str, chosen: list[str]
) -> None:
    page = await (await client.get(f"/{query}")).text()
    assert re.findall(r'aria-current="true">([^<]*)<', page) == chosen


async def test_the_history_is_that_of_the_window_that_is_asked_for(
    client: TestClient[Any, Any],
) -> None:
    for query, window in (("", "hour"), ("?window=day", "day"), ("?window=week", "week")):
        assert (await (await client.get(f"/api/history{query}")).json())["window"] == window
    answer = await client.get("/api/history?window=year")
    assert (answer.status, await answer.json()) == (
        400,
        {"errors": ["window= is one of hour, day, week"]},
    )


async def test_the_decisions_are_json_whatever_clients_sent(client: TestClient[Any, Any]) -> None:
    found = (await (await client.get("/api/decisions")).json())["decisions"]
    assert [each["reason"] for each in found][:2] == ["in-region", "in-region"]
    assert HOSTILE in {each["user_agent"] for each in found}


@pytest.mark.parametrize("path", ["/nope", "/metrics/", "/api", "/api/explain/x", "/a.tar.gz"])
async def test_an_unknown_path_is_not_found(client: TestClient[Any, Any], path: str) -> None:
    assert (await client.get(path)).status == 404


@pytest.mark.parametrize(
    "path",
    ["/", "/metrics", "/readyz", "/api/explain", "/api/status", "/api/history", "/api/decisions"],
)
async def test_nothing_can_be_changed_here(client: TestClient[Any, Any], path: str) -> None:
    for method in ("POST", "PUT", "DELETE"):
        assert (await client.request(method, path)).status == 405


async def test_a_page_that_is_not_there_is_answered_with_those_that_are(
    client: TestClient[Any, Any],
) -> None:
    answer = await client.get("/status")
    text = await answer.text()
    assert answer.status == 404
    for path in text.strip().partition("there are: ")[2].split(", "):
        assert (await client.get(path)).status != 404
    assert "/metrics, /healthz, /readyz, /api/status" in text
    assert "{" not in text
