"""``check`` on a local S3 server: findings, output and exit codes."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest

from nearbucket.cli.demo.seaweedfs import allow_anonymous, make_bucket
from tests.build import ranges_document
from tests.cli.conftest import lines_of, write

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run
    from tests.conftest import LocalS3

NO_BUCKET = "there is no such bucket (404); create it, or correct the name"
NUMBERS = itertools.count()
BACKWARDS = "\u202e"
"""A control character in a key: terminals show the text behind it from right to left."""
CORS = {"CORSRules": [{"AllowedMethods": ["GET", "HEAD"], "AllowedOrigins": ["*"]}]}


class Check:
    """A site with an origin and a target that is open to all, both new."""

    def __init__(self, s3: LocalS3, nearbucket: Run, folder: Path) -> None:
        self.s3, self.nearbucket, self.folder = s3, nearbucket, folder
        self.origin, self.west = (f"check-{name}-{next(NUMBERS)}" for name in ("origin", "west"))
        self.endpoint = s3.server.endpoint
        self.list = folder / "list.json"
        self.list.write_bytes(ranges_document())
        self.do(("make",))

    def do(self, *calls: tuple[Any, ...], **more: Any) -> None:
        async def run() -> None:
            async with self.s3.server.client() as client:
                for name, *arguments in calls:
                    if name == "make":
                        await make_bucket(client, self.origin)
                        await make_bucket(client, self.west)
                        await allow_anonymous(client, self.west)
                    else:
                        await getattr(client, name)(Bucket=arguments[0], **more)

        asyncio.run(run())

    def put(self, *keys: str, also: bytes | None = None) -> None:
        for key in keys:
            self.do(("put_object", self.origin), Key=key, Body=key.encode())
            if also is not None:
                self.do(("put_object", self.west), Key=key, Body=also or key.encode())

    def site(self, **more: Any) -> dict[str, Any]:
        keys = self.s3.files.model_dump(mode="json")
        west = {"bucket": self.west, "endpoint": self.endpoint}
        return {
            "origin": {
                "bucket": self.origin,
                "region": "us-east-1",
                "endpoint": self.endpoint,
                "credentials": keys,
            },
            "targets": {"us-west-2": west | more.pop("target", {})},
            "redirect": {"scheme": "http"} | more.pop("redirect", {}),
        } | more

    def __call__(self, *options: str, sites: list[Any] | None = None, **more: Any) -> Any:
        config = write(
            self.folder / "n.yaml",
            sites=sites or [self.site(**more)],
            regions={"source": str(self.list)},
        )
        return self.nearbucket("check", "--config", config, *options)

    def findings(self, *options: str, **more: Any) -> list[str]:
        """The lines of the findings."""
        out: str = self(*options, **more).out
        return [
            line
            for line in out.splitlines()[:-1]
            if line.partition(":")[0] in {"ok", "note", "warning", "wrong"}
        ]


@pytest.fixture
def check(s3: LocalS3, nearbucket: Run, tmp_path: Path) -> Check:
    return Check(s3, nearbucket, tmp_path)


def test_a_failover_bucket_is_checked_like_the_origin_with_a_sample_of_all_objects(
    check: Check,
) -> None:
    check.put("a.tar.gz", "c.txt", also=b"")
    check.put("only-at-the-origin.txt")
    origin = check.site()["origin"]
    west, gone = origin | {"bucket": check.west}, origin | {"bucket": "failover-not-there"}
    result = check(failover=[west, gone])
    lacking = (
        "1 of 3 sampled objects of the origin: missing: only-at-the-origin.txt; while the origin "
        "is down, requests for such objects fail; copy all objects of the origin there, as by S3 "
        "replication"
    )
    assert [line for line in result.out.splitlines() if "sites.*.failover" in line] == [
        f"ok: sites.*.failover.0: bucket {check.west} exists, and can be listed",
        f"wrong: sites.*.failover.1: bucket failover-not-there: {NO_BUCKET}",
        "ok: sites.*.failover.0: 2 of 3 sampled objects of the origin are there",
        f"warning: sites.*.failover.0: {lacking}",
    ]
    assert result.code == 1


def test_a_good_configuration_is_one_line_a_finding_and_a_summary(check: Check) -> None:
    check.put("a.tar.gz", "ü+b.tar.xz", also=b"")
    check.put("c.txt")
    west = f"{check.endpoint}/{check.west}"
    the_list = "the list of prefixes of 2026-01-01-00-00-00"
    assert lines_of(check()) == [
        "configuration: valid",
        f"site *: origin {check.endpoint}/{check.origin}",
        f"site *: clients in us-west-2 are redirected to {west}",
        f"ok: sites.*.origin: bucket {check.origin} exists, and can be listed",
        f"ok: sites.*.targets.us-west-2: bucket {check.west} exists, and can be listed",
        "ok: sites.*.origin: 2 of the 3 objects would be redirected",
        "ok: sites.*.targets.us-west-2: 2 of 2 sampled objects: same",
        f"ok: sites.*.targets.us-west-2: {west}/a.tar.gz can be read without a signature",
        f"ok: regions.cache: {the_list} has addresses in all targets' regions",
        "summary: 6 ok, 0 note, 0 warning, 0 wrong",
    ]


def test_of_many_objects_it_says_what_their_verification_costs_an_hour(
    check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    check.put("a.tar.gz", "b.tar.gz", also=b"")
    monkeypatch.setattr("nearbucket.cli.check.checks._MANY", 2)
    costs = (
        "ok: sites.*.origin: 2 of the 2 objects would be redirected; verifying them in 2 buckets "
        "costs up to $0.002 an hour for each worker by HEAD requests, or at least $0.012 in all by "
        "listings"
    )
    # 2 objects (1 page) x 2 buckets x 1,200 turns an hour of 3/4 of 4 s; 0.4 and 5 USD a million
    assert costs in lines_of(check(redirect={"verify_ttl": "4s"}))
    assert "verifying them" not in check(redirect={"verify": "none"}).out


def test_json_has_every_part_of_a_finding(check: Check) -> None:
    check.put("a.tar.gz", also=b"")
    check.put("b.tar.gz", also=b"longer")
    done = check("--json")
    found = json.loads(done.out)
    assert done.code == 0
    assert found["valid"]
    assert found["summary"] == {"ok": 6, "note": 0, "warning": 1, "wrong": 0}
    (warning,) = [each for each in found["findings"] if each["level"] == "warning"]
    assert warning["about"] == "sample"
    assert warning["objects"] == ["b.tar.gz"]
    assert (warning["place"], warning["reached"]) == ("sites.*.targets.us-west-2", True)


def test_new_objects_that_are_absent_are_a_warning_and_exit_0(check: Check) -> None:
    check.put("a.tar.gz", f"{BACKWARDS}.tar.gz")
    done = check()
    assert done.code == 0
    assert "\nwarning: sites.*.targets.us-west-2: 2 of 2 sampled objects: missing" in done.out
    assert (
        "no replication rule of the origin has this destination: run nearbucket sync --config "
        in done.out
    )
    assert BACKWARDS not in done.out


def test_a_missing_bucket_ends_with_1_and_the_rest_is_still_looked_at(check: Check) -> None:
    check.put("a.tar.gz")
    done = check(target={"bucket": "gone-bucket"})
    assert done.code == 1
    assert check.findings(target={"bucket": "gone-bucket"})[:-1] == [
        f"ok: sites.*.origin: bucket {check.origin} exists, and can be listed",
        f"wrong: sites.*.targets.us-west-2: bucket gone-bucket: {NO_BUCKET}",
        "ok: sites.*.origin: 1 of the 1 objects would be redirected",
    ]


def test_an_endpoint_that_is_not_reached_ends_with_3(check: Check, unused_tcp_port: int) -> None:
    done = check(target={"endpoint": f"http://127.0.0.1:{unused_tcp_port}"})
    assert done.code == 3
    assert "wrong: sites.*.targets.us-west-2: bucket" in done.out
    assert "cannot be reached" in done.out


def test_without_credentials_each_bucket_says_so(
    check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    site = check.site()
    del site["origin"]["credentials"]
    done = check(sites=[site])
    assert done.code == 1
    assert done.out.count("no AWS credentials found; give this process a role, or keys") == 2


def test_key_files_that_cannot_be_read_are_named(check: Check) -> None:
    site = check.site()
    site["origin"]["credentials"] = {"access_key_file": "gone", "secret_key_file": "gone"}
    done = check(sites=[site])
    assert done.code == 1
    assert "wrong: sites.*.origin: credentials.access_key_file: " in done.out


def test_a_target_that_clients_may_not_read_is_a_warning_unless_urls_are_signed(
    check: Check,
) -> None:
    check.put("a.tar.gz", also=b"")
    check.do(("delete_bucket_policy", check.west))
    (warning,) = [line for line in check.findings() if line.startswith("warning: ")]
    assert "answers 403 to a request without a signature" in warning
    assert "redirect.presign" in warning
    assert "redirect.client_probe: false" in warning
    signed = check(redirect={"presign": "15m"}).out
    assert f"{check.west}/a.tar.gz can be read with a signed URL" in signed
    assert "Signature=" not in signed


def test_the_origin_as_target_is_not_compared_but_read_as_clients_do(check: Check) -> None:
    check.put("a.tar.gz")
    found = check.findings(target={"bucket": check.origin, "region": "us-east-1"})
    assert found[0].endswith("can be listed (also sites.*.targets.us-west-2)")
    assert len(found) == 4
    assert "answers 403" in found[2]


def test_cors_rules_of_the_origin_are_needed_at_the_target(check: Check) -> None:
    check.do(("put_bucket_cors", check.origin), CORSConfiguration=CORS)
    (warning,) = [line for line in check.findings() if "CORS" in line]
    assert warning.startswith("warning: sites.*.targets.us-west-2: the origin has CORS rules")
    check.do(("put_bucket_cors", check.west), CORSConfiguration=CORS)
    (good,) = [line for line in check.findings() if "CORS" in line]
    assert good.startswith("ok: ")


def test_a_policy_that_chooses_nothing_is_a_warning(check: Check) -> None:
    assert f"warning: sites.*.origin: {check.origin} has no objects; " in check().out
    check.put("a.txt")
    assert "warning: sites.*.origin: 0 of the 1 objects would be redirected; " in check().out


def test_a_region_without_addresses_in_the_list_is_a_warning(check: Check) -> None:
    site = check.site()
    site["targets"]["ap-south-1"] = site["targets"]["us-west-2"] | {"region": "us-west-2"}
    (line,) = [each for each in check.findings(sites=[site]) if "no client is redirected" in each]
    assert line.startswith("warning: sites.*.targets.ap-south-1: ")


def test_without_a_list_that_is_a_note(check: Check) -> None:
    check.list.unlink()
    assert "note: regions.cache: there is no list of prefixes" in check().out


def test_the_bypass_is_asked_for_an_object(check: Check) -> None:
    check.put("a.tar.gz", also=b"")
    to = f"{check.endpoint}/{check.west}"
    found = check.findings(bypass={"mode": "redirect", "to": to})
    assert f"ok: sites.*.bypass.to: {to}/a.tar.gz answers 206" in found


def test_an_object_of_the_sample_is_asked_for_through_the_front(check: Check) -> None:
    assert "note: front: there is no object to ask for" in check("--front", check.endpoint).out
    check.put("a.tar.gz", also=b"")
    done = check("--front", f"{check.endpoint}/")
    url = f"{check.endpoint}/a.tar.gz"
    assert f"wrong: front: {url} is answered by the front, not by the proxy" in done.out
    assert done.code == 1


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["https://a/b"], "--front https://a/b: has a path; write"),
        (["https://a", "--offline"], "--offline"),
    ],
)
def test_a_front_is_a_url_and_is_asked(check: Check, options: list[str], why: str) -> None:
    done = check("--front", *options)
    assert (done.code, why in done.err) == (2, True)


def test_an_object_that_is_empty_is_readable_too(check: Check) -> None:
    check.do(("put_object", check.origin), Key="a.tar.gz", Body=b"")
    assert not [line for line in check.findings() if line.startswith("wrong: ")]


def test_a_fix_names_the_site_where_there_are_several(check: Check) -> None:
    check.put("a.tar.gz")
    sites = [check.site(hosts=[name]) for name in ("a.example", "b.example")]
    out = check(sites=sites).out
    file = check.folder / "n.yaml"
    assert f"run nearbucket sync --config {file} --site 'b.example' --region us-west-2" in out
    assert out.count("can be listed (also sites.b.example.") == 2


def test_the_number_of_sampled_objects_can_be_chosen(check: Check) -> None:
    check.put("a.tar.gz", "b.tar.gz", "c.tar.gz", also=b"")
    assert "2 of 2 sampled objects" in check("--sample", "2").out
