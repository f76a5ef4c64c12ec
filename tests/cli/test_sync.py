"""``sync`` on a local S3 server: output and exit codes."""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from nearbucket.cli.demo.seaweedfs import make_bucket
from tests.build import COMMAND
from tests.cli.conftest import TITLE, write

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run
    from tests.conftest import LocalS3

NUMBERS = itertools.count()


class Sync:
    """Runs the command for a site whose origin and target are new folders."""

    def __init__(self, s3: LocalS3, nearbucket: Run, folder: Path) -> None:
        self.s3, self.nearbucket, self.folder = s3, nearbucket, folder
        self.prefix = f"sync/{next(NUMBERS)}"
        asyncio.run(self._make())

    async def _make(self) -> None:
        async with self.s3.server.client() as client:
            names = [bucket["Name"] for bucket in (await client.list_buckets())["Buckets"]]
            for name in ("sync-origin", "sync-west"):
                if name not in names:
                    await make_bucket(client, name)

    def entry(self, bucket: str, region: str = "us-east-1") -> dict[str, Any]:
        return {
            "bucket": bucket,
            "region": region,
            "prefix": self.prefix,
            "endpoint": self.s3.server.endpoint,
        }

    def site(self, **more: Any) -> dict[str, Any]:
        keys = self.s3.files.model_dump(mode="json")
        return {
            "origin": self.entry("sync-origin") | {"credentials": keys},
            "targets": {
                "us-east-1": self.entry("sync-origin"),
                "us-west-2": self.entry("sync-west", "us-west-2"),
            },
            "redirect": {"scheme": "http"},
            **more,
        }

    def __call__(self, *options: str, **more: Any) -> Any:
        config = write(self.folder / "n.yaml", sites=[self.site(**more)])
        return self.nearbucket("sync", "--config", config, *options)

    def put(self, *keys: str, bucket: str = "sync-origin") -> None:
        async def run() -> None:
            async with self.s3.server.client() as client:
                for key in keys:
                    await client.put_object(
                        Bucket=bucket, Key=f"{self.prefix}/{key}", Body=key.encode()
                    )

        asyncio.run(run())

    def held(self, bucket: str = "sync-west") -> list[str]:
        async def run() -> list[str]:
            async with self.s3.server.client() as client:
                answer = await client.list_objects_v2(Bucket=bucket, Prefix=f"{self.prefix}/")
                found = [item["Key"] for item in answer.get("Contents", ())]
                return [key.removeprefix(f"{self.prefix}/") for key in found]

        return asyncio.run(run())


@pytest.fixture
def sync(s3: LocalS3, nearbucket: Run, tmp_path: Path) -> Sync:
    return Sync(s3, nearbucket, tmp_path)


def facts(sync: Sync, *rows: tuple[str, object]) -> str:
    """The summary in a pipe."""
    named = [("bucket", f"sync-west/{sync.prefix}"), *rows]
    return "".join(f"us-west-2\t{name}\t{value}\n" for name, value in named)


def test_what_the_policy_chooses_is_copied_and_then_nothing(sync: Sync) -> None:
    sync.put("a.tar.gz", "b/ü+c.tar.xz", "c.txt")
    done = [
        ("different ETag", 0),
        ("adopted", 0),
        ("adopted bytes", 0),
        ("deleted", 0),
        ("other parts", 0),
        ("unreadable", 0),
        ("not at origin", 0),
        ("failed", 0),
    ]
    first = facts(sync, ("up to date", 0), ("copied", 2), ("copied bytes", 21), *done)
    assert sync() == (0, first, "")
    assert sync.held() == ["a.tar.gz", "b/ü+c.tar.xz"]
    second = facts(sync, ("up to date", 2), ("copied", 0), ("copied bytes", 0), *done)
    assert sync() == (0, second, "")


def test_a_dry_run_lists_what_it_would_do_and_what_it_would_cost(sync: Sync) -> None:
    sync.put("a.tar.gz", f"{TITLE}.tar.gz")
    sync.put("b.tar.gz", bucket="sync-west")
    code, out, err = sync("--dry-run", "--delete")
    assert code == 0
    listed, summary = out.splitlines()[:2], "\n".join(out.splitlines()[2:]) + "\n"
    assert sorted(listed) == ["us-west-2\tcopy\t8\ta.tar.gz", "us-west-2\tdelete\t8\tb.tar.gz"]
    assert summary == facts(
        sync,
        ("up to date", 0),
        ("to copy", 1),
        ("bytes to copy", 8),
        ("transfer USD", "0.00"),
        ("requests USD", "0.00"),
        ("storage USD per month", "0.00"),
        ("break-even GB", "0.0"),
        ("other parts", 0),
        ("unreadable", 0),
        ("not at origin", 1),
        ("failed", 0),
    )
    assert "0.02 USD per GB from us-east-1 to another region" in err
    assert "break-even is at least this: prices.monthly_gb is not set" in err
    assert sync.held() == ["b.tar.gz"]


def test_json_says_the_same(sync: Sync) -> None:
    sync.put("a.tar.gz")
    found = json.loads(sync("--dry-run", "--json").out)
    target = found["targets"][0]
    assert (found["dry_run"], found["interrupted"]) == (True, False)
    assert target | {"site": "*", "regions": ["us-west-2"], "bucket": "sync-west"} == target
    assert target | {"objects": 1, "bytes": 8, "copied": 0, "failures": []} == target
    assert target["cost"]["transfer"] == pytest.approx(8 / 1024**3 * 0.02)
    target = json.loads(sync("--json").out)["targets"][0]
    assert (target["copied"], target["copied_bytes"], target["problem"]) == (1, 8, None)
    assert "cost" not in target


def test_a_dearer_cdn_pays_sooner(sync: Sync) -> None:
    sync.put("a.tar.gz")

    def pays(**prices: Any) -> float:
        config = write(sync.folder / "n.yaml", sites=[sync.site()], prices=prices)
        out = sync.nearbucket("sync", "--dry-run", "--json", "--config", config).out
        return float(json.loads(out)["targets"][0]["cost"]["break_even_gb"])

    assert pays(region_per_gb={"us-west-2": 0.17}) == pytest.approx(pays() / 2)


def test_only_delete_deletes(sync: Sync) -> None:
    sync.put("old.tar.gz", "old.txt", bucket="sync-west")
    assert "not at origin\t1" in sync().out
    code, _, err = sync("--delete")
    assert code == 1
    assert "has no object" in err
    assert sync.held() == ["old.tar.gz", "old.txt"]
    sync.put("new.txt")
    assert "deleted\t1" in sync("--delete").out
    assert sync.held() == ["old.txt"]


@pytest.mark.parametrize("closed", [">&-", "2>&-"])
def test_objects_are_copied_where_a_standard_stream_is_closed(sync: Sync, closed: str) -> None:
    sync.put("a.tar.gz")
    config = write(sync.folder / "n.yaml", sites=[sync.site()])
    words = ["sh", "-c", f'exec "$@" {closed}', "sh", *COMMAND, "sync", "--config", config]
    ended = subprocess.run(words, capture_output=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr, sync.held()) == (0, b"", ["a.tar.gz"])


@pytest.mark.parametrize(
    ("options", "more"),
    [
        pytest.param(["--region", "us-east-1"], {}, id="the origin"),
        pytest.param([], {"targets": {}}, id="none"),
    ],
)
def test_without_a_target_besides_the_origin_there_is_nothing_to_do(
    sync: Sync, options: list[str], more: dict[str, Any]
) -> None:
    code, out, err = sync(*options, **more)
    assert (code, out) == (0, "")
    why = "sites[].targets has no bucket besides the origin"
    assert err == f"nearbucket: {sync.folder / 'n.yaml'}: nothing to do: {why}\n"


@pytest.mark.parametrize(
    ("change", "options", "code", "says"),
    [
        pytest.param({}, ["--region", "eu-west-1"], 2, "eu-west-1: not configured", id="region"),
        pytest.param({}, ["--site", "x"], 2, "--site x: not configured; choose from: *", id="site"),
        pytest.param({"bucket": "nonesuch"}, [], 2,
                     "sites.*.targets.us-west-2: bucket nonesuch/", id="no bucket"),
        pytest.param({"bucket": "sync-origin", "prefix": ""}, [], 2,
                     "hold each other's objects", id="the origin's own folder inside"),
        pytest.param({"endpoint": "http://127.0.0.1:9"}, [], 2, "one server only", id="servers"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_names_file_key_and_fix(
    sync: Sync, change: dict[str, str], options: list[str], code: int, says: str
) -> None:
    targets = sync.site()["targets"]
    targets["us-west-2"] |= change
    ended, out, err = sync(*options, targets=targets)
    assert (ended, out) == (code, "")
    assert err.startswith(f"nearbucket: {sync.folder / 'n.yaml'}: ")
    assert says in err


def test_a_server_that_is_not_there_ends_with_3(sync: Sync) -> None:
    nowhere = {"endpoint": "http://127.0.0.1:9"}
    site = sync.site()
    targets = {"us-west-2": site["targets"]["us-west-2"] | nowhere}
    code, out, err = sync(origin=site["origin"] | nowhere, targets=targets)
    assert (code, out) == (3, "")
    assert "sites.*.origin: bucket sync-origin/" in err
    assert "is the endpoint right, and reachable from here?" in err
    code, out, err = sync("--json", origin=site["origin"] | nowhere, targets=targets)
    problem = json.loads(out)["targets"][0]["problem"]
    assert problem.startswith("sites.*.origin: bucket sync-origin/")
    assert (code, err) == (3, f"nearbucket: {sync.folder / 'n.yaml'}: {problem}\n")


def test_one_target_that_fails_does_not_keep_the_others_from_being_brought_up(sync: Sync) -> None:
    sync.put("a.tar.gz")
    targets = sync.site()["targets"]
    targets = {"eu-west-1": targets["us-west-2"] | {"bucket": "nonesuch"}, **targets}
    code, out, err = sync(targets=targets)
    assert code == 2
    assert "us-west-2\tcopied\t1\n" in out
    assert "eu-west-1" not in out
    assert "NoSuchBucket" in err


def test_wrong_keys_are_named(sync: Sync) -> None:
    (sync.folder / "wrong").write_text("WRONG")
    origin = sync.site()["origin"]
    origin["credentials"] |= {"access_key_file": str(sync.folder / "wrong")}
    code, _, err = sync(origin=origin)
    assert (code, "correct the credentials" in err) == (2, True)
    origin["credentials"] |= {"access_key_file": str(sync.folder / "none")}
    code, _, err = sync(origin=origin)
    assert (code, "access_key_file: " in err) == (2, True)
