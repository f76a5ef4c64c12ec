"""``config diff``: settings that differ, changed answers on logs, and the forms of output."""

from __future__ import annotations

import gzip
import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from nearbucket.cli.config import config_diff_report as report
from nearbucket.telemetry.log_format import JsonFormat
from tests.analysis.test_log_reader import FULL
from tests.build import EAST
from tests.cli.conftest import MIRROR, SITE, TITLE, WEST_URL, write
from tests.log_lines import line_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Outcome, Run

GONE = f"redirect/in-region/301 {WEST_URL}"
SENT = FULL._replace(reason="in-region", action="redirect", status=301, bytes=120)
LOG = b"".join(
    line_of(JsonFormat(), each)
    for each in (
        SENT,
        SENT,
        FULL._replace(client=EAST, reason="credentials", bytes=2**30),
        FULL._replace(path="/b.txt", reason="path", bytes=5),
    )
)


class Diff:
    """Runs the command on two files."""

    def __init__(self, nearbucket: Run, folder: Path, listed: str) -> None:
        self.nearbucket, self.folder, self.listed = nearbucket, folder, listed

    def __call__(self, *options: str, stdin: bytes = b"", **after: Any) -> Outcome:
        old = write(self.folder / "a.yaml")
        new = write(self.folder / "b.yaml", **after)
        return self.nearbucket(
            "config", "diff", old, new, "--ranges", self.listed, *options, stdin=stdin
        )

    def log(self, content: bytes) -> str:
        path = self.folder / "access.log"
        path.write_bytes(content)
        return str(path)


@pytest.fixture(name="compare")
def _compare(nearbucket: Run, tmp_path: Path, listed: str) -> Diff:
    return Diff(nearbucket, tmp_path, listed)


def off(**more: Any) -> list[dict[str, Any]]:
    return [{**SITE, "redirect": {"mode": "off"}, **more}]


def test_equal_files_differ_in_nothing(compare: Diff) -> None:
    assert compare() == (0, "no differences\n", "")


def test_settings_that_differ_are_listed_key_by_key(compare: Diff) -> None:
    out = compare(sites=off(index="index.html"), limits={"idle_timeout": "1m"}).out
    assert out.splitlines() == [
        "setting\tsites.*.redirect.mode\ton\toff",
        "setting\tlimits.idle_timeout\t75s\t1m",
        "setting\tsites.*.index\t-\tindex.html",
        "restart\tnot needed",
    ]


def test_what_needs_a_restart_is_named(compare: Diff) -> None:
    out = compare(listen={"port": 81}, log={"access": "w3c"}).out
    assert out.splitlines()[-1] == "restart\tlisten, log.access: changes only with a restart"


def test_the_order_of_sites_means_nothing_and_a_new_one_shows_what_is_no_default(
    compare: Diff, tmp_path: Path
) -> None:
    one = {**SITE, "hosts": ["one.example"]}
    two = {"hosts": ["two.example"], "origin": {"bucket": "others", "region": "us-east-1"}}
    both, turned, alone = (
        write(tmp_path / f"{number}.yaml", sites=sites)
        for number, sites in enumerate(([one, two], [two, one], [one]))
    )
    run = compare.nearbucket
    assert run("config", "diff", both, turned).out == "no differences\n"
    assert run("config", "diff", alone, both).out.splitlines() == [
        'setting\tsites.two.example.hosts\t-\t["two.example"]',
        "setting\tsites.two.example.origin.bucket\t-\tothers",
        "setting\tsites.two.example.origin.region\t-\tus-east-1",
        "restart\tnot needed",
    ]


def test_two_lists_that_differ_by_what_is_masked_are_seen_to_differ(compare: Diff) -> None:
    names = [
        write(
            compare.folder / f"{sig}.yaml",
            sites=[SITE],
            regions={"source": f"https://l.example/?{sig}"},
        )
        for sig in ("one", "two")
    ]
    done = compare.nearbucket("config", "diff", *names)
    shown = "https://l.example/?********"
    assert f"setting\tregions.source\t{shown}\t{shown} (changed)" in done.out


def test_secrets_are_masked_and_yet_seen_to_differ(
    compare: Diff, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONE", "first-secret")
    monkeypatch.setenv("TWO", "second-secret")
    names = [
        write(
            tmp_path / f"{name}.yaml",
            client_address={"from": "x-real-ip", "origin_secret": {"values": [f"env:{name}"]}},
        )
        for name in ("ONE", "TWO")
    ]
    done = compare.nearbucket("config", "diff", *names)
    assert "-secret" not in done.out + done.err
    assert done.out.splitlines()[0] == (
        'setting\tclient_address.origin_secret.values\t["********"]\t["********"] (changed)'
    )
    secret = json.loads(compare.nearbucket("config", "diff", *names, "--json").out)["settings"]
    assert [(each["key"], each["secret"]) for each in secret] == [
        ("client_address.origin_secret.values", True)
    ]


def test_a_log_shows_whose_answer_changes(compare: Diff) -> None:
    largest = line_of(JsonFormat(), FULL._replace(reason="opt-out", bytes=2**30))
    code, out, err = compare("--log", compare.log(LOG + largest), sites=off())
    assert code == 0
    assert out.splitlines()[2:] == [
        f"answer\t2\t{2**31}\t-0.17\tus-west-2\t{GONE}\tstream/off/-\t/a.tar.gz",
        "total\trequests\t5",
        "total\tchanged\t2",
        "total\treason changed\t0",
        "total\tunreadable\t0",
        "total\tnewly redirected\t0",
        "total\tnewly redirected bytes\t0",
        "total\tno longer redirected\t2",
        f"total\tno longer redirected bytes\t{2**31}",
        "total\tsaved USD in these logs\t-0.17",
        "total\twithout bytes\t0",
        "total\tsize unknown\t0",
        "total\treason from log\t2",
        "total\tlog differs from first\t0",
    ]
    assert "2 requests keep the reason in the log" in err
    assert "or the size of the object as far as these logs show it" in err
    assert "USD are for the requests of these logs, not for a month" in err


def test_requests_that_were_answered_without_bytes_do_not_count_and_are_told(
    compare: Diff,
) -> None:
    not_there = line_of(JsonFormat(), FULL._replace(reason="in-region", status=404, bytes=9))
    code, out, err = compare("--log", compare.log(LOG + not_there), sites=off())
    assert code == 0
    assert "total\tno longer redirected\t2" in out.splitlines()
    assert "total\twithout bytes\t1" in out.splitlines()
    assert "1 requests whose redirects would change do not count" in err


@pytest.mark.parametrize("mode", ["shadow", "off"])
def test_two_configurations_that_redirect_nothing_are_told_to_be_so(
    nearbucket: Run, tmp_path: Path, listed: str, mode: str
) -> None:
    sites = [{**SITE, "redirect": {"mode": "shadow"}}]
    old, new = (
        write(tmp_path / "a.yaml", sites=sites),
        write(tmp_path / "b.yaml", sites=[{**SITE, "redirect": {"mode": mode}}]),
    )
    (log := tmp_path / "access.log").write_bytes(LOG)
    done = nearbucket("config", "diff", old, new, "--ranges", listed, "--log", str(log))
    assert done.code == 0
    assert "nothing is redirected by either: redirect.mode is shadow or off in both" in done.err
    done = nearbucket(
        "config", "diff", old, write(tmp_path / "c.yaml"), "--ranges", listed, "--log", str(log)
    )
    assert "nothing is redirected by either" not in done.err


def test_as_json_it_is_one_document(compare: Diff) -> None:
    done = compare("--log", compare.log(LOG), "--json", sites=off(), prices={"cdn_per_gb": 1})
    found = json.loads(done.out)
    assert (done.code, done.err) == (0, "")
    assert [each["key"] for each in found["settings"]] == [
        "sites.*.redirect.mode",
        "prices.cdn_per_gb",
    ]
    assert found["restart"] is None
    replay = found["replay"]
    assert (replay["requests"], replay["changed"], replay["no_longer_redirected"]) == (4, 2, 2)
    (answer,) = replay["answers"]
    assert answer["before"] == {
        "action": "redirect",
        "reason": "in-region",
        "target": f"301 {WEST_URL}",
    }
    assert answer["after"] == {"action": "stream", "reason": "off", "target": "-"}
    assert compare("--json").out.endswith('"replay": null\n}\n')


def test_several_logs_gzip_and_standard_input_count_together_up_to_the_limit(
    compare: Diff,
) -> None:
    options = ["--log", compare.log(gzip.compress(LOG)), "--log", "-", "--json"]
    whole = json.loads(compare(*options, stdin=LOG, sites=off()).out)
    assert whole["replay"]["requests"] == 8
    some = json.loads(compare(*options, "--limit", "6", stdin=LOG, sites=off()).out)
    assert (some["replay"]["requests"], some["replay"]["changed"]) == (6, 4)


def test_lines_that_are_no_requests_are_counted_and_the_first_is_named(compare: Diff) -> None:
    log = compare.log(b"starting up\n" + LOG + b'{"half')
    code, out, err = compare("--log", log, sites=off())
    assert code == 0
    assert "total\tunreadable\t2" in out.splitlines()
    assert f"2 lines are not requests; the first: {log}: line 1: neither JSON, nor W3C" in err


@pytest.mark.parametrize(
    ("content", "finding"),
    [
        pytest.param(b"no log\n", "no line is a request: ", id="no log"),
        pytest.param(gzip.compress(LOG)[:30], "gzip data ends too early", id="broken"),
        pytest.param(None, "no such file, folder or pattern", id="not there"),
    ],
)
def test_a_log_that_cannot_be_used_ends_with_2(
    compare: Diff, content: bytes | None, finding: str
) -> None:
    log = compare.log(content) if content is not None else "nothing.log"
    code, _, err = compare("--log", log, sites=off())
    assert code == 2
    assert finding in err


def test_a_log_in_s3_is_told_to_be_piped(compare: Diff) -> None:
    code, _, err = compare("--log", "s3://logs/cdn/", sites=off())
    assert code == 2
    assert "s3://logs/cdn/: logs in S3 are read by nearbucket analyze alone; pipe them" in err


def test_an_empty_log_changes_nothing(compare: Diff) -> None:
    done = compare("--log", compare.log(b""), sites=off())
    assert (done.code, done.err) == (0, "")
    assert "total\trequests\t0" in done.out.splitlines()


def test_a_broken_second_configuration_ends_with_2(compare: Diff) -> None:
    code, out, err = compare(listen={"prot": 1})
    assert (code, out) == (2, "")
    assert re.search(r"b\.yaml:\d+: listen\.prot: is not a key here", err)


def test_a_url_instead_of_a_file_is_named_without_an_option(compare: Diff) -> None:
    code, out, err = compare.nearbucket("config", "diff", "https://u:p@h/a.yaml", "b.yaml")
    assert (code, out) == (2, "")
    assert err == (
        "nearbucket: https://********@h/a.yaml: is a URL; write the path of a file, or "
        "s3://BUCKET/KEY\n"
    )


def test_what_a_log_cannot_say_is_said(compare: Diff) -> None:
    site = {**SITE, "redirect": {"verify_ttl": "1m", "verify": "none"}}
    _, _, err = compare("--log", compare.log(LOG), sites=[site])
    assert (
        "a log does not show the effect of these settings: sites.*.redirect.verify, "
        "sites.*.redirect.verify_ttl\n"
    ) in err


S3_LINE = (
    b"owner downloads [02/Nov/2026:03:00:00 +0000] 192.0.2.3 - ID REST.GET.OBJECT k "
    b'"GET /k HTTP/1.1" 200 - 9 9 9 9 "-" "curl/8" -\n'
)


def test_requests_for_hosts_that_neither_configuration_has_are_told(
    compare: Diff, tmp_path: Path
) -> None:
    named = {**SITE, "hosts": [FULL.host]}
    a = write(tmp_path / "1.yaml", sites=[named])
    b = write(tmp_path / "2.yaml", sites=[{**named, "redirect": {"mode": "off"}}])
    elsewhere = line_of(JsonFormat(), SENT._replace(host="d1.cloudfront.example", reason="host"))
    log = compare.log(LOG + 2 * elsewhere)
    done = compare.nearbucket("config", "diff", a, b, "--ranges", compare.listed, "--log", log)
    told = "2 of 6 requests are for hosts that neither configuration has: both refuse them"
    assert f"{told}\n" in done.err
    assert "neither configuration" not in compare("--log", log, sites=off()).err
    s3_log = ("--ranges", compare.listed, "--log", compare.log(2 * S3_LINE))
    for limit in ((), ("--limit", "1")):
        done = compare.nearbucket("config", "diff", a, b, *s3_log, *limit)
        assert "both refuse them. S3's own logs name the bucket as host\n" in done.err


def test_a_size_floor_changes_the_answers_for_objects_that_the_log_shows_to_be_smaller(
    compare: Diff,
) -> None:
    shown = line_of(JsonFormat(), FULL._replace(reason="opt-out", bytes=1000))
    for floor, lost in (("1000", 0), ("1001", 2)):
        site = {**SITE, "redirect": {"min_size": int(floor)}}
        done = compare("--log", compare.log(LOG.splitlines(keepends=True)[0] * 2 + shown),
                       "--json", sites=[site])  # fmt: skip
        replay = json.loads(done.out)["replay"]
        assert (replay["requests"], replay["no_longer_redirected"]) == (3, lost)
        assert replay["no_longer_redirected_bytes"] == lost * 1000


@pytest.mark.parametrize(
    ("ranges", "size"),
    [
        (["0-999999999999"], 1000),
        (["0-999999999999", None], 2000),
        (["0-9", "-5"], 15),
        ([*["0-99"] * 3, "0-999999999999998"], 1300),
        (["400-"], 0),
        (["0-"], 1000),
    ],
)
def test_redirects_of_ranges_count_no_more_than_the_object_has(
    compare: Diff, ranges: list[str | None], size: int
) -> None:
    form = JsonFormat()
    streamed = FULL._replace(reason="opt-out", status=206, range="bytes=400-9999999", bytes=600)
    shown = line_of(form, streamed)
    sent = [SENT._replace(range=each and f"bytes={each}") for each in ranges]
    log = shown + b"".join(line_of(form, each) for each in sent)
    done = compare("--log", compare.log(log), "--json", sites=off())
    assert json.loads(done.out)["replay"]["no_longer_redirected_bytes"] == size


def test_a_range_of_an_object_of_unknown_size_counts_no_bytes(compare: Diff) -> None:
    log = line_of(JsonFormat(), SENT._replace(range="bytes=0-999999999999998"))
    done = compare("--log", compare.log(log), "--json", sites=off())
    (row,) = json.loads(done.out)["replay"]["answers"]
    assert (row["bytes"], row["size_unknown"]) == (0, 1)


def test_a_terminal_of_80_characters_shows_every_character_of_a_change(
    compare: Diff, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = compare("--log", compare.log(LOG), sites=off())
    rows = [row[1:-1].split("│") for row in out.splitlines() if row.startswith("│")]
    assert {"2", "us-west-2", "-0.17"} <= {cell.strip() for row in rows for cell in row}
    last = "".join(row[-1].strip() for row in rows if len(row) == 5)
    assert f"{GONE}stream/off/-/a.tar.gz".replace(" ", "") in last  # broken at the space
    assert max(len(row) for row in out.splitlines() if row.startswith("│")) <= 80
    assert "…" not in out


def test_a_log_without_a_list_of_prefixes_ends_with_2(compare: Diff, tmp_path: Path) -> None:
    off_ = write(tmp_path / "b.yaml", sites=off(), regions=MIRROR)
    names = [write(tmp_path / "a.yaml", regions=MIRROR), off_]
    done = compare.nearbucket("config", "diff", *names, "--log", compare.log(LOG))
    assert done.code == 2
    assert "there is no list of prefixes" in done.err


def test_what_clients_sent_does_not_reach_the_terminal(compare: Diff) -> None:
    log = compare.log(line_of(JsonFormat(), SENT._replace(host=TITLE)) + TITLE.encode() + b"\n")
    done = compare("--log", log, sites=off())
    assert "\x1b" not in done.out + done.err


def test_a_terminal_gets_tables_of_the_first_changes(
    compare: Diff, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setattr(report, "_SHOWN", 1)
    both = LOG + line_of(JsonFormat(), SENT._replace(client=EAST))
    monkeypatch.setattr("rich.console.Console.width", 250)
    _, out, err = compare("--log", compare.log(both), sites=off())
    assert "sites.*.redirect.mode" in out
    assert "saved USD" in out
    assert out.count("stream/off/-") == 1
    assert "1 more changes; a pipe or --json shows all" in err
    assert re.search(r"without bytes +│ 0 +│", out)  # requests
