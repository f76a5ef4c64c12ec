"""Warnings about the targets of a valid configuration."""

from __future__ import annotations

import pytest

from nearbucket.cli.check import checks
from nearbucket.supervisor.config_warnings import (
    list_warnings,
    targets_in_other_regions,
    targets_without_owner,
)
from tests.build import ranges, settings

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
    assert targets_without_owner(chosen) == ["sites.*.targets.us-west-2"] * named
    findings = checks._owners(chosen)
    assert [(found.level, found.place) for found in findings] == [
        ("warning", "sites.*.targets.us-west-2")
    ] * named


@pytest.mark.parametrize(
    ("target", "named"),
    [
        pytest.param({}, False, id="its clients' region"),
        pytest.param({"region": "ap-southeast-2"}, True, id="another region"),
        pytest.param({"region": "us-east-1", **PRIVATE}, True, id="by an endpoint of a VPC"),
        pytest.param(
            {"region": "there", "public_url": "https://s3.example", **HERE},
            False,
            id="another server",
        ),
    ],
)
def test_targets_in_another_region_than_their_clients_are_named(
    target: dict[str, str], *, named: bool
) -> None:
    site = {"targets": {"us-west-2": {"bucket": "west", **target}}}
    chosen = settings(site=site)
    key = "sites.*.targets.us-west-2"
    assert list(targets_in_other_regions(chosen)) == [key] * named
    found = [(each.level, each.place, each.about) for each in checks._far(chosen)]
    assert found == [("warning", key, "region")] * named


def test_services_that_the_list_does_not_have_are_named_with_a_similar_one() -> None:
    chosen = settings(regions={"services": ["EC2", "ec2", "nothing-like-it"]})
    similar, other = list_warnings(chosen, ranges())
    said = "is not a label in the list of prefixes;"
    assert similar == f"regions.services: 'ec2' {said} did you mean EC2?"
    assert other.startswith(f"regions.services: 'nothing-like-it' {said} it has ")
    assert list_warnings(chosen, None) == []
