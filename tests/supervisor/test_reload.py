"""A reload is applied by every worker, or by none and reported."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from nearbucket.supervisor import supervisor as supervisor_module
from nearbucket.supervisor.bucket_listings import BucketListings
from nearbucket.supervisor.pool import worker_pool
from nearbucket.supervisor.snapshot import fingerprint
from tests.build import ranges
from tests.supervisor.supervised import NO_PROCESS, Worker, supervised, write

if TYPE_CHECKING:
    from pathlib import Path

SITES = '[{"origin": {"bucket": "downloads", "region": "us-east-1"}}]'
SECRET = {"header": "x-origin-verify", "values": ["env:ORIGIN_VERIFY"]}


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


async def test_of_many_signals_during_a_reload_one_more_reload_is_made(tmp_path: Path) -> None:
    file = tmp_path / "nearbucket.yaml"
    worker = Worker()
    async with supervised(file, worker) as supervisor:
        first = asyncio.create_task(supervisor.reload())
        await asyncio.sleep(0)  # it has read the file
        write(file, "off")
        await asyncio.gather(first, *(supervisor.reload() for _ in range(20)))
        assert supervisor.settings.sites[0].redirect.mode == "off"
        reloads = (await supervisor.figures())["nearbucket_config_reloads_total"]
        assert reloads == {("applied",): 2, ("refused",): 0}
    assert worker.modes == ["on", "on", "off"]


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
    assert "; client_address.origin_secret.values: changed" in caplog.text


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
