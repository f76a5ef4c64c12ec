"""What the supervisor shows and counts of its workers: status, warnings, metrics, explanations."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from nearbucket.frontend.returning_clients.stuck_clients import ADVICE, StuckClient
from nearbucket.policy.explain import ExplainQuery, Explanation
from nearbucket.telemetry.history.missing_copies import MissingCopy
from tests.build import ranges
from tests.supervisor.supervised import Worker, supervised, write

if TYPE_CHECKING:
    from pathlib import Path

    from nearbucket.telemetry.metrics import Values


async def test_savings_that_nobody_saw_may_be_taken_back(tmp_path: Path) -> None:
    labels = ("*", "us-west-2")
    worker = Worker()
    async with supervised(tmp_path / "nearbucket.yaml", worker) as supervisor:
        for seen in (5_000_000, 0):
            worker.values = {"nearbucket_redirected_bytes_total": {labels: seen}}
            await supervisor.history("hour")
        assert (await supervisor.figures())["nearbucket_redirected_bytes_total"][labels] == 0


async def test_the_status_is_that_of_one_moment(tmp_path: Path) -> None:
    """Workers take a while to send their metrics, and a reload may come meanwhile."""
    file = tmp_path / "nearbucket.yaml"
    async with supervised(file, Worker()) as supervisor:
        await supervisor._publish(ranges())
        status = asyncio.create_task(supervisor.status())
        await asyncio.sleep(0)  # it waits for the worker now
        supervisor._stop.set()
        write(file, "no such mode")
        await supervisor.reload()
        found = await status
        assert (found["workers"]["serving"], found["reasons"]) == (1, [])
        assert (found["sites"][0]["mode"], found["config"]["refused"]) == ("on", None)


async def test_the_status_names_the_stuck_clients_of_all_workers(tmp_path: Path) -> None:
    workers = Worker(), Worker()
    for number, worker in enumerate(workers):
        client = StuckClient.of("*", "us-west-2", f"192.0.2.{number}", "a.tar.gz", b"curl/8\xff")
        worker.stuck_clients = (client._replace(since=1.5e9),)
    async with supervised(tmp_path / "nearbucket.yaml", *workers) as supervisor:
        await supervisor._publish(ranges())
        shown = (await supervisor.status())["stuck_clients"]
    fields = {
        "site": "*", "region": "us-west-2", "key": "a.tar.gz", "user_agent": "curl/8\ufffd",
        "since": "2017-07-14T02:40:00+00:00", "until": "2017-07-14T03:40:00+00:00",
    }  # fmt: skip
    assert shown == [
        {**fields, "client": f"192.0.2.{number}", "advice": ADVICE} for number in range(2)
    ]


async def test_an_origin_that_is_down_in_a_worker_is_a_warning_and_in_the_status(
    tmp_path: Path,
) -> None:
    file, well, ill = tmp_path / "nearbucket.yaml", Worker(), Worker()
    ill.down = {("*", "origin"): "no connection or response in time"}
    async with supervised(file, well, ill) as supervisor:
        document = json.loads(file.read_text("utf-8"))
        document["sites"][0]["failover"] = [{**document["sites"][0]["origin"], "bucket": "west"}]
        file.write_text(json.dumps(document), encoding="utf-8")
        await supervisor.reload()
        (shown,) = (await supervisor.status())["sites"]
        (warning,) = supervisor.warnings()
    origin, failover = shown["origins"].values()
    assert (origin["up"], origin["why_down"]) == (False, "no connection or response in time")
    assert (failover["up"], failover["why_down"]) == (True, None)
    assert warning == (
        "sites.*.origin: bucket downloads is down, and other origins are asked: no connection or "
        "response in time"
    )


async def test_a_target_in_a_region_that_the_list_does_not_have_is_a_warning_until_it_is_gone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "nearbucket.yaml"
    async with supervised(file, Worker()) as supervisor:
        await supervisor._publish(ranges())
        assert supervisor.warnings() == []
        file.write_text(file.read_text("utf-8").replace("us-west-2", "ap-south-1"), "utf-8")
        await supervisor.reload()
        (warning,) = supervisor.warnings()
        assert warning.startswith("sites.*.targets.ap-south-1: the list of prefixes has no address")
        assert warning.endswith("correct the region, or add regions.services or regions.overrides")
        assert warning in caplog.messages
        text = file.read_text("utf-8").replace("ap-south-1", "us-wset-2")
        bucket = '"bucket": "west"'  # a region of AWS has to be one for a bucket of AWS alone
        text = text.replace(bucket, f'{bucket}, "endpoint": "https://127.0.0.1:9"')
        file.write_text(text, "utf-8")
        await supervisor.reload()
        (warning,) = supervisor.warnings()
        assert warning.startswith("sites.*.targets.us-wset-2: the list of prefixes has no address")
        assert warning.endswith("; did you mean us-west-2?")
        write(file, "off")
        await supervisor.reload()
        assert supervisor.warnings() == []


async def test_dollars_are_computed_from_the_bytes_of_all_workers(tmp_path: Path) -> None:
    labels = ("*", "us-west-2")
    values: Values = {"nearbucket_redirected_bytes_total": {labels: 500 << 30}}
    one, two = Worker(), Worker()
    one.values = two.values = values
    async with supervised(tmp_path / "nearbucket.yaml", one, two) as supervisor:
        figures = await supervisor.figures()
    assert figures["nearbucket_saved_usd_total"][labels] == pytest.approx(85)


async def test_what_one_worker_takes_back_is_paid_by_the_savings_of_another(tmp_path: Path) -> None:
    name, labels = "nearbucket_redirected_bytes_total", ("*", "us-west-2")
    one, two = Worker(), Worker()
    async with supervised(tmp_path / "nearbucket.yaml", one, two) as supervisor:
        shown = []
        for first, second in ((10, 0), (10, -10), (10, -5), (10, 1)):
            one.values, two.values = {name: {labels: first}}, {name: {labels: second}}
            shown.append((await supervisor.figures())[name][labels])
    assert shown == [10, 10, 10, 11]


async def test_without_a_user_agent_that_of_a_stuck_client_is_explained(tmp_path: Path) -> None:
    worker = Worker()
    client = StuckClient.of("*", "us-west-2", "192.0.2.7", "a.tar.gz", b"curl/8")
    worker.stuck_clients = (client,)
    given = {"user-agent": "wget"}
    async with supervised(tmp_path / "nearbucket.yaml", worker) as supervisor:
        await supervisor.figures()
        for ip, headers in (("192.0.2.7", {}), ("192.0.2.8", {}), ("192.0.2.7", given)):
            query = ExplainQuery(ip, "/a.tar.gz", None, "GET", headers)
            assert await supervisor.explain(query) == [Explanation("in-region", ())]
    assert [query.headers for query in worker.queries] == [{"User-Agent": "curl/8"}, {}, given]


async def test_the_history_of_traffic_survives_a_reload(tmp_path: Path) -> None:
    file, worker = tmp_path / "nearbucket.yaml", Worker()
    async with supervised(file, worker) as supervisor:
        worker.values = {"nearbucket_redirects_total": {("*", "us-west-2"): 3.0}}
        await supervisor.figures()
        before = await supervisor.history("hour")
        write(file, "shadow")
        await supervisor.reload()
        worker.values = {"nearbucket_redirects_total": {("*", "us-west-2"): 8.0}}
        after = await supervisor.history("hour")
    assert before["began"] == after["began"]
    assert [each["total"]["redirected"]["requests"] for each in (before, after)] == [3, 8]


async def test_the_status_names_the_cdn_only_while_clients_are_redirected_to_it(
    tmp_path: Path,
) -> None:
    file, found = tmp_path / "nearbucket.yaml", []
    async with supervised(file, Worker()) as supervisor:
        for mode in ("on", "shadow", "off"):
            write(file, mode)
            config = json.loads(file.read_text())
            config["sites"][0]["bypass"] = {"mode": "redirect", "to": "https://cdn.example"}
            file.write_text(json.dumps(config))
            await supervisor.reload()
            found.append((await supervisor.status())["sites"][0]["bypass"])
    assert found == ["https://cdn.example", "stream", "stream"]


async def test_the_status_says_since_when_and_why_a_target_is_down(tmp_path: Path) -> None:
    worker = Worker()
    worker.values = {"nearbucket_target_up": {("*", "us-west-2"): 0.0}}
    worker.down = {("*", "us-west-2"): "no connection"}
    async with supervised(tmp_path / "nearbucket.yaml", worker) as supervisor:
        found = await supervisor.status()
        worker.values, worker.down = {"nearbucket_target_up": {("*", "us-west-2"): 1.0}}, {}
        later = await supervisor.status()
    (outage,) = found["outages"]
    assert (outage["target"], outage["until"], outage["why"]) == (
        "us-west-2",
        None,
        "no connection",
    )
    assert found["started"] <= outage["since"] <= later["outages"][0]["until"]


async def test_the_status_has_the_missing_copies_of_all_workers(tmp_path: Path) -> None:
    workers = Worker(), Worker()
    for worker in workers:
        worker.missing_copies = (MissingCopy("*", "us-west-2", "<a>", 2, 1.5e9),)
    async with supervised(tmp_path / "nearbucket.yaml", *workers) as supervisor:
        assert (await supervisor.status())["missing_copies"] == [
            {"site": "*", "region": "us-west-2", "key": "<a>", "requests": 4,
             "last": "2017-07-14T02:40:00+00:00"},
        ]  # fmt: skip
