"""What a configuration says of its targets."""

from __future__ import annotations

import pytest

from nearbucket.cli.check import checks
from nearbucket.supervisor.snapshot import targets_without_owner
from tests.build import settings

OWNER, HERE = {"expected_owner": "123456789012"}, {"endpoint": "http://127.0.0.1:1"}
PRIVATE = {"endpoint": "https://vpce-1.s3.us-west-2.vpce.amazonaws.com"}


@pytest.mark.parametrize(
    ("target", "named"),
    [
        pytest.param({}, True, id="on AWS"),
        pytest.param(PRIVATE, True, id="on AWS by an endpoint of a VPC"),
        pytest.param(OWNER, False, id="with its owner"),
        pytest.param(HERE | {"public_url": "https://s3.example"}, False, id="another server"),
    ],
)
def test_targets_on_aws_without_an_owner_are_named(target: dict[str, str], *, named: bool) -> None:
    site = {"targets": {"us-west-2": {"bucket": "west", **target}}}
    chosen = settings(site=site)
    assert targets_without_owner(chosen) == ["sites.0.targets.us-west-2"] * named
    findings = checks._owners(chosen)
    assert [(found.level, found.place) for found in findings] == [
        ("warning", "sites.0.targets.us-west-2")
    ] * named
