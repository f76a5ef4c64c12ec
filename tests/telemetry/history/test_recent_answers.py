"""The last answers, read back from lines of the access log."""

from __future__ import annotations

import pytest

from nearbucket.telemetry.history.recent_answers import SHOWN, RecentAnswer, latest
from nearbucket.telemetry.log_format import (
    ClientFields,
    JsonFormat,
    LineFlaws,
    LogFormat,
    W3cFormat,
)

HOSTILE = '"><script>\t\\ é\u202e'


def line(form: LogFormat, moment: float = 1_700_000_000.25, **fields: str | None) -> bytes:
    of_client: dict[str, str | None] = {
        "client": "192.0.2.7", "peer": "127.0.0.1", "host": "dl.example", "site": "dl",
        "user_agent": HOSTILE, "referer": None, "range": None, **fields,
    }  # fmt: skip
    client = ClientFields(region="us-east-1", protocol="HTTP/1.1", **of_client)
    parts = (
        form.client_part(client),
        form.object_part("GET", f"/a/{HOSTILE}"),
        form.decision_part("stream", "path", 206),
    )
    return form.line(moment, 0.25, form.ends(77, parts, LineFlaws(complete=False)))


@pytest.mark.parametrize("form", [JsonFormat(), W3cFormat()], ids=["json", "w3c"])
def test_a_line_of_either_format_is_read_back(form: LogFormat) -> None:
    found = RecentAnswer.of(line(form))
    assert found.time.startswith("2023-11-14T22:13:20")
    assert found.time.endswith("+00:00")
    assert found._replace(time="") == RecentAnswer(
        "", "192.0.2.7", "us-east-1", "dl.example", "GET", f"/a/{HOSTILE}", 206, 77, 0.25,
        "stream", "path", HOSTILE, complete=False,
    )  # fmt: skip


def test_without_a_client_the_peer_is_shown() -> None:
    assert RecentAnswer.of(line(JsonFormat(), client=None)).client == "127.0.0.1"


def test_the_last_ones_of_all_processes_come_first() -> None:
    lines = [line(JsonFormat(), float(second)) for second in (30, 10, 50, 20, *range(100, 130))]
    found = [each.time[14:19] for each in latest(lines)]
    assert len(found) == SHOWN
    assert found[:2] == ["02:09", "02:08"]
