"""The progress of a run, in words."""

from __future__ import annotations

import asyncio
import errno
import io
import re
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from nearbucket.cli.sync_report import SyncReport, print_reports, progress
from nearbucket.pricing.tariff import tariff
from nearbucket.replication.plan import steps_of
from nearbucket.replication.sync_progress import SyncFailure
from tests.build import settings

if TYPE_CHECKING:
    from collections.abc import Mapping

GB = 10**9
FOUND = {"listed": True, "objects": 100, "size": 10 * GB}


def report(values: Mapping[str, Any], *, dry_run: bool = False, host: str = "*") -> SyncReport:
    step = steps_of(settings(site={"hosts": [host]}), (), (), delete=False)[0]
    made = SyncReport(step, dry_run)
    for name, value in values.items():
        setattr(made.progress, name, value)
    return made


@pytest.mark.parametrize(
    ("values", "text"),
    [
        pytest.param({}, "0 bytes of 0 bytes, 0 of 0 objects, still listing", id="at the start"),
        pytest.param({**FOUND, "listed": False, "moved": GB, "copied": 1},
                     "1.0 GB of 10.0 GB, 1 of 100 objects, still listing", id="listing"),
        pytest.param({**FOUND, "moved": 2 * GB, "copied": 50},
                     "2.0 GB of 10.0 GB, 0:03:51 left, 50 of 100 objects", id="half of them"),
        pytest.param({**FOUND, "moved": 10 * GB, "copied": 1},
                     "10.0 GB of 10.0 GB, 0:00:01 left, 1 of 100 objects", id="large one first"),
        pytest.param({**FOUND, "moved": 1000, "copied": 98},
                     "1.0 kB of 10.0 GB, 0:51:02 left, 98 of 100 objects", id="small ones first"),
        pytest.param({**FOUND, "moved": 5 * GB},
                     "5.0 GB of 10.0 GB, 0:01:02 left, 0 of 100 objects", id="parts alone"),
        pytest.param({**FOUND, "copied": 50, "size": 0},
                     "0 bytes of 0 bytes, 0:01:00 left, 50 of 100 objects", id="empty objects"),
        pytest.param({**FOUND, "failures": [SyncFailure("k", "c", "t")]},
                     "0 bytes of 10.0 GB, 0 of 100 objects, 1 failed", id="failures"),
    ],
)  # fmt: skip
def test_after_a_minute_a_line_says_what_is_done_and_left(
    values: Mapping[str, Any], text: str
) -> None:
    assert report(values).done(60) == text


def test_a_dry_run_counts_what_it_compared() -> None:
    line = report({**FOUND, "same": 1900}, dry_run=True, host="dl.example").done(60)
    assert line == "2,000 compared, 100 to copy"


async def test_without_a_terminal_lines_come_now_and_then(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = ""
    async with asyncio.timeout(10), progress(report(FOUND), line_seconds=0.01):
        while said.count("\n") < 2:
            await asyncio.sleep(0.01)
            said += capsys.readouterr().err
    assert set(said.splitlines()) == {"nearbucket: us-west-2: 0 bytes of 10.0 GB, 0 of 100 objects"}


@pytest.mark.parametrize("columns", [60, 80, 120])
async def test_a_narrow_terminal_shows_bytes_and_time_left_in_one_line(
    monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, color_system=None, width=columns)
    monkeypatch.setattr("nearbucket.cli.sync_report.Console", lambda **_: console)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    values = {**FOUND, "moved": 2 * GB, "copied": 50}
    async with progress(report(values, host="downloads.example.com")):
        await asyncio.sleep(0)
    lines = re.split(r"(?:[\r\n]|\x1b\[[0-9;?]*[A-Za-z])+", shown.getvalue())
    assert any("2.0 GB of 10.0 GB, 0:0" in line and " left" in line for line in lines)
    assert all("downloads" in line for line in lines if line)


@pytest.mark.parametrize("host", ["*", "downloads.example.com"])
def test_a_terminal_gets_tables_whose_names_and_figures_are_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], host: str
) -> None:
    regions = ["us-west-2", "us-east-2", "eu-west-1", "eu-central-1", "ap-northeast-1"]
    targets = {region: {"bucket": f"downloads-{region}"} for region in regions}
    configured = settings(site={"hosts": [host], "targets": targets})
    reports = [
        SyncReport(each, dry_run=False) for each in steps_of(configured, (), (), delete=False)
    ]
    for number, each in enumerate(reports):
        each.progress.begun, each.progress.copied = True, 1_234_560 + number
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")  # no codes for bold type
    print_reports(reports, tariff(configured.prices))
    words = capsys.readouterr().out.split()
    assert [word for word in words if word in regions] == regions
    assert [word for word in words if word == host] == [host] * (host != "*") * len(regions)
    assert {target["bucket"] for target in targets.values()} <= set(words)
    assert [word for word in words if word.startswith("12345")] == [
        str(each.progress.copied) for each in reports
    ]


async def test_lines_that_cannot_be_written_do_not_end_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = asyncio.Event()

    def full(_text: str) -> None:
        written.set()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("nearbucket.cli.sync_report.print_error", full)
    async with asyncio.timeout(10), progress(report(FOUND), line_seconds=0):
        await written.wait()
