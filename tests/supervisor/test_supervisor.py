"""A reload is applied by every worker, or by none and reported."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import pytest

from nearbucket.config.file import load
from nearbucket.frontend.returning_clients.stuck_clients import ADVICE, StuckClient
from nearbucket.policy.explain import ExplainQuery, Explanation
from nearbucket.supervisor import supervisor as supervisor_module
from nearbucket.supervisor.bucket_listings import BucketListings
from nearbucket.supervisor.ipc import (
    LAST_STATS,
    Channel,
    Drain,
    ExplainReply,
    ExplainRequest,
    Ready,
    SnapshotRefused,
    Stats,
    StatsRequest,
)
from nearbucket.supervisor.pool import worker_pool
from nearbucket.supervisor.pool.worker_handle import StartedWorker
from nearbucket.supervisor.prefork import PreforkedWorkers
from nearbucket.supervisor.snapshot import Snapshot, fingerprint, snapshot_of
from nearbucket.supervisor.stack_dump import StackDump
from nearbucket.supervisor.supervisor import Supervisor
from nearbucket.telemetry.history.missing_copies import MissingCopy
from tests.build import ranges

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from nearbucket.telemetry.metrics import Values


NO_PROCESS = (1 << 22) + 1
"""More than any process id of Linux."""


class Worker:
    """The worker's end of a channel: applies snapshots but those of one mode."""

    def __init__(self, *, refuses: str | None = None, after: float = 0.0) -> None:
        self.pid, self.returncode = NO_PROCESS, 0
        self.modes: list[str] = []
        self.values: Values = {}
        self.stuck_clients: tuple[StuckClient, ...] = ()
        self.down: dict[tuple[str, str], str] = {}
        self.missing_copies: tuple[MissingCopy, ...] = ()
        self.queries: list[ExplainQuery] = []
        self._refuses, self._after = refuses, after
        self.end, self._end = socket.socketpair()

    async def wait(self) -> int:
        return 0

    async def run(self) -> None:
        channel = await Channel.over(self._end)
        channel.send(Ready())
        while not isinstance(message := await channel.receive(), Drain):
            if isinstance(message, Snapshot):
                mode = message.settings.sites[0].redirect.mode
                if mode == self._refuses:
                    await asyncio.sleep(self._after)
                    channel.send(SnapshotRefused("RuntimeError('broken')"))
                else:
                    self.modes.append(mode)
            elif isinstance(message, StatsRequest):
                told = self.stuck_clients, self.down, self.missing_copies
                channel.send(Stats(message.number, self.values, *told))
            elif isinstance(message, ExplainRequest):
                self.queries.append(message.query)
                channel.send(ExplainReply(message.number, Explanation("in-region", ())))
        channel.send(Stats(LAST_STATS, {}))
        await channel.close()


SITES = '[{"origin": {"bucket": "downloads", "region": "us-east-1"}}]'
SECRET = {"header": "x-origin-verify", "values": ["env:ORIGIN_VERIFY"]}


def write(file: Path, mode: str) -> None:
    nowhere = {"endpoint": "https://127.0.0.1:9", "credentials": "anonymous"}
    site = {
        "origin": {"bucket": "downloads", "region": "us-east-1", **nowhere},
        "targets": {"us-west-2": {"bucket": "west"}},
        "redirect": {"mode": mode},
    }
    file.write_text(json.dumps({"sites": [site]}), encoding="utf-8")


@asynccontextmanager
async def supervised(file: Path, *workers: Worker) -> AsyncIterator[Supervisor]:
    """A supervisor of these workers, which have applied the first snapshot."""
    write(file, "on")
    first = [StartedWorker(cast("Any", worker), worker.end, StackDump()) for worker in workers]
    listeners = [socket.socket() for _ in workers]
    supervisor = Supervisor(
        file, snapshot_of(load(file), None), PreforkedWorkers(listeners, first, 0)
    )
    pool = supervisor._pool
    pool.start()
    running = [asyncio.create_task(worker.run()) for worker in workers]
    await pool.ready(asyncio.Event())
    try:
        yield supervisor
    finally:
        supervisor._listings.stop()
        supervisor._origin_check.close()
        await pool.drain(Drain(25.0))
        await asyncio.gather(*running)


async def test_a_reload_that_one_worker_cannot_apply_is_refused_and_undone_in_all(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "nearbucket.yaml"
    good, bad = Worker(), Worker(refuses="off")
    async with supervised(file, good, bad) as supervisor:
        write(file, "off")
        await supervisor.reload()
        assert supervisor.settings.sites[0].redirect.mode == "on"
        status = await supervisor.status()
        assert status["sites"][0]["mode"] == "on"
        refused = f"worker process {NO_PROCESS} cannot apply it: RuntimeError('broken')"
        assert status["config"]["refused"] == refused
        assert f"not reloaded, the old one stays in use: {refused}" in caplog.text
        reloads = (await supervisor.figures())["nearbucket_config_reloads_total"]
        assert reloads == {("applied",): 0, ("refused",): 1}
        write(file, "shadow")
        await supervisor.reload()
        assert (await supervisor.status())["config"]["refused"] is None
        reloads = (await supervisor.figures())["nearbucket_config_reloads_total"]
        assert reloads == {("applied",): 1, ("refused",): 1}
        applied, before = (await supervisor.status())["reloads"]
        assert (applied["result"], before["result"]) == ("applied", "refused")
        assert (applied["text"], before["text"]) == ("sites.*.redirect.mode: on -> shadow", refused)
        assert applied["config"] != before["config"]
    assert good.modes == ["on", "off", "on", "shadow"]
    assert bad.modes == ["on", "on", "shadow"]


async def test_savings_that_nobody_saw_may_be_taken_back(tmp_path: Path) -> None:
    labels = ("*", "us-west-2")
    worker = Worker()
    async with supervised(tmp_path / "nearbucket.yaml", worker) as supervisor:
        for seen in (5_000_000, 0):
            worker.values = {"nearbucket_redirected_bytes_total": {labels: seen}}
            await supervisor.history("hour")
        assert (await supervisor.figures())["nearbucket_redirected_bytes_total"][labels] == 0


async def test_reloads_of_a_signal_and_of_a_change_take_turns(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    file = tmp_path / "nearbucket.yaml"
    async with supervised(file, Worker()) as supervisor:
        write(file, "off")
        await asyncio.gather(supervisor.reload(), supervisor.reload())
    found = [line for line in caplog.messages if line.startswith("configuration reloaded")]
    assert [line.endswith("no setting has changed") for line in found] == [False, True]


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


async def test_a_worker_that_is_slow_to_refuse_a_reload_counts_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_pool, "STATS_TIMEOUT", 0.05)
    file = tmp_path / "nearbucket.yaml"
    good, slow = Worker(), Worker(refuses="off", after=0.12)
    async with supervised(file, good, slow) as supervisor:
        write(file, "off")
        await supervisor.reload()
        status = await supervisor.status()
        assert "cannot apply it" in (status["config"]["refused"] or "")
    assert (good.modes, slow.modes) == (["on", "off", "on"], ["on", "on"])


async def test_a_worker_that_hangs_does_not_keep_the_others_from_a_reload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_pool, "STATS_TIMEOUT", 0.01)
    file = tmp_path / "nearbucket.yaml"
    good, hung = Worker(), Worker(refuses="off", after=0.5)
    async with supervised(file, good, hung) as supervisor:
        write(file, "off")
        await supervisor.reload()
        assert good.modes == ["on", "off"]
        assert (await supervisor.status())["config"]["refused"] is None


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


@pytest.mark.parametrize(
    ("more", "begins"),
    [({"prices": {"plan": "flat:pro"}}, 1), ({"limits": {"drain_grace": "7s"}}, 0)],
)
async def test_listings_begin_again_when_what_they_depend_on_changes(
    more: dict[str, Any], begins: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = []
    monkeypatch.setattr(BucketListings, "use", lambda _, settings: used.append(settings))
    file = tmp_path / "nearbucket.yaml"
    async with supervised(file, Worker()) as supervisor:
        before = supervisor.settings
        file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | more))
        await supervisor.reload()
        assert supervisor.settings != before
        assert used == [supervisor.settings] * begins


async def test_a_reload_logs_which_settings_it_changes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    file = tmp_path / "nearbucket.yaml"
    async with supervised(file, Worker()) as supervisor:
        write(file, "shadow")
        await supervisor.reload()
        await supervisor.reload()
        name = fingerprint(supervisor.settings)
    assert [line for line in caplog.messages if "reloaded" in line] == [
        f"configuration reloaded: {name}; sites.*.redirect.mode: on -> shadow",
        f"configuration reloaded: {name}; no setting has changed",
    ]


async def test_each_error_of_a_refused_reload_is_told_and_shown_until_the_next(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "nearbucket.yaml"
    async with supervised(file, Worker()) as supervisor:
        file.write_text("limits: {idle_timeout: soon}\nlisten: {prot: 1}\n", encoding="utf-8")
        await supervisor.reload()
        refused = (await supervisor.status())["config"]["refused"]
        errors = refused.split(f"; {file}:")
        assert {error.split(": ")[1] for error in errors} == {
            "limits.idle_timeout", "listen.prot", "sites",
        }  # fmt: skip
        assert caplog.messages[-1].endswith(f"the old one stays in use: {refused}")
        (warning,) = supervisor.warnings()
        assert warning == (
            f"the last configuration was refused, the old one stays in use: {refused}"
        )
        assert (await supervisor.status())["warnings"] == [warning]
        write(file, "off")
        await supervisor.reload()
        assert supervisor.warnings() == []


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


async def test_a_target_is_switched_off_beside_a_change_that_takes_a_restart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file, worker = tmp_path / "nearbucket.yaml", Worker()
    async with supervised(file, worker) as supervisor:
        await supervisor._publish(ranges())
        port = supervisor.settings.listen.port
        write(file, "off")
        document = json.loads(file.read_text("utf-8"))
        document |= {"listen": {"port": 81}, "log": {"access": "w3c", "level": "warning"}}
        file.write_text(json.dumps(document), encoding="utf-8")
        await supervisor.reload()
        settings = supervisor.settings
        assert worker.modes == ["on", "on", "off"]
        assert (settings.listen.port, settings.log.access) == (port, "json")
        assert settings.log.level == "warning"
        status = await supervisor.status()
        assert status["config"]["refused"] is None
        (warning,) = status["warnings"]
        assert warning.startswith("listen, log.access: changed in the configuration, which takes a")
        assert "everything else in it is applied" in warning
        assert warning in caplog.messages
        write(file, "off")
        await supervisor.reload()
        assert (await supervisor.status())["warnings"] == []


async def test_a_reload_never_logs_a_secret(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    file = tmp_path / "nearbucket.yaml"
    document = {"sites": json.loads(SITES), "client_address": {"origin_secret": SECRET}}
    async with supervised(file, Worker()) as supervisor:
        for secret in ("first-s3cr3t", "second-s3cr3t"):
            monkeypatch.setenv("ORIGIN_VERIFY", secret)
            file.write_text(json.dumps(document), encoding="utf-8")
            await supervisor.reload()
    assert "s3cr3t" not in caplog.text
    assert "; client_address.origin_secret.values: changed" in caplog.messages[-1]


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


async def test_an_error_that_nothing_expects_does_not_end_the_watch_of_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file, reloaded = tmp_path / "nearbucket.yaml", asyncio.Event()
    monkeypatch.setattr(supervisor_module, "WATCH_INTERVAL", 0.0)
    answers = iter([None, True])

    async def changed() -> bool:
        answer = next(answers)
        if answer is None:
            raise RuntimeError
        return answer

    async def reload() -> None:
        reloaded.set()
        await asyncio.Event().wait()

    async with supervised(file, Worker()) as supervisor:
        monkeypatch.setattr(supervisor._config, "changed", changed)
        monkeypatch.setattr(supervisor, "reload", reload)
        watch = asyncio.create_task(supervisor._watch_config())
        await asyncio.wait_for(reloaded.wait(), 10)
        watch.cancel()
    assert "whether the configuration has changed is not known" in caplog.messages


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
