"""A log is replayed to a real proxy and S3 server; the counters equal the prediction."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import os
import random
from datetime import UTC, datetime
from threading import Thread
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from yarl import URL

from nearbucket.analysis.answers import DamagedFile
from nearbucket.analysis.live_replay.replay_comparison import as_json, lines, notes
from nearbucket.analysis.live_replay.replay_requests import SentRequest, requests_of, sizes_of
from nearbucket.analysis.live_replay.traffic_replay import (
    ReplayPlan,
    ReplayResult,
    own_url,
    replay_logs,
)
from nearbucket.analysis.reading.arrow_reader import TableReader
from nearbucket.analysis.reading.formats import COLUMNS
from nearbucket.analysis.reading.log_blocks import LogBlocks, open_file
from nearbucket.analysis.reading.sources import ALWAYS, Period, local_sources
from nearbucket.cli.analyze.analyze_replay import ReplayOptions, replay
from nearbucket.cli.demo.seaweedfs import allow_anonymous, make_bucket
from nearbucket.config.file import load
from nearbucket.config.prices import Prices
from nearbucket.errors import ConfigError, OriginError
from nearbucket.pricing.tariff import tariff
from nearbucket.supervisor.snapshot import engine_of, snapshot_of
from tests.e2e.running import Running, keys_of
from tests.ranges_lists import MADE
from tests.storing import store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

    from tests.conftest import LocalS3

FIELDS = (
    "#Version: 1.0\n#Fields: date time x-edge-location sc-bytes c-ip cs-method cs(Host) "
    "cs-uri-stem sc-status cs(User-Agent) cs-uri-query cs(Cookie) x-host-header sc-content-len "
    "sc-range-start sc-range-end\n"
)
HEAD_BYTES = 480
"""CloudFront counts the head of a response, too."""
BUCKETS = "replay-origin", "replay-west"
CLIENTS = (MADE.west, MADE.west, MADE.west, MADE.east, *MADE.outside, MADE.seoul)


class LoggedObject(NamedTuple):
    key: str
    size: int


def objects() -> list[LoggedObject]:
    chance = random.Random(16)  # noqa: S311  # the same each time
    found = []
    for number in range(40):
        suffix = chance.choice([".tar.xz", ".tar.gz", ".tar.xz.sha256", ".json", ".qcow2"])
        size = 100 if suffix == ".tar.xz.sha256" else int(2 ** chance.uniform(10, 18))
        found.append(LoggedObject(f"dcos/pack age-{number}{suffix}", size))
    return found


def log_of(count: int, held: list[LoggedObject]) -> str:
    """A CloudFront log: whole downloads, ranges, HEADs, 304, 404, cookies, odd methods."""
    chance = random.Random(7)  # noqa: S311  # the same each time
    rows = []
    for number in range(count):
        key, size = chance.choice(held)
        kind = chance.choices(
            ["whole", "range", "HEAD", "304", "404", "cookie", "POST"], [70, 12, 4, 4, 4, 3, 3]
        )[0]
        start, end, status, sent, method, cookie = "-", "-", "200", size, "GET", "-"
        if kind == "range":
            first = chance.randrange(size)
            last = chance.randrange(first, size)
            start, end, status, sent = str(first), str(last), "206", last - first + 1
        elif kind in {"HEAD", "POST"}:
            method, sent = kind, 0
        elif kind in {"304", "404"}:
            status, sent = kind, 0
        elif kind == "cookie":
            cookie = "session=1"
        stem = "/" + key.replace(" ", "%2520")
        agent = chance.choice(["curl/8.5.0", "containerd/1.7%20linux", "-"])
        length = size if status == "200" else sent
        rows.append(
            f"2026-11-02\t03:{number // 60 % 60:02}:{number % 60:02}\tIAD89-P3\t{sent + HEAD_BYTES}"
            f"\t{chance.choice(CLIENTS)}\t{method}\td1.cloudfront.net\t{stem}\t{status}\t{agent}\t-"
            f"\t{cookie}\tdownloads.example\t{length}\t{start}\t{end}\n"
        )
    return FIELDS + "".join(rows)


class Replayed:
    """A proxy in front of two buckets, and a log."""

    def __init__(self, s3: LocalS3, folder: Path) -> None:
        self.s3, self.folder = s3, folder
        self.log = folder / "E1.2026-11-02-03.abcd.log"
        self.held = objects()
        asyncio.run(self._fill())

    async def _fill(self) -> None:
        async with self.s3.server.client() as client:
            known = {bucket["Name"] for bucket in (await client.list_buckets())["Buckets"]}
            if known.issuperset(BUCKETS):
                return
            for bucket in BUCKETS:
                await make_bucket(client, bucket)
                await allow_anonymous(client, bucket)
                await store(self.s3.server, bucket, {key: bytes(size) for key, size in self.held})

    def config(self, **more: Any) -> dict[str, Any]:
        def bucket(name: str, region: str) -> dict[str, Any]:
            return {"bucket": name, "region": region, "endpoint": self.s3.server.endpoint}

        redirect = {"scheme": "http", "came_back": "off", "paths": ["dcos/*"]}
        return {
            "regions": {"source": str(MADE.path), "cache": str(self.folder / "ranges.json")},
            "catalog": {"wait": "10s"},
            "prices": more.pop("prices", {}),
            **more.pop("sections", {}),
            "sites": [
                {
                    "origin": bucket("replay-origin", "us-east-1"),
                    "targets": {
                        "us-east-1": bucket("replay-origin", "us-east-1"),
                        "us-west-2": bucket("replay-west", "us-west-2"),
                    },
                    "redirect": {**redirect, **more.pop("redirect", {})},
                    **more,
                }
            ],
        }

    def tables(self) -> Iterator[pa.Table]:
        with self.log.open("rb") as file:
            yield from TableReader(frozenset(COLUMNS)).tables(LogBlocks(file))

    def replay(self, running: Running, *, url: str = "", rate: float = 1500) -> ReplayResult:
        settings = load(running.config)
        engine = engine_of(snapshot_of(settings, MADE.ranges))
        here = own_url(url or f"http://127.0.0.1:{running.port}", own_host=False)
        admin = URL(f"http://127.0.0.1:{running.admin_port}")
        plan = ReplayPlan(self.tables, here, admin, rate)
        return asyncio.run(replay_logs(plan, settings, engine, tariff(settings.prices)))


@pytest.fixture
def replayed(s3: LocalS3, commands: None, tmp_path: Path) -> Replayed:  # noqa: ARG001
    return Replayed(s3, tmp_path)


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({}, id="list prices"),
        pytest.param(
            {"prices": {"monthly_gb": 300 * 1024, "discount": 20}, "redirect": {"percent": 50}},
            id="half of a large month",
        ),
        pytest.param({"redirect": {"min_size": 16384}}, id="a size floor"),
    ],
)
def test_redirects_bytes_and_dollars_of_a_replay_are_those_predicted(
    replayed: Replayed, more: dict[str, Any]
) -> None:
    replayed.log.write_text(log_of(450, replayed.held))
    config = replayed.config(**more)
    with Running(replayed.folder, config, keys_of(replayed.s3)) as running:
        running.ready()
        counts, predicted, counted = replayed.replay(running)
    assert counts.sent > 300
    assert counts.agreed == counts.sent, counts.differing
    assert counted.redirects == predicted.redirects > 50
    assert counted.bytes == predicted.bytes > 1 << 20
    assert counted.usd == pytest.approx(predicted.usd, rel=0.02)
    assert list(notes(counts)) == []


def test_a_proxy_with_another_policy_is_seen_to_differ(replayed: Replayed) -> None:
    replayed.log.write_text(log_of(200, replayed.held))
    env = {
        **keys_of(replayed.s3),
        "NEARBUCKET_SITES__0__REDIRECT__EXCLUDE": "['*.json', '*.sha256']",
    }
    with Running(replayed.folder, replayed.config(), env) as running:
        running.ready()
        counts, predicted, counted = replayed.replay(running)
    assert counted.redirects < predicted.redirects
    document = as_json(counts, predicted, counted)
    differing: Any = document["differing"]
    assert {each["given"][:11] for each in differing} == {"stream path"}
    assert "redirect in-region us-west-2" in {each["expected"] for each in differing}
    assert all("downloads.example/dcos/pack%20age" in each["example"] for each in differing)
    rows = list(lines(counts, predicted, counted))
    assert [row[0] for row in rows[:5]] == ["replay", "redirects", "bytes", "usd", "decisions"]
    assert rows[1][3].startswith("-")


def test_requests_that_come_back_sooner_than_in_the_log_are_explained(replayed: Replayed) -> None:
    one = next(each for each in replayed.held if each.key.endswith(".tar.xz"))
    row = [
        each
        for each in log_of(99, [one]).splitlines(keepends=True)
        if "\tGET\t" in each and "\t200\t" in each and "session" not in each
    ]
    west = next(each for each in row if MADE.west in each and each.endswith("\t-\t-\n"))
    replayed.log.write_text(FIELDS + 4 * west)
    config = replayed.config(redirect={"came_back": "5m"})
    with Running(replayed.folder, config, keys_of(replayed.s3)) as running:
        running.ready()
        counts, _, _ = replayed.replay(running, rate=0.7)
    (pair,) = counts.differing
    assert pair == ("redirect in-region us-west-2", "stream came-back us-west-2")
    (note,) = notes(counts)
    assert "switch redirect.came_back off" in note


def rows_of(text: str) -> list[SentRequest]:
    blocks = LogBlocks(io.BytesIO(text.encode()))
    return [
        request
        for table in TableReader(frozenset(COLUMNS)).tables(blocks)
        for request in requests_of(table)
    ]


@pytest.mark.parametrize(
    ("fields", "asks_for", "size"),
    [
        ("200\t999\t900\t-\t-", "", 900),
        ("200\t999\t-\t-\t-", "", 999),
        ("200\t480\t0\t-\t-", "", 0),
        ("206\t999\t100\t0\t99", "bytes=0-99", 100),
        ("206\t999\t100\t100\t199", "bytes=100-199", 200),
        ("206\t999\t100\t50\t-", "bytes=50-", 999),
        ("206\t999\t100\t-\t100", "bytes=-100", 999),
        ("206\t999\t-\t-\t-", "bytes=0-998", 999),
        ("200\t999\t900\t5\t2", "", 900),
    ],
)
def test_a_request_asks_for_the_range_that_was_logged(
    fields: str, asks_for: str, size: int
) -> None:
    head = "#Fields: c-ip cs-method cs-uri-stem x-host-header sc-status sc-bytes sc-content-len "
    head += "sc-range-start sc-range-end\n"
    (found,) = rows_of(f"{head}192.0.2.1\tGET\t/a%2520b\tdl.example\t{fields}\n")
    assert found == SentRequest("192.0.2.1", "dl.example", "GET", "/a%20b", "", "", asks_for, size)


@pytest.mark.parametrize("target", ["@other.example/a", ".other.example/a", "80/a", "*", "a", "-"])
def test_a_target_without_a_slash_is_not_sent_since_it_could_name_another_host(target: str) -> None:
    head = "#Fields: c-ip cs-method cs-uri-stem x-host-header sc-status sc-bytes\n"
    line = "192.0.2.1\tGET\t{}\tdl.example\t200\t9\n"
    assert rows_of(head + line.format(target)) == []
    assert [each.target for each in rows_of(head + line.format("/" + target))] == ["/" + target]


def own_line(action: str, status: int, **more: Any) -> str:
    """A line of nearbucket's own log."""
    own = {"time": "2026-11-02T03:00:00Z", "client": "192.0.2.1", "host": "dl.example"}
    asked = {"method": "GET", "path": "/a.tar.gz?x=1", "bytes": 0, "status": status}
    return json.dumps(own | asked | {"action": action, "reason": "in-region"} | more) + "\n"


def test_of_answers_without_an_object_only_redirects_in_the_own_log_are_sent() -> None:
    found = rows_of(
        own_line("redirect", 301)
        + own_line("redirect", 301, range="bytes=0-9")
        + own_line("stream", 200, user_agent="curl/8")
        + own_line("stream", 404)
        + own_line("refuse", 405, method="POST")
    )
    assert [(each.target, each.agent, each.range, each.size) for each in found] == [
        ("/a.tar.gz?x=1", "", "", None),
        ("/a.tar.gz?x=1", "", "bytes=0-9", None),
        ("/a.tar.gz?x=1", "curl/8", "", 0),
    ]


@pytest.mark.parametrize(
    ("range_", "saved", "of_unknown"),
    [
        (None, 300, None),
        ("bytes=0-", 300, None),
        ("bytes=0-99", 100, 100),
        ("bytes=250-349", 50, 100),
        ("bytes=400-500", 0, 101),
        ("bytes=-100", 100, 100),
        ("bytes=-900", 300, 900),
        ("bytes=100-", 0, 0),
    ],
)
def test_a_redirect_saves_the_bytes_that_the_proxy_counts(
    range_: str | None, saved: int, of_unknown: int | None
) -> None:
    lines_ = own_line("stream", 206, range="bytes=200-9999", bytes=100)
    *others, redirect_ = rows_of(lines_ + own_line("redirect", 301, range=range_))
    size = sizes_of(others)[redirect_.object]
    assert size == 300
    assert redirect_.bytes_saved(size) == saved
    assert redirect_.bytes_saved(None) == of_unknown
    assert redirect_._replace(method="HEAD").bytes_saved(size) == 0


@pytest.mark.parametrize(
    ("client_address", "says"),
    [
        ({"from": "peer"}, "client_address.from: peer"),
        ({"from": "x-forwarded-for", "trusted_proxies": ["10.0.0.0/8"]}, "add loopback"),
        ({"from": "x-forwarded-for", "trusted_hops": 2}, "trusted_hops is 2; write 1"),
    ],
)
def test_a_configuration_that_does_not_let_this_machine_name_a_client_is_refused(
    replayed: Replayed, client_address: dict[str, Any], says: str
) -> None:
    replayed.log.write_text(log_of(5, replayed.held))
    config = replayed.config(sections={"client_address": client_address})
    with pytest.raises(ConfigError, match=says):
        replayed.replay(Running(replayed.folder, config, {}))


def replay_by_command(replayed: Replayed, *, as_json: bool, period: Period = ALWAYS) -> None:
    """What the command does, with a proxy that runs for it; every decision is as predicted."""
    with Running(replayed.folder, replayed.config(), keys_of(replayed.s3)) as running:
        running.ready()
        settings = load(running.config)
        options = ReplayOptions(
            f"http://127.0.0.1:{running.port}",
            rate=1500,
            own_host=False,
            fields=(),
            ranges=MADE.path,
            as_json=as_json,
            period=period,
        )
        sources = local_sources([str(replayed.log)], period)
        assert replay(options, settings, tariff(settings.prices), sources, open_file)


@pytest.mark.parametrize("as_json", [False, True])
def test_the_command_prints_prediction_and_counters_side_by_side(
    replayed: Replayed, capsys: pytest.CaptureFixture[str], *, as_json: bool
) -> None:
    replayed.log.write_text(log_of(150, replayed.held))
    replay_by_command(replayed, as_json=as_json)
    out, err = capsys.readouterr()
    assert err == ""
    if as_json:
        found = json.loads(out)
        assert found["predicted"]["bytes"] == found["counted"]["bytes"] > 0
        assert (found["sent"], found["differing"]) == (found["agreed"], [])
    else:
        names = [line.split("\t")[0] for line in out.splitlines()]
        assert names == ["redirects", "bytes", "usd", "decisions"]
        assert out.count("+0.00 %") == 4


def test_only_the_requests_of_the_period_are_sent(
    replayed: Replayed, capsys: pytest.CaptureFixture[str]
) -> None:
    replayed.log.write_text(log_of(180, replayed.held))  # one a second, from 03:00
    period = Period(
        datetime(2026, 11, 2, 3, 1, tzinfo=UTC), datetime(2026, 11, 2, 3, 2, tzinfo=UTC)
    )
    minute = [row for row in replayed.log.read_text().splitlines() if "\t03:01:" in row]
    wanted = len(rows_of(FIELDS + "\n".join(minute) + "\n"))
    replay_by_command(replayed, as_json=True, period=period)
    assert json.loads(capsys.readouterr().out)["sent"] == wanted > 0


def replay_of(replayed: Replayed, *names: str) -> bool:
    """What the command does with some files, with a proxy that runs for it."""
    config = replayed.config(redirect={"min_size": 16384})
    with Running(replayed.folder, config, keys_of(replayed.s3)) as running:
        running.ready()
        settings = load(running.config)
        url = f"http://127.0.0.1:{running.port}"
        left_out = (DamagedFile("copy.log", "left out: the same file as a.log", 0),)
        options = ReplayOptions(
            *(url, 1500, False, (), MADE.path, True, ALWAYS, left_out if len(names) > 1 else ())
        )
        sources = local_sources(names, ALWAYS)
        return replay(options, settings, tariff(settings.prices), sources, open_file)


def test_what_cannot_be_read_is_named_and_needs_attention(
    replayed: Replayed, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = log_of(60, replayed.held).encode()
    replayed.log.write_bytes(whole)
    cut = replayed.folder / "cut.gz"
    cut.write_bytes(gzip.compress(whole)[:-9])
    assert not replay_of(replayed, str(replayed.log), str(cut))
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert document["agreed"] == document["sent"] > 60
    named = {each["name"]: each["why"] for each in document["damaged"]}
    assert named == {
        str(cut): "its gzip data ends too early",
        "copy.log": "left out: the same file as a.log",
    }
    assert all(f"{name}: {why}" in err for name, why in named.items())


def test_logs_with_nothing_to_send_are_an_error(
    replayed: Replayed, capsys: pytest.CaptureFixture[str]
) -> None:
    replayed.log.write_text("no log\n")
    with pytest.raises(ConfigError, match="there is nothing to send"):
        replay_of(replayed, str(replayed.log))
    assert "1 lines cannot be read" in capsys.readouterr().err


def test_a_pipe_is_read_for_sizes_and_for_requests(
    replayed: Replayed, capsys: pytest.CaptureFixture[str]
) -> None:
    text = log_of(60, replayed.held)
    pipe = replayed.folder / "pipe"
    os.mkfifo(pipe)
    writer = Thread(target=pipe.write_text, args=(text,))
    writer.start()
    assert replay_of(replayed, str(pipe))
    writer.join()
    assert json.loads(capsys.readouterr().out)["sent"] == len(rows_of(text))


def test_a_replay_needs_the_configuration_of_the_proxy() -> None:
    options = ReplayOptions(
        "http://127.0.0.1:1", rate=1, own_host=False, fields=(), ranges=None, as_json=False
    )
    with pytest.raises(ConfigError, match="--config FILE"):
        replay(options, None, tariff(Prices()), [], open_file)


@pytest.mark.parametrize(
    ("scheme", "says"), [("http", "cannot be reached: Connection refused"), ("https", "no TLS")]
)
def test_a_proxy_that_does_not_answer_is_an_error_with_the_reason(
    replayed: Replayed, scheme: str, says: str
) -> None:
    replayed.log.write_text(log_of(5, replayed.held))
    with Running(replayed.folder, replayed.config(), keys_of(replayed.s3)) as running:
        running.ready()
        port = running.port if scheme == "https" else 1
        with pytest.raises(OriginError, match=says):
            replayed.replay(running, url=f"{scheme}://127.0.0.1:{port}")


def test_a_proxy_that_is_not_there_is_an_error(replayed: Replayed) -> None:
    replayed.log.write_text(log_of(5, replayed.held))
    with pytest.raises(OriginError, match="/metrics cannot be reached: Connection refused"):
        replayed.replay(Running(replayed.folder, replayed.config(), {}))


@pytest.mark.parametrize(
    ("url", "own", "says"),
    [
        ("http://198.51.100.1:8080", False, "--i-own-this-host"),
        ("http://localhost.example", False, "--i-own-this-host"),
        ("http://127.0.0.1.example:80", False, "--i-own-this-host"),
        ("http://[2001:db8::1]/", False, "--i-own-this-host"),
        ("ftp://127.0.0.1", False, "not the URL of a proxy"),
        ("127.0.0.1:8080", True, "not the URL of a proxy"),
        ("http://127.0.0.1/a", False, "not the URL of a proxy"),
        ("http://127.0.0.1:99999", False, "not the URL of a proxy"),
        ("http://user:word@127.0.0.1", False, "not the URL of a proxy"),
        ("http://127.0.0.1?x", False, "not the URL of a proxy"),
        ("http://127.0.0.1\\@other.example", False, "not the URL of a proxy"),
    ],
)
def test_requests_go_to_this_machine_only(url: str, own: bool, says: str) -> None:  # noqa: FBT001
    with pytest.raises(ConfigError, match=says):
        own_url(url, own_host=own)


@pytest.mark.parametrize(
    ("url", "own"),
    [
        ("http://127.0.0.1:8080", False), ("http://[::1]:8080/", False),
        ("http://localhost:80", False), ("https://dl.example", True),
    ],
)  # fmt: skip
def test_a_proxy_elsewhere_is_asked_if_the_user_says_that_it_is_theirs(url: str, own: bool) -> None:  # noqa: FBT001
    assert own_url(url, own_host=own) == URL(url).origin()
