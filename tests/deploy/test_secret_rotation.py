"""Rotation of the origin secret as in ``deploy/README.md``: no request is refused at any moment."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from nearbucket.config.settings import ClientAddress, OriginSecret
from nearbucket.policy.client_address import SecretCheck, Trust
from nearbucket.policy.model import Request
from nearbucket.regions.region_table import network_set
from tests.stacks import DEPLOY, PUBLIC, SECRET, container, stack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cloudformation import Stack

README = (DEPLOY / "README.md").read_text("utf-8")
STEPS = README.partition("## Secret rotation")[2].partition("\n## ")[0]


class Version(NamedTuple):
    """A version of the secret."""

    current: str
    previous: str


def sent(of: Stack) -> str:
    """The reference to what CloudFront sends."""
    origin = of.resources["Distribution"]["Properties"]["DistributionConfig"]["Origins"][0]
    (header,) = origin["OriginCustomHeaders"]
    return str(header["HeaderValue"])


def accepted(of: Stack) -> dict[str, str]:
    """The references to what tasks accept."""
    return {each["Name"]: each["ValueFrom"] for each in container(of)["Secrets"]}


def test_each_reference_to_the_secret_changes_with_the_versions_id() -> None:
    before, after = stack(**PUBLIC), stack(**{**PUBLIC, "OriginSecretVersion": "version-2"})
    assert (
        sent(before) == "{{resolve:secretsmanager:" + SECRET + ":SecretString:current::version-1}}"
    )
    assert sent(after) == sent(before).replace("version-1", "version-2")
    assert accepted(before) == {
        "ORIGIN_SECRET": f"{SECRET}:current::version-1",
        "ORIGIN_SECRET_PREVIOUS": f"{SECRET}:previous::version-1",
    }
    for name, reference in accepted(before).items():
        assert accepted(after)[name] == reference.replace("version-1", "version-2")


def test_what_is_sent_changes_after_the_tasks() -> None:
    assert stack(**PUBLIC).resources["Distribution"]["DependsOn"] == "Service"
    module = (DEPLOY / "terraform/cloudfront.tf").read_text("utf-8")
    (depends,) = re.findall(r'distribution" "this".*?depends_on = \[(.*?)\]\n}', module, re.DOTALL)
    assert "aws_ecs_service.this" in depends
    service = (DEPLOY / "terraform/service.tf").read_text("utf-8")
    assert re.search(r"wait_for_steady_state += true", service)


def test_the_steps_store_the_value_in_use_as_the_previous_one_and_pass_on_the_versions_id() -> None:
    assert "OLD=$(aws secretsmanager get-secret-value" in STEPS
    put = re.search(r"VERSION=\$\(aws secretsmanager put-secret-value .*\)", STEPS)
    assert put is not None
    assert r"{\"current\": \"$NEW\", \"previous\": \"$OLD\"}" in put[0]
    assert "--query VersionId" in put[0]
    assert 'OriginSecretVersion="$VERSION"' in STEPS[put.end() :]


def accepts(version: Version, value: str) -> bool:
    """Whether a task that started with a version of the secret answers a request with the value."""
    settings = ClientAddress(origin_secret=OriginSecret(values=tuple(version)))
    request = Request("GET", "/", {b"x-origin-verify": value.encode()}, "10.0.0.1")
    return Trust.build(settings, network_set(())).secret(request) is SecretCheck.RIGHT


def moments(versions: list[Version]) -> Iterator[tuple[set[Version], set[str]]]:
    """Versions that tasks run with, and values that edges send, one after the other."""
    for old, new in pairwise(versions):
        yield {old}, {old.current}
        yield {old, new}, {old.current}  # ECS replaces tasks
        yield {new}, {old.current}
        yield {new}, {old.current, new.current}  # CloudFront deploys
        yield {new}, {new.current}


def test_every_value_that_is_sent_is_accepted_by_every_task_at_every_moment() -> None:
    rotations = [Version("a", "a"), Version("b", "a"), Version("c", "b"), Version("c", "c")]
    for running, values in moments(rotations):
        for version in running:
            for value in values:
                assert accepts(version, value), (version, value)
    assert not accepts(Version("c", "c"), "b")


def test_a_rotation_that_forgets_the_value_in_use_would_be_seen() -> None:
    wrong = [Version("a", "a"), Version("b", "b")]
    assert not all(
        accepts(version, value)
        for running, values in moments(wrong)
        for version in running
        for value in values
    )
