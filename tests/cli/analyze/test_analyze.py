"""``nearbucket analyze``: sources, options and exit codes. Figures are in tests/analysis."""

from __future__ import annotations

import asyncio
import gzip
import os
import signal
import subprocess
import sys
import time
from itertools import cycle, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nearbucket.errors import install_command
from tests.analysis.log_writers import w3c, write
from tests.analysis.made_logs import HEADER, HOSTS, Mixed
from tests.cli.analyze.conftest import LOG, report
from tests.cli.analyze.test_analyze_loop import addresses
from tests.cli.conftest import BUILT_IN_DATE, MIRROR, SITE
from tests.cli.conftest import write as write_config
from tests.made_ranges import MADE

if TYPE_CHECKING:
    from tests.cli.conftest import Run
    from tests.conftest import LocalS3

SAMPLES = Path(__file__).parents[2] / "data" / "logs"
NAMES = ", ".join(sorted({request.host for request in LOG}))
_REALTIME = ["x-clock", "c-ip", "-", "sc-status", "sc-bytes", "cs-method", "-", "-", "cs-uri-stem"]
_OTHER_CLOCK = ",".join([*_REALTIME, *["-"] * 28])


@pytest.fixture
def whole(analyze: Any, log: str) -> dict[str, Any]:
    """The report of the log without options, which is made once: tests only read it."""
    if not _whole:
        _whole.update(report(analyze(log, "--format", "json")))
    return _whole


_whole: dict[str, Any] = {}


def test_all_formats_show_the_same_counts(
    analyze: Any, whole: dict[str, Any], log: str, tmp_path: Path
) -> None:
    assert whole["scope"]["lines"] == len(LOG)
    text = analyze(log)
    assert text.code == 0
    assert f"scope.lines\t{len(LOG)}" in text.out.splitlines()
    page = tmp_path / "report.html"
    assert analyze(log, "--format", "html", "--output", str(page)) == (0, "", "")
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_an_origin_region_that_nothing_says_is_told(
    analyze: Any, whole: dict[str, Any], log: str, tmp_path: Path
) -> None:
    def notes(*arguments: str) -> str:
        return " ".join(report(analyze(log, "--format", "json", *arguments))["notes"])

    assumed = "The origin is taken to be in us-east-1; --origin-region names another."
    assert assumed in " ".join(whole["notes"])
    assert "The origin is taken" not in notes("--origin-region", "us-east-1")
    config = write_config(tmp_path / "own.yaml", sites=[SITE])
    assert "The origin is taken" not in notes("--config", config)
    assert notes("--config", config) == notes("--config", config, "--origin-region", "us-east-1")
    code, _, err = analyze(log, "--config", config, "--origin-region", "eu-west-1")
    assert (code, "the configuration has the origin in us-east-1; leave out" in err) == (2, True)


def test_standard_input_is_a_log(analyze: Any, whole: dict[str, Any], log: str) -> None:
    piped = report(analyze("-", "--format", "json", stdin=Path(log).read_bytes()))
    assert piped == whole


def test_sigterm_leaves_no_temporary_files(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "nearbucket", "analyze", "--ranges", str(MADE), "-"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, env={**os.environ, "TMPDIR": str(tmp_path)}
    ) as process:
        for _ in range(1200):
            if process.poll() is not None or _handles_sigterm(process.pid):
                break
            time.sleep(0.05)
        assert any(tmp_path.glob("nearbucket-analyze-*"))
        process.terminate()
        assert process.wait(60) == -signal.SIGTERM
    assert not any(tmp_path.iterdir())


_AS_FIRST_PROCESS = """
import os, signal, sys
from pathlib import Path
from nearbucket.cli.analyze.analyze_run import _removed_at_sigterm
os.kill = lambda *_: None  # the kernel drops what the first process of a container sends itself
with _removed_at_sigterm(Path(sys.argv[1])):
    signal.raise_signal(signal.SIGTERM)
    sys.exit(0)
"""


def test_sigterm_ends_the_first_process_of_a_container_too(tmp_path: Path) -> None:
    folder = tmp_path / "nearbucket-analyze"
    folder.mkdir()
    done = subprocess.run([sys.executable, "-c", _AS_FIRST_PROCESS, folder], check=False)
    assert done.returncode == 128 + signal.SIGTERM
    assert not folder.exists()


def _handles_sigterm(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


def test_a_log_without_any_address_needs_attention(analyze: Any) -> None:
    done = analyze(str(SAMPLES / "cloudfront-v2-no-client.log"), "--format", "json")
    assert [each["region"] for each in report(done, 1)["regions"]] == ["NO-ADDRESS"]
    assert "no request has the address of a client" in done.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.log"], "none.log: no such file, folder or pattern"),
        (["empty.log"], "there is no request in the logs: "),
        (
            ["{log}", "--since", "2027-01-01"],
            "there is no log file of this period; their names are of 2026-11-02T00:00 to ",
        ),
        (
            ["{log}", "--since", ""],
            "--since: '' is no date such as 2026-11-02",
        ),
        (
            ["{log}", "--since", "2026-11-03", "--until", "2026-11-02"],
            "--until 2026-11-02 is not after --since 2026-11-03",
        ),
        (
            ["{log}", "--host", "other.example"],
            f"{len(LOG)} of other hosts; the first and the last file have the hosts {NAMES}, from",
        ),
        (
            ["{log}", "--memory", "much"],
            "--memory: 'much' is not a size; write one such as 4096, 64KiB",
        ),
        (["{log}", "--memory", "8"], "--memory: '8' is under 1MiB; write a size such as 8GiB"),
        (["{log}", "--engine", "other"], "--engine other: there are local, spark and spark=MASTER"),
        (["{log}", "--fields", "date time"], "--fields: has no sc-bytes, cs-uri-stem, sc-status"),
        (["{log}", "--dedupe", "--keep", "k"], "--dedupe compares all files"),
        (["{log}", "--inventory", "m.json"], "--inventory needs the origin bucket: --config FILE"),
        (["{log}", "--plan", "gold"], "--plan gold: "),
        (
            ["{log}", "--origin-region", "us-esat-1"],
            "--origin-region: 'us-esat-1' is not an AWS region; did you mean us-east-1?",
        ),
        (["{log}", "--ranges", "none.json"], "--ranges none.json: No such file or directory"),
        (["{log}", "--output", "none/r.html"], "--output none/r.html: there is no such folder"),
        (["{log}", "--output", "."], "--output .: Is a directory"),
        (
            [str(SAMPLES / "cloudfront-realtime.tsv")],
            "below a #Fields line; --fields names the columns of logs without one",
        ),
        (
            [str(SAMPLES / "cloudfront-realtime.tsv"), "--fields", _OTHER_CLOCK],
            "1 without a time; it is in the fields date and time, or in timestamp (seconds)",
        ),
        (["{log}", "--replay", "http://127.0.0.1:1"], "--replay needs the configuration"),
        (
            [
                *("{log}", "--replay", "http://127.0.0.1:1", "--host", "a", "--dedupe"),
                *("--sample", "50", "--no-recommend"),
            ],
            "--host, --dedupe, --sample, --no-recommend: without effect on --replay",
        ),
        (
            [
                *("{log}", "--replay", "http://127.0.0.1:1", "--discount", "5", "--threads", "1"),
                *("--plan", "payg", "--price-class", "100", "--origin-region", "eu-west-1"),
            ],
            "--plan, --price-class, --discount, --origin-region, --threads: without effect on",
        ),
    ],
)
def test_what_cannot_be_used_ends_with_2(
    analyze: Any, log: str, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "empty.log").touch()
    code, out, err = analyze(*(each.format(log=log) for each in arguments))
    assert (code, out) == (2, "")
    assert message in err


def test_without_a_list_of_prefixes_nothing_is_counted(
    nearbucket: Run, log: str, tmp_path: Path
) -> None:
    write_config(tmp_path / "nearbucket.yaml", regions=MIRROR)
    code, _, err = nearbucket("analyze", log)
    assert code == 2
    assert "there is no list of prefixes" in err


def test_a_report_by_the_built_in_list_says_so(nearbucket: Run, log: str) -> None:
    code, _, err = nearbucket("analyze", log)
    assert code == 0
    assert f"the list of prefixes is the built-in one of {BUILT_IN_DATE}; " in err


def test_a_replay_says_so_once(nearbucket: Run, log: str, tmp_path: Path) -> None:
    config = write_config(tmp_path / "a.yaml", sites=[SITE])
    done = nearbucket("analyze", log, "--replay", "http://127.0.0.1:1", "--config", config)
    assert done.err.count("the list of prefixes is the built-in one") == 1


def test_without_its_packages_the_command_to_install_them_is_shown(
    analyze: Any, log: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nearbucket.cli.analyze.analyze_command.find_spec", lambda _name: None)
    code, _, err = analyze(log)
    assert code == 2
    assert install_command("report") in err


def test_hosts_and_times_choose_the_requests(analyze: Any, log: str) -> None:
    options = (log, "--format", "json", "--no-recommend")
    document = report(analyze(*options, "--host", HOSTS[1].upper()))
    assert [each["name"] for each in document["hosts"]] == [HOSTS[1]]
    assert document["scope"]["left_out"] == {
        "of other hosts": sum(each.host != HOSTS[1] for each in LOG)
    }
    late = report(analyze(*options, "--since", "2026-11-02T00:30"))
    assert late["scope"]["from"] >= "2026-11-02T00:30"
    assert 0 < late["scope"]["lines"] < len(LOG)


def test_the_same_requests_count_once_with_dedupe(
    analyze: Any, whole: dict[str, Any], log: str
) -> None:
    other = Path(log).with_name("other-name.log")
    other.write_bytes(gzip.decompress(Path(log).read_bytes()) + b"\n")
    options = (log, str(other), "--format", "json", "--no-recommend")
    assert report(analyze(*options))["scope"]["lines"] == 2 * len(LOG)
    found = report(analyze(*options, "--dedupe"))
    assert found["scope"]["left_out"] == {"repeated": len(LOG)}
    assert (found["regions"], found["top_files"]) == (whole["regions"], whole["top_files"])


def test_kept_aggregates_give_the_same_report(
    analyze: Any, whole: dict[str, Any], log: str, tmp_path: Path
) -> None:
    keep = str(tmp_path / "keep")
    for _ in range(2):
        assert report(analyze(log, "--format", "json", "--keep", keep)) == whole


@pytest.mark.parametrize("below", ["kept", ""])
def test_kept_aggregates_in_the_folder_of_the_logs_are_no_logs(
    analyze: Any, log: str, below: str
) -> None:
    folder = Path(log).parent
    keep = folder / below
    options = (str(folder), "--format", "json", "--keep", str(keep), "--no-recommend")
    before = len(list(keep.glob("*")))
    first = report(analyze(*options))
    assert len(list(keep.glob("*"))) > before
    assert report(analyze(*options)) == first


def test_redirects_whose_bytes_the_log_does_not_have_are_not_stopped_by_a_recommendation(
    analyze: Any, tmp_path: Path
) -> None:
    clients = cycle(addresses("us-east-1"))
    size = 100 << 30
    hit = LOG[0]._replace(
        method="GET",
        status=200,
        result="Hit",
        bytes=size,
        length=size,
        start=-1,
        query="",
        cookie="",
    )
    moved = hit._replace(status=301, bytes=HEADER, length=-1)
    requests = [
        (moved if number % 9 == 8 else hit)._replace(
            time=hit.time + 7200 * number, client=next(clients)
        )
        for number in range(168)
    ]
    w3c(tmp_path / "a.log", requests)
    w3c(tmp_path / "whole.log", [each for each in requests if each.status == 200])
    site = {**SITE, "redirect": {"mode": "shadow"}}
    shadow = write_config(tmp_path / "shadow.yaml", sites=[site])
    live = write_config(tmp_path / "live.yaml", sites=[SITE])

    def found(log: str, config: str) -> tuple[list[str], str | None]:
        options = ("--config", config, "--format", "json")
        document = report(analyze(str(tmp_path / log), *options))
        return document["notes"], (document["recommendation"] or {}).get("yaml")

    notes, policy = found("a.log", live)
    assert notes[0].startswith("18 of 168 requests were answered with a redirect. ")
    why = "No policy is recommended: it could stop redirects that are on, whose bytes"
    assert (any(note.startswith(why) for note in notes), policy) == (True, None)
    notes, policy = found("a.log", shadow)
    assert notes[0].startswith("18 of 168 requests were answered with a redirect. ")
    assert policy is not None
    assert "monthly_gb" not in policy, "the log has not all"
    for config in (live, shadow):
        assert "monthly_gb" in (found("whole.log", config)[1] or "")


def test_the_bucket_of_logs_of_s3_is_no_host_of_the_recommended_configuration(
    analyze: Any, tmp_path: Path
) -> None:
    clients = cycle(addresses("us-east-1"))
    size = 100 << 30
    rows = (
        f"owner a-bucket [{day:02}/Nov/2026:{hour:02}:00:00 +0000] {next(clients)} - ID "
        f'REST.GET.OBJECT a-{hour}.iso "GET /a-{hour}.iso HTTP/1.1" 200 - {size} {size} 9 9 "-" '
        '"curl" -\n'
        for day, hour in product(range(1, 15), range(12))
    )
    (tmp_path / "s3.log").write_text("".join(rows), encoding="ascii")
    found = report(analyze(str(tmp_path / "s3.log"), "--format", "json"))
    assert found["notes"][0].startswith("These are S3 server access logs. ")
    assert found["scope"]["kinds"] == ["s3"]
    assert "- origin:" in found["recommendation"]["yaml"]
    assert "hosts" not in found["recommendation"]["yaml"]


@pytest.mark.usefixtures("own_sdk_session")
def test_logs_are_read_from_s3(
    analyze: Any, s3: LocalS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = write(tmp_path / "logs", Mixed(600, 3, days=1))

    async def upload() -> None:
        async with s3.server.client() as client:
            await client.create_bucket(Bucket="cdn-logs")
            for file in files:
                await client.put_object(
                    Bucket="cdn-logs", Key=f"cf/{file.name}", Body=file.read_bytes()
                )

    asyncio.run(upload())
    for name, value in {
        "AWS_ENDPOINT_URL_S3": s3.server.endpoint,
        "AWS_ACCESS_KEY_ID": s3.server.access_key,
        "AWS_SECRET_ACCESS_KEY": s3.server.secret_key,
    }.items():
        monkeypatch.setenv(name, value)
    options = ("--format", "json", "--no-recommend")
    local = report(analyze(str(tmp_path / "logs"), *options))
    remote = report(analyze("s3://cdn-logs/cf/", *options))
    assert remote == local
    assert remote["scope"]["files"] == 3
    later = report(analyze("s3://cdn-logs/cf/", *options, "--since", "2026-11-02T17:00"))
    assert later["scope"]["files"] == 1
    code, _, err = analyze("s3://no-such-bucket-here/x")
    assert code == 2
    assert "s3://no-such-bucket-here" in err
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    began = time.monotonic()
    code, _, err = analyze("s3://cdn-logs/cf/")
    assert code == 3
    assert "is AWS_ENDPOINT_URL_S3 right, and S3 reachable from here?" in err
    assert time.monotonic() - began < 60, "the SDK's pauses between eight attempts take minutes"
