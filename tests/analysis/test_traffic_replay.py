"""A log is replayed to a real proxy and S3 server; the counters equal the prediction."""

from __future__ import annotations

import gzip
import json
import os
from datetime import UTC, datetime
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
from yarl import URL

from nearbucket.analysis.live_replay.replay_comparison import as_json, lines, notes
from nearbucket.analysis.live_replay.traffic_replay import own_url
from nearbucket.analysis.reading.log_blocks import open_file
from nearbucket.analysis.reading.sources import ALWAYS, DamagedFile, Period, local_sources
from nearbucket.cli.analyze.analyze_replay import ReplayOptions, replay
from nearbucket.config.file import load
from nearbucket.config.prices import Prices
from nearbucket.errors import ConfigError, OriginError
from nearbucket.pricing.tariff import tariff
from tests.analysis.replayed_log import FIELDS, Replayed, log_of, rows_of
from tests.e2e.running import Running, keys_of
from tests.ranges_lists import MADE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import LocalS3


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
    assert "1 line cannot be read" in capsys.readouterr().err


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
