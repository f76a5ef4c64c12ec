"""Logs in S3: what one object or the server does costs no more than it has to."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from nearbucket.analysis.reading import s3_logs
from nearbucket.analysis.reading.s3_logs import S3Logs
from nearbucket.analysis.reading.sources import ALWAYS, LogSource, Period
from nearbucket.analysis.reducing.reduce import ReduceOptions, reduce_parts
from nearbucket.errors import ConfigError, OriginError
from nearbucket.s3.sdk import sdk_client
from tests.scripteds3 import Say, ScriptedS3, error, reply

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.usefixtures("own_sdk_session")

LISTING = (
    b"<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>cf/a.log</Key>"
    b"<LastModified>2026-11-02T00:00:00.000Z</LastModified><ETag>&quot;1&quot;</ETag>"
    b"<Size>30</Size><StorageClass>STANDARD</StorageClass></Contents></ListBucketResult>"
)
SOURCE = LogSource("s3://cdn-logs/cf/a.log", 30, "1")


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Calls a function with the reader of a server that gives some answers."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")

    def call(function: Callable[[S3Logs], Any], *answers: Say) -> Any:
        def read() -> Any:
            with S3Logs(1) as logs:
                return function(logs)

        async def run() -> Any:
            async with ScriptedS3(*answers) as server:
                monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.endpoint)
                return await asyncio.to_thread(read)

        return asyncio.run(run())

    return call


def damage_of(logs: S3Logs) -> tuple[int, str, bool]:
    """Lines and damage of the object, and whether reading failed."""
    options = ReduceOptions(fields=("timestamp", "sc-bytes", "cs-uri-stem", "sc-status"))
    found = [part.summary for part in reduce_parts(SOURCE, options, None, logs.opened)]
    return sum(each.lines for each in found), found[-1].damage, found[-1].failed


@pytest.mark.parametrize(("then", "lines"), [("close", 0), ("hang", 1)])
def test_a_body_that_breaks_off_costs_its_file_only(
    scripted: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, then: str, lines: int
) -> None:
    monkeypatch.setattr(sdk_client, "READ_SECONDS", 0.5)
    body = b"1793590000\t9\t/a\t200\n1793590000\t9\t/b"
    cut = Say(reply("200 OK", body, length=60), then=then)
    counted, damage, failed = scripted(damage_of, cut)
    assert counted >= lines  # the SDK may drop what came before
    assert "the connection to S3 failed: " in damage
    assert failed


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("AccessDenied", "AccessDenied: not allowed; the credentials need s3:ListBucket"),
        ("InvalidObjectState", "InvalidObjectState: archived; restore it, or leave it out"),
    ],
)
def test_an_object_that_cannot_be_read_says_what_reading_logs_needs(
    scripted: Callable[..., Any], code: str, says: str
) -> None:
    _, damage, failed = scripted(damage_of, Say(error("403 Forbidden", code)))
    assert says in damage
    assert failed


def test_a_server_that_is_busy_at_first_is_asked_again(scripted: Callable[..., Any]) -> None:
    busy = Say(error("503 Slow Down", "SlowDown"))
    found = scripted(
        lambda logs: logs.sources("s3://cdn-logs/cf/", ALWAYS),
        *(busy, busy, busy, Say(reply("200 OK", LISTING, "Content-Type: application/xml"))),
    )
    assert found == [SOURCE]


EMPTY = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"


@pytest.mark.parametrize(
    ("prefix", "says"),
    [("typo/", "s3://cdn-logs/typo/: no object's key begins with this$"), ("*.gz", "patterns")],
)
def test_a_prefix_of_nothing_is_an_error(
    scripted: Callable[..., Any], prefix: str, says: str
) -> None:
    nothing = Say(reply("200 OK", EMPTY, "Content-Type: application/xml"))
    with pytest.raises(ConfigError, match=says):
        scripted(lambda logs: logs.sources(f"s3://cdn-logs/{prefix}", ALWAYS), nothing, nothing)


def test_objects_of_other_hours_are_no_error_and_the_first_and_last_are_known(
    scripted: Callable[..., Any],
) -> None:
    hours = ("E1EXAMPLE", 1), ("E1EXAMPLE", 2), ("E2EXAMPLE", 0), ("E2EXAMPLE", 1)
    names = [f"{owner}.2026-11-02-0{hour}.abcd.log" for owner, hour in hours]
    object_ = LISTING[LISTING.index(b"<Contents>") : LISTING.index(b"</ListBucketResult>")]
    listed = b"".join(object_.replace(b"a.log", name.encode()) for name in names)
    page = Say(reply("200 OK", LISTING.replace(object_, listed), "Content-Type: application/xml"))
    later = Period(since=datetime(2026, 11, 3, tzinfo=UTC))

    def outside(logs: S3Logs) -> list[str]:
        assert logs.sources("s3://cdn-logs/cf/", later) == []
        return sorted(each.name.rpartition("/")[2] for each in logs.outside)

    assert scripted(outside, page, page) == [names[1], names[2]]


def test_a_prefix_with_nothing_but_a_marker_is_no_error(scripted: Callable[..., Any]) -> None:
    marker = LISTING.replace(b"a.log", b"").replace(b"<Size>30</Size>", b"<Size>0</Size>")
    page = Say(reply("200 OK", marker, "Content-Type: application/xml"))
    assert scripted(lambda logs: logs.sources("s3://cdn-logs/cf/", ALWAYS), page, page) == []


def test_a_server_that_says_nothing_is_given_up_soon(
    scripted: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_logs, "_FIRST_SECONDS", 0.3)
    silent = Say(b"", then="hang")
    with pytest.raises(OriginError, match="s3://cdn-logs: "):
        scripted(lambda logs: logs.sources("s3://cdn-logs/cf/", ALWAYS), silent, silent)


def test_a_profile_that_is_not_there_is_an_error_of_one_line(
    scripted: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "missing")
    with pytest.raises(ConfigError, match=r"s3://cdn-logs: The config profile \(missing\)"):
        scripted(lambda logs: logs.sources("s3://cdn-logs/cf/", ALWAYS))
