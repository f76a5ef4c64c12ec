"""Programs that download one object, whole, cut in the middle and resumed.

They are curl, wget, aria2c, Python's requests and Node's fetch, each redirected and streamed.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.e2e.clients import HEAD, KEY, MIDDLE, PAYLOAD, Way, run
from tests.programs import program

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

pytestmark = pytest.mark.clients


# What a program of one's own does: go on after what is there, if it is still the same object.
REQUESTS = """
import os, sys, requests
url, out = sys.argv[1:]
have = os.path.getsize(out) if os.path.exists(out) else 0
headers = {"Range": f"bytes={have}-", "If-Range": open(out + ".etag").read()} if have else {}
session = requests.Session()
session.trust_env = False
with session.get(url, headers=headers, stream=True, timeout=30) as answer:
    if answer.status_code == 416 and answer.headers["Content-Range"] == f"bytes */{have}":
        sys.exit(0)
    answer.raise_for_status()
    with open(out + ".etag", "w") as etag:
        etag.write(answer.headers["ETag"])
    with open(out, "ab" if answer.status_code == 206 else "wb") as file:
        for chunk in answer.iter_content(65536):
            file.write(chunk)
"""
NODE = """
import fs from "node:fs";
const [url, out] = process.argv.slice(1);
const have = fs.existsSync(out) ? fs.statSync(out).size : 0;
const headers = have
  ? { Range: `bytes=${have}-`, "If-Range": fs.readFileSync(out + ".etag", "utf8") } : {};
const answer = await fetch(url, { headers });
if (answer.status !== 416 || answer.headers.get("content-range") !== `bytes */${have}`) {
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  fs.writeFileSync(out + ".etag", answer.headers.get("etag"));
  const file = fs.openSync(out, answer.status === 206 ? "a" : "w");
  for await (const chunk of answer.body) fs.writeSync(file, chunk);
}
"""
OUT = "got.tar.gz"


@dataclass(frozen=True, slots=True)
class Client:
    """A program that downloads.

    Attributes:
        again: Command that goes on with what is there, or starts, and may try several times.
        once: Command for one try from the start, where that is another.
        broken: Exit code of that one when the connection breaks.
    """

    again: list[str]
    once: list[str] = field(default_factory=list)
    broken: int = 0

    def run(
        self, url: str, folder: Path, *more: str, once: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run one of the commands."""
        command = self.once if once and self.once else self.again
        if command[0] != sys.executable:
            program(command[0])
        return run([part if part != URL else url for part in command] + [*more], folder)


URL = "URL"
CURL = ["curl", "-qsSL", "-o", OUT, URL]
WGET = ["wget", "--no-config", "-nv", "-O", OUT, URL]
ARIA = ["aria2c", "--no-conf", "-x8", "-s8", "-k1M", "--file-allocation=none",
        "--max-overall-download-limit=24M", "-o", OUT, URL]  # fmt: skip
PYTHON = [sys.executable, "-c", REQUESTS, URL, OUT]
FETCH = ["node", "--input-type=module", "-e", NODE, URL, OUT]
CLIENTS = {
    "curl": Client([*CURL, "-C", "-"], ["curl", "-f", *CURL[1:]], 18),
    "wget": Client([*WGET, "-c"], [*WGET, "--tries=1"], 4),
    "requests": Client(PYTHON, PYTHON, 1),
    "node": Client(FETCH, FETCH, 1),
}
ALONE = {
    "curl": Client([*CURL, "-C", "-", "--retry", "2", "--retry-all-errors"]),
    "wget": Client([*WGET, "--waitretry=0"]),
    "aria2c": Client(ARIA),
}


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> Client:
    return CLIENTS[request.param]


@pytest.mark.parametrize("name", [*CLIENTS, "aria2c"])
def test_every_client_gets_identical_bytes(way: Way, name: str, tmp_path: Path) -> None:
    client = {**ALONE, **CLIENTS}[name]
    done = client.run(way.url(), tmp_path, once=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / OUT).read_bytes() == PAYLOAD
    assert way.taken()


def test_a_broken_download_is_reported_and_resumed_where_it_broke(
    way: Way, client: Client, tmp_path: Path
) -> None:
    way.cut()
    got = tmp_path / OUT
    done = client.run(way.url(), tmp_path, once=True)
    assert done.returncode == client.broken, done.stderr
    assert way.last.cuts == 1
    part = got.read_bytes()
    assert MIDDLE // 2 < len(part) < MIDDLE, "what came before the break is kept"
    assert PAYLOAD.startswith(part)

    way.forget()
    done = client.run(way.url(), tmp_path)
    assert done.returncode == 0, done.stderr
    assert got.read_bytes() == PAYLOAD
    assert way.front.ranges == [f"{len(part)}-"]
    assert way.taken()
    assert way.last.ranges == [f"{len(part)}-"]
    assert way.last.passed < len(PAYLOAD) - len(part) + HEAD, "no byte comes twice"


def test_a_whole_file_is_left_as_it_is(way: Way, client: Client, tmp_path: Path) -> None:
    got = tmp_path / OUT
    for _ in range(2):
        done = client.run(way.url(), tmp_path)
        assert done.returncode == 0, done.stderr
        assert got.read_bytes() == PAYLOAD
    assert way.last.ranges == [f"{len(PAYLOAD)}-"]
    assert way.last.passed < len(PAYLOAD) + HEAD


@pytest.mark.parametrize("name", ALONE)
def test_these_clients_go_on_by_themselves(way: Way, name: str, tmp_path: Path) -> None:
    way.cut(MIDDLE // 8)  # one of 8 segments is hardly longer
    done = ALONE[name].run(way.url(), tmp_path)
    assert done.returncode == 0, done.stderr
    assert way.last.cuts == 1
    assert way.last.ranges or name == "curl", "curl begins again (until it can do better)"
    assert (tmp_path / OUT).read_bytes() == PAYLOAD


def test_aria2c_takes_its_eight_segments_from_where_the_bytes_are(way: Way, tmp_path: Path) -> None:
    client = ALONE["aria2c"]
    assert client.run(way.url(), tmp_path).returncode == 0
    starts = {part.partition("-")[0] for part in way.last.ranges}
    assert len(starts) >= 7, "the first segment comes with the first request, without a range"


def test_aria2c_continues_after_the_network_was_gone(way: Way, tmp_path: Path) -> None:
    client, got = ALONE["aria2c"], tmp_path / OUT
    way.cut(MIDDLE // 8, lasting=True)
    done = client.run(way.url(), tmp_path, "-m1")
    assert done.returncode != 0
    assert got.with_name(f"{OUT}.aria2").exists(), "aria2c knows that the file is not whole"

    way.forget()
    done = client.run(way.url(), tmp_path, "-c")
    assert done.returncode == 0, done.stdout
    assert got.read_bytes() == PAYLOAD
    assert not got.with_name(f"{OUT}.aria2").exists()
    assert way.taken()


def test_curl_without_following_is_told_what_to_do(way: Way, tmp_path: Path) -> None:
    wanted = "%{http_code} %{redirect_url}"
    done = run([program("curl"), "-qsS", "-o", OUT, "-w", wanted, way.url()], tmp_path)
    assert done.returncode == 0
    body = (tmp_path / OUT).read_bytes()
    if way.redirected:
        place = f"http://127.0.0.1:{way.back.port}/{way.objects.public}/{KEY}"
        assert done.stdout == f"301 {place}"
        assert place.encode() in body
        assert b"with curl, add -L" in body
        assert way.back.heads == []
    else:
        assert done.stdout == "200 "
        assert body == PAYLOAD
