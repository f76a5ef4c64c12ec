"""Credentials that are not there: said in the log, the metrics, the status and by readiness."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.build import OUTSIDE, WEST
from tests.e2e.running import Running, config_of, keys_of, site_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import LocalS3

PATH = "/big/pack-1.0.tar.xz"


def is_streamed_as_down(running: Running) -> bool:
    """Whether a client in the target's region gets the object, because the target is down."""
    answer = running.get(PATH, WEST)
    assert answer.status == 200
    return answer.headers["x-nearbucket"].endswith("reason=target-down")


def test_a_target_whose_key_files_cannot_be_read_is_down_until_they_can(
    s3: LocalS3, tmp_path: Path
) -> None:
    names = {"access_key_file": tmp_path / "access", "secret_key_file": tmp_path / "secret"}
    site = site_of(s3)
    files = {name: str(path) for name, path in names.items()}
    del site["targets"]["us-east-1"]  # the same bucket with other credentials
    site["targets"]["us-west-2"]["credentials"] = files
    series = 'nearbucket_target_up{region="us-west-2",site="*"}'
    with Running(tmp_path, config_of(tmp_path, site), keys_of(s3)) as running:
        running.ready().until("/metrics", lambda _, text: f"{series} 0.0" in text)
        # one worker may find out a moment after the other
        running.until("/healthz", lambda *_: is_streamed_as_down(running))
        why = (
            f"bucket {s3.public} in us-west-2 cannot be asked: credentials.access_key_file: "
            f"[Errno 2] No such file or directory: '{tmp_path}/access'"
        )
        target = json.loads(running.admin("/api/status")[1])["sites"][0]["targets"]["us-west-2"]
        assert (target["up"], target["why_down"]) == (False, why)
        log = running.errors.read_text(encoding="utf-8")
        down = f"site * in us-west-2, bucket {s3.public}: {why}"
        assert f"target down, clients are no longer redirected to it: {down}" in log
        names["access_key_file"].write_text(s3.server.access_key)
        names["secret_key_file"].write_text(s3.server.secret_key)
        running.until("/metrics", lambda _, text: f"{series} 1.0" in text)
        assert running.get(PATH, WEST).status == 301


def test_an_origin_that_does_not_accept_the_keys_is_a_warning_until_it_does(
    s3: LocalS3, tmp_path: Path
) -> None:
    names = {"access_key_file": tmp_path / "access", "secret_key_file": tmp_path / "secret"}
    site = site_of(s3)
    for target in site["targets"].values():
        target["credentials"] = "anonymous"
    site["origin"]["credentials"] = {name: str(path) for name, path in names.items()}
    named = f"warning: origin of site *: bucket {s3.private} in us-east-1"
    with Running(tmp_path, config_of(tmp_path, site), keys_of(s3)) as running:
        running.until(
            "/readyz",
            lambda _, text: text.startswith(f"ready\n{named} cannot be asked: credentials.access_"),
        )
        names["secret_key_file"].write_text(s3.server.secret_key)
        names["access_key_file"].write_text("RETIRED")
        refused = f"{named}: the keys are not accepted (InvalidAccessKeyId); run nearbucket check"
        running.until("/readyz", lambda _, text: text == f"ready\n{refused}\n")
        names["access_key_file"].write_text(s3.server.access_key)
        running.until("/readyz", lambda _, text: text == "ready\n")
        assert "origin of site *: the bucket can be used now" in running.said()


def test_keys_that_are_replaced_in_the_file_of_the_sdk_are_used(
    s3: LocalS3, tmp_path: Path
) -> None:
    file = tmp_path / "credentials"
    env = {"AWS_SHARED_CREDENTIALS_FILE": str(file), "AWS_EC2_METADATA_DISABLED": "true"}

    def write(access_key: str) -> None:
        secret = f"aws_secret_access_key = {s3.server.secret_key}"
        file.write_text(f"[default]\naws_access_key_id = {access_key}\n{secret}\n")

    write("RETIRED")
    with Running(tmp_path, config_of(tmp_path, site_of(s3)), env) as running:
        running.until("/readyz", lambda _, text: "(InvalidAccessKeyId)" in text)
        assert running.get(PATH, OUTSIDE).status == 502
        write(s3.server.access_key)
        running.until("/readyz", lambda _, text: text == "ready\n")
        # each worker asks for keys once a second
        running.until("/healthz", lambda *_: running.get(PATH, OUTSIDE).status == 200)


def test_that_there_are_no_aws_credentials_is_said_at_the_start_and_by_readiness(
    s3: LocalS3, tmp_path: Path
) -> None:
    home = {"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"}
    with Running(tmp_path, config_of(tmp_path, site_of(s3)), home) as running:
        text = running.until(
            "/readyz", lambda status, text: status == 200 and "no AWS credentials" in text
        )
        assert text.startswith("ready\nwarning: no AWS credentials found: give this process")
        (warning,) = json.loads(running.admin("/api/status")[1])["warnings"]
        assert warning in text
        assert running.get(PATH, OUTSIDE).status == 502
        log = running.errors.read_text(encoding="utf-8")
        assert log.count(f"{warning}; until then no request is sent to S3") == 1


def test_where_no_credentials_are_needed_there_is_no_warning(s3: LocalS3, tmp_path: Path) -> None:
    site = site_of(s3)
    for bucket in (site["origin"], *site["targets"].values()):
        bucket |= {"bucket": s3.public, "credentials": "anonymous"}
    with Running(tmp_path, config_of(tmp_path, site), {}) as running:
        assert running.ready().admin("/readyz") == (200, "ready\n")
        assert running.get(PATH, OUTSIDE).status == 200
        assert "AWS credentials" not in running.errors.read_text(encoding="utf-8")
