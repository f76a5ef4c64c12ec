"""``nearbucket init``: a first configuration, from options or from answers on a terminal."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nearbucket.config.file import load
from tests.cli.conftest import lines_of

if TYPE_CHECKING:
    from tests.cli.conftest import Run

OPTIONS = ("init", "--bucket", "downloads", "--region", "us-east-1")


def test_options_give_a_configuration_that_redirects_nothing_yet(nearbucket: Run) -> None:
    hosts = ("--host", "dl.example.com", "--host", "dl.example.io")
    targets = ("--target", "us-west-2", "--target", "eu-west-1=mirror.eu")
    lines = lines_of(nearbucket(*OPTIONS, *hosts, *targets))
    assert lines[-1] == "next: nearbucket check --config nearbucket.yaml"
    (site,) = load().sites
    assert site.hosts == ("dl.example.com", "dl.example.io")
    assert (site.origin.bucket, site.origin.region) == ("downloads", "us-east-1")
    assert {region: target.bucket for region, target in site.targets.items()} == {
        "us-east-1": "downloads",
        "us-west-2": "downloads-us-west-2",
        "eu-west-1": "mirror.eu",
    }
    assert site.redirect.mode == "shadow"


def test_without_hosts_and_targets_it_is_for_all_hosts_and_the_own_region(nearbucket: Run) -> None:
    assert nearbucket(*OPTIONS).code == 0
    (site,) = load().sites
    assert site.hosts == ("*",)
    assert list(site.targets) == ["us-east-1"]


def test_editors_find_the_schema_that_the_first_line_names(nearbucket: Run) -> None:
    assert nearbucket(*OPTIONS).code == 0
    first = Path("nearbucket.yaml").read_text(encoding="utf-8").splitlines()[0]
    schema = first.removeprefix("# yaml-language-server: $schema=")
    assert "sites" in json.loads(Path(schema).read_bytes())["properties"]


def test_check_accepts_it(nearbucket: Run, listed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert nearbucket(*OPTIONS, "--target", "us-west-2").code == 0
    monkeypatch.setenv("NEARBUCKET_REGIONS__CACHE", listed)
    assert "configuration: valid" in nearbucket("check", "--offline").out


def test_a_file_that_is_there_is_kept(nearbucket: Run) -> None:
    Path("nearbucket.yaml").write_text("mine", encoding="utf-8")
    outcome = nearbucket(*OPTIONS)
    assert (outcome.code, Path("nearbucket.yaml").read_text(encoding="utf-8")) == (2, "mine")
    assert "give another name with --output FILE" in outcome.err


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--bucket", "No_Bucket", "--bucket: 'No_Bucket' is not a bucket name"),
        ("--region", "us east", "--region: 'us east' is not"),
        ("--target", "us-west-2=x", "sites.0.targets.us-west-2.bucket: 'x' is not a bucket name"),
        ("--host", "a b: [", "sites.0.hosts.0: 'a b: ['"),
    ],
)
def test_a_wrong_value_is_named_and_nothing_is_written(
    nearbucket: Run, option: str, value: str, said: str
) -> None:
    outcome = nearbucket(*OPTIONS, option, value)
    assert outcome.code == 2
    assert said in outcome.err
    assert not list(Path().glob("nearbucket.*"))


def test_without_a_terminal_missing_options_are_named(nearbucket: Run) -> None:
    outcome = nearbucket("init", "--region", "us-east-1", stdin=b"downloads\n")
    assert outcome.code == 2
    assert "--bucket: missing" in outcome.err


def test_a_terminal_is_asked_for_the_rest(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    answers = b"No_Bucket\ndownloads\n\ndl.example.com\nus-west-2, eu-west-1\n\nmirror.eu\n"
    try:
        os.write(ours, answers)
        ended = subprocess.run(
            [sys.executable, "-m", "nearbucket", "init"],
            stdin=theirs,
            capture_output=True,
            cwd=tmp_path,
            check=False,
            timeout=60,
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert ended.returncode == 0
    assert b"'No_Bucket' is not a bucket name" in ended.stderr  # and the question is put again
    (site,) = load(tmp_path / "nearbucket.yaml").sites
    assert (site.origin.bucket, site.origin.region) == ("downloads", "us-east-1")
    assert {region: target.bucket for region, target in site.targets.items()} == {
        "us-east-1": "downloads",
        "us-west-2": "downloads-us-west-2",
        "eu-west-1": "mirror.eu",
    }
    assert site.hosts == ("dl.example.com",)
