"""The files of ``listen.tls`` while the server runs."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from nearbucket.errors import ProxyError
from nearbucket.supervisor.sockets import certificate_watch
from nearbucket.supervisor.sockets.certificate_watch import EXPIRES_SOON, CertificateWatch
from nearbucket.supervisor.sockets.listener_tls import read_key_pair
from tests.certificates import Tls, begins_later, expire, make_certificate

if TYPE_CHECKING:
    from pathlib import Path

    from nearbucket.supervisor.sockets.listener_tls import KeyPair

LATER = 600.0  # seconds after the begin of the first certificate; the next ones are valid by then


@pytest.fixture
def tls(tmp_path: Path) -> Tls:
    return make_certificate(tmp_path, "one.test")


@pytest.fixture
def watch(tls: Tls) -> CertificateWatch:
    return CertificateWatch(tls, read_key_pair(tls))


@pytest.fixture
def now(tls: Tls) -> float:
    return read_key_pair(tls).dates.begin + LATER


def reloads(watch: CertificateWatch) -> tuple[float, float]:
    found = watch.figures(0.0)["nearbucket_certificate_reloads_total"]
    return found["applied",], found["refused",]


def test_a_new_pair_is_given_once_it_is_whole(
    tls: Tls, watch: CertificateWatch, now: float
) -> None:
    old = read_key_pair(tls)
    assert watch.look(now) is None
    make_certificate(tls.certificate.parent, "two.test")
    new = tls.key.read_bytes()
    tls.key.write_bytes(old.key)  # the program that renews has written one file of two
    assert watch.look(now) is None
    tls.key.write_bytes(new)
    found = watch.look(now)
    assert found == read_key_pair(tls) != old
    watch.applied(found)
    assert watch.look(now) is None
    assert reloads(watch) == (1, 0)


@pytest.mark.parametrize("fault", ["junk", "none", "folder", "fifo", "expired"])
def test_what_cannot_be_used_is_refused_once(
    tls: Tls, watch: CertificateWatch, fault: str, caplog: pytest.LogCaptureFixture, now: float
) -> None:
    good = tls.certificate.read_bytes()
    if fault == "expired":
        expire(tls)
    else:
        tls.certificate.unlink()
    if fault == "junk":
        tls.certificate.write_text("junk", encoding="ascii")
    elif fault == "folder":
        tls.certificate.mkdir()
    elif fault == "fifo":
        os.mkfifo(tls.certificate)
    assert [watch.look(now) for _ in range(4)] == [None] * 4
    assert reloads(watch) == (0, 1)
    assert caplog.text.count("certificate not reloaded, the old one stays in use") == 1
    assert str(tls.certificate) in watch.warnings[0]
    tls.certificate.rmdir() if fault == "folder" else tls.certificate.unlink(missing_ok=True)
    tls.certificate.write_bytes(good)
    assert watch.look(now) is None
    assert not [each for each in watch.warnings if "not reloaded" in each]


def test_a_pair_that_is_not_valid_yet_waits_while_the_one_in_use_is(
    tls: Tls, watch: CertificateWatch, now: float
) -> None:
    end = read_key_pair(tls).dates.end
    begins_later(tls, now + 3600)
    assert [watch.look(now) for _ in range(2)] == [None] * 2
    assert f"{tls.certificate} is not valid before " in watch.warnings[0]
    assert watch.look(now + 3601) == read_key_pair(tls)
    begins_later(tls, end + 3600)
    assert watch.look(end + 1) == read_key_pair(tls)  # neither is valid: as the files say


def test_the_time_that_is_left_is_shown_and_its_end_warned_of(
    tls: Tls, watch: CertificateWatch, caplog: pytest.LogCaptureFixture
) -> None:
    end = read_key_pair(tls).dates.end
    for now, word in (
        (end - EXPIRES_SOON - 1, None),
        (end - EXPIRES_SOON + 1, "expires at"),
        (end - 1, "expires at"),
        (end + 1, "has expired at"),
        (end + 2, "has expired at"),
    ):
        watch.look(now)
        assert [word in each for each in watch.warnings if word] == [True] * bool(word)
        assert watch.figures(now)["nearbucket_certificate_valid_seconds"] == {(): end - now}
    assert [each.levelname for each in caplog.records] == ["WARNING", "ERROR"]


async def test_a_pair_that_a_worker_cannot_apply_is_refused_and_tried_again(
    tls: Tls,
    watch: CertificateWatch,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses, sleep = list[float](), asyncio.sleep

    async def wait(pause: float) -> None:
        pauses.append(pause)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", wait)
    monkeypatch.setattr(certificate_watch, "LONGEST_PAUSE", 3.0)
    faults = [*[ProxyError("worker process 7 cannot apply it")] * 3, RuntimeError()]
    warnings: list[list[str]] = []
    applied, done = watch.applied, asyncio.Event()

    async def use(_: KeyPair) -> None:
        warnings.append(watch.warnings[:1])
        if faults:
            raise faults.pop(0)

    def note(pair: KeyPair) -> None:
        applied(pair)
        done.set()

    monkeypatch.setattr(watch, "applied", note)
    make_certificate(tls.certificate.parent, "two.test")
    running = asyncio.create_task(watch.run(use))
    await asyncio.wait_for(done.wait(), 10)
    running.cancel()
    assert reloads(watch) == (1, 1)
    assert pauses[:5] == [1, 2, 3, 3, 3]
    refused = "worker process 7 cannot apply it"
    assert caplog.text.count(f"the old one stays in use: {refused}") == 1
    assert "whether the certificate has changed is not known" in caplog.messages
    assert warnings[2] == warnings[4] == [f"certificate not reloaded: {refused}"]
    assert not [each for each in watch.warnings if "not reloaded" in each]
