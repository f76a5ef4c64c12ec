"""Origin buckets that cannot be used: what the log and ``/readyz`` say, and from when on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from nearbucket.replicas.bucket_probe import BucketHealth, ProbeResult
from nearbucket.replicas.health import origin_check as module
from nearbucket.replicas.health.origin_check import OriginCheck
from nearbucket.s3.credentials import SdkCredentials
from tests.build import settings

if TYPE_CHECKING:
    from nearbucket.replicas.health.canaries import Canaries

GOOD, LATER = ProbeResult(BucketHealth.GOOD), ProbeResult(BucketHealth.FAILED, "no answer")
SILENT = ProbeResult(BucketHealth.FAILED, "503")
REFUSED = ProbeResult(BucketHealth.REFUSED, "bucket b: the credentials have expired")
WRONG = ProbeResult(BucketHealth.WRONG, "there is no bucket b")


@pytest.mark.parametrize(
    ("results", "told"),
    [
        ([REFUSED, GOOD, REFUSED, GOOD], ["", "", "", ""]),
        ([REFUSED, REFUSED, GOOD], ["", "expired; run nearbucket check", ""]),
        ([REFUSED, REFUSED, LATER, GOOD], ["", "expired", "expired", ""]),
        ([WRONG, GOOD, REFUSED], ["correct sites.*.origin, and run", "", ""]),
        (
            [LATER, LATER, SILENT, GOOD],
            ["", "no answer; streams from it may fail", "no answer", ""],
        ),
        ([LATER, GOOD, SILENT, GOOD], ["", "", "", ""]),
    ],
    ids=["a-rotation", "refused", "then-no-answer", "missing", "silent", "a-pause"],
)
async def test_keys_that_are_refused_and_silence_count_from_the_second_time_on(
    results: list[ProbeResult], told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []
    over = asyncio.Event()

    class Probe:
        base_url = "http://b/"

        def __init__(self, *_: object) -> None:
            pass

        async def probe(self, _: Canaries) -> ProbeResult:
            seen.append(check.problems)
            if len(seen) > len(results):
                over.set()
                await asyncio.Event().wait()
            return results[len(seen) - 1]

    monkeypatch.setattr(module, "BucketProbe", Probe)
    monkeypatch.setattr(module, "RETRY_INTERVAL", 0.0)
    monkeypatch.setattr(module, "INTERVAL", 0.0)
    check = OriginCheck(SdkCredentials())
    check.use(settings().sites)
    await asyncio.wait_for(over.wait(), 5)
    check.close()
    assert len(seen) == len(told) + 1
    for problems, text in zip(seen[1:], told, strict=True):
        assert text in "".join(problems)
        assert bool(problems) is bool(text)


def test_an_origin_that_is_silent_is_told_by_the_names_that_its_sites_have_now() -> None:
    check = OriginCheck(SdkCredentials())
    check._note("http://b/", "origin of site old", LATER)
    check._note("http://b/", "origin of site old", LATER)
    assert check.problems[0].startswith("origin of site old: no answer")
    check._note("http://b/", "origin of site new", LATER)
    check._note("http://b/", "origin of site new", SILENT)
    assert check.problems == [
        "origin of site new: 503; streams from it may fail; run nearbucket check"
    ]
