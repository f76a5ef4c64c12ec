"""The Terraform module: validated, planned in each design, and applied to moto."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.deploy.terraform import Moto, Terraform, moto
from tests.stacks import CERTIFICATE, PUBLIC, VALUES, container, stack

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.deploy
MODULE = "module.nearbucket."

FIXED_TASKS = """
variable "tasks" {
  default = { min = 2, max = 2 }
}
"""

WITHOUT_POLICIES = """
locals {
  viewer_policy_id = "33f36d7e-f396-46d9-90e0-52428a34d9dc"
  bucket_policy_id = "658327ea-f89d-4fab-a63d-7e88639e58f6"
}
resource "aws_ecs_service" "this" {
  wait_for_steady_state = false
}
"""
"""moto has no policies of CloudFront, and its services never become steady."""

MOTO_CANNOT = {
    f"{MODULE}aws_cloudfront_cache_policy.bucket",
    f"{MODULE}aws_cloudfront_origin_request_policy.viewer",
    f"{MODULE}aws_appautoscaling_target.tasks",
}
AFTER_THEM = {
    f"{MODULE}aws_appautoscaling_policy.bytes",
    f'{MODULE}aws_appautoscaling_policy.load["cpu"]',
    f'{MODULE}aws_appautoscaling_policy.load["memory"]',
}
"""Not tried, as they need one of those."""


@pytest.fixture(scope="module")
def server() -> Iterator[Moto]:
    yield from moto()


def public(server: Moto) -> dict[str, Any]:
    return {
        "origin_access": "public-alb",
        "public_alb": {"name": "origin.example.com", "certificate_arn": server.certificate},
        "origin_secret": {**server.secret, "key_arn": "arn:aws:kms:us-east-1:123456789012:key/1"},
    }


@pytest.fixture(scope="module")
def planned(server: Moto, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The example as it is: a VPC origin, and the design ``suffixes``."""
    example = Terraform(tmp_path_factory.mktemp("planned"), server)
    assert "Success! The configuration is valid." in example.validate()
    return example.plan()


@pytest.fixture(scope="module")
def applied(server: Moto, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The example with a public load balancer, in moto."""
    example = Terraform(tmp_path_factory.mktemp("applied"), server, public(server))
    example.override(WITHOUT_POLICIES + FIXED_TASKS)
    wanted = example.plan().keys()
    created, failed = example.apply()
    assert failed.keys() == MOTO_CANNOT, failed
    assert wanted - created.keys() == MOTO_CANNOT | AFTER_THEM
    return created


def behaviours(distribution: dict[str, Any]) -> dict[str, tuple[str, str | None]]:
    """Origin and cache policy of each path."""
    return {
        each.get("path_pattern", "*"): (each["target_origin_id"], each.get("cache_policy_id"))
        for each in (
            *distribution["ordered_cache_behavior"],
            *distribution["default_cache_behavior"],
        )
    }


UNCACHED = ("nearbucket", VALUES["values"]["policies"]["caching_disabled"])


def test_the_example_has_an_internal_load_balancer_behind_a_vpc_origin_and_no_secret(
    planned: dict[str, dict[str, Any]],
) -> None:
    assert planned[f"{MODULE}aws_lb.this"]["internal"]
    assert f"{MODULE}aws_cloudfront_vpc_origin.this[0]" in planned
    assert not any("origin_secret" in address for address in planned)
    assert planned[f"{MODULE}aws_vpc_endpoint.s3[0]"]["vpc_endpoint_type"] == "Gateway"


def test_a_fixed_number_of_tasks_is_no_alarm(
    planned: dict[str, dict[str, Any]], applied: dict[str, dict[str, Any]]
) -> None:
    address = f'{MODULE}aws_cloudwatch_metric_alarm.this["all-tasks-used"]'
    assert planned[address]["threshold"] == 10
    assert address not in applied


def test_each_host_name_has_a_distribution_that_asks_nearbucket_for_redirectable_paths_alone(
    planned: dict[str, dict[str, Any]],
) -> None:
    for key, host in (("com", "downloads.example.com"), ("io", "downloads.example.io")):
        found = planned[f'{MODULE}aws_cloudfront_distribution.this["{key}"]']
        assert found["aliases"] == [host]
        assert behaviours(found) == {
            "*.tar.*z*": UNCACHED,
            "/.well-known/nearbucket-hosts.json": UNCACHED,
            "*": ("bucket", None),  # a policy that is yet to be created
        }
        kept = {each["error_caching_min_ttl"] for each in found["custom_error_response"]}
        assert kept == {0}
        assert found["logging_config"][0]["prefix"] == f"cloudfront/{key}/"


def test_the_bucket_is_shown_what_its_cors_rules_look_at(
    planned: dict[str, dict[str, Any]],
) -> None:
    policy = planned[f"{MODULE}aws_cloudfront_cache_policy.bucket"]
    (parameters,) = policy["parameters_in_cache_key_and_forwarded_to_origin"]
    (ours,) = parameters["headers_config"][0]["headers"]
    other = stack().resources["BucketCachePolicy"]["Properties"]["CachePolicyConfig"]
    shown = other["ParametersInCacheKeyAndForwardedToOrigin"]["HeadersConfig"]["Headers"]
    assert sorted(ours["items"]) == sorted(shown)


def test_a_target_of_each_region_is_versioned_and_replicated_to(
    planned: dict[str, dict[str, Any]],
) -> None:
    for name in ("origin", "us_west_2", "eu_west_1"):
        versioning = planned[f"module.{name}.aws_s3_bucket_versioning.this"]
        assert versioning["versioning_configuration"][0]["status"] == "Enabled"
    found = planned["module.replication.aws_s3_bucket_replication_configuration.this"]
    assert [each["id"] for each in found["rule"]] == ["eu-west-1", "us-west-2"]
    assert len({each["priority"] for each in found["rule"]}) == 2


def test_design_redirect_caches_in_a_second_distribution_that_never_asks_nearbucket(
    server: Moto, tmp_path_factory: pytest.TempPathFactory
) -> None:
    arguments = {
        "design": "redirect",
        "cached_distribution": {"aliases": ["cached.example.com"], "certificate_arn": CERTIFICATE},
        "configuration_in": "environment",
        "configuration": json.dumps({"sites": [site("https://cached.example.com")]}),
        "longest_download": 3600,
    }
    found = Terraform(tmp_path_factory.mktemp("redirect"), server, arguments).plan()
    asked = behaviours(found[f'{MODULE}aws_cloudfront_distribution.this["com"]'])
    assert asked == {"*": UNCACHED}
    cached = found[f"{MODULE}aws_cloudfront_distribution.cached[0]"]
    assert behaviours(cached) == {"*": ("bucket", None)}
    assert [each["origin_id"] for each in cached["origin"]] == ["bucket"]
    (one,) = json.loads(found[f"{MODULE}aws_ecs_task_definition.this"]["container_definitions"])
    given = {each["name"]: each["value"] for each in one["environment"]}
    assert json.loads(given["NEARBUCKET_SITES"]) == [site("https://cached.example.com")]
    assert "NEARBUCKET_CONFIG" not in given
    waits_until_old_tasks_have_left(found)


def waits_until_old_tasks_have_left(found: dict[str, dict[str, Any]]) -> None:
    drain = int(found[f"{MODULE}aws_lb_target_group.this"]["deregistration_delay"])
    least = drain + VALUES["values"]["container"]["stop_timeout"] + 20 * 60
    times = found[f"{MODULE}aws_ecs_service.this"]["timeouts"]
    assert all(int(times[name].removesuffix("s")) > least for name in ("update", "delete"))


def test_terraform_waits_until_old_tasks_have_left(planned: dict[str, dict[str, Any]]) -> None:
    waits_until_old_tasks_have_left(planned)


def site(to: str) -> dict[str, Any]:
    return {
        "origin": {"bucket": "acme-downloads", "region": "us-east-1"},
        "bypass": {"mode": "redirect", "to": to},
    }


@pytest.mark.parametrize(
    ("arguments", "errors"),
    [
        pytest.param(
            {
                "image": "registry.example.com/nearbucket:latest",
                "size": "huge",
                "configuration": "mode: on",
                "redirectable_paths": ["*.tar.[gx]z"],
                "distributions": {"cached": {"aliases": ["x.example"], "certificate_arn": "x"}},
            },
            [
                "the tag is not latest",
                "size is small, medium, large or xlarge",
                "configuration is YAML with the key sites",
                "CloudFront knows only * and ?",
                "which is not cached",
            ],
            id="each by itself",
        ),
        pytest.param(
            {"origin_access": "public-alb", "origin_bucket": None},
            [
                "public_alb is given with origin_access public-alb",
                "origin_secret is given with origin_access public-alb",
                "origin_bucket is needed where CloudFront caches from the bucket",
            ],
            id="together",
        ),
        pytest.param(
            {
                "design": "redirect",
                "cached_distribution": {
                    "aliases": ["cached.example.com"],
                    "certificate_arn": CERTIFICATE,
                },
                "configuration": json.dumps({"sites": [site("https://downloads.example.com")]}),
            },
            ["bypass: {mode: redirect, to: https://<one of its aliases>}"],
            id="a loop",
        ),
    ],
)
def test_arguments_that_cannot_work_are_refused_before_anything_is_created(
    server: Moto, tmp_path_factory: pytest.TempPathFactory, arguments: Any, errors: list[str]
) -> None:
    said = Terraform(tmp_path_factory.mktemp("refused"), server, arguments).refusals()
    for error in errors:
        assert error in said


def test_moto_creates_all_but_what_it_does_not_have(applied: dict[str, dict[str, Any]]) -> None:
    assert len(applied) > 75


def test_both_deployments_run_the_same_container(
    applied: dict[str, dict[str, Any]], server: Moto
) -> None:
    (ours,) = json.loads(applied[f"{MODULE}aws_ecs_task_definition.this"]["container_definitions"])
    other = container(
        stack(
            **{
                **PUBLIC,
                "OriginSecret": server.secret["arn"],
                "OriginSecretVersion": server.secret["version_id"],
                "Image": server.inputs["image"],
                "ConfigurationObject": configuration(applied),
            }
        )
    )
    assert plain(ours) == plain(other)


def configuration(applied: dict[str, dict[str, Any]]) -> str:
    """URL of the object with the configuration."""
    found = applied[f"{MODULE}aws_s3_object.configuration[0]"]
    return f"s3://{found['bucket']}/{found['key']}"


def plain(definition: Any, key: str = "") -> Any:
    """A container's definition without the differences of two ways to write it."""
    if isinstance(definition, dict):
        left_out = {"systemControls", "volumesFrom", "hostPort", "protocol", "awslogs-group", "cpu"}
        return {
            name[:1].lower() + name[1:]: plain(each, name)
            for name, each in definition.items()
            if name not in left_out and each not in ([], {}, None)
        }
    if isinstance(definition, list):
        found = [plain(each) for each in definition]
        return found if key in {"command", "Command"} else sorted(found, key=str)
    return str(definition)


def test_a_new_version_of_the_secret_is_sent_when_tasks_accept_it(
    applied: dict[str, dict[str, Any]], server: Moto
) -> None:
    (one,) = json.loads(applied[f"{MODULE}aws_ecs_task_definition.this"]["container_definitions"])
    assert {each["valueFrom"].rpartition(":")[2] for each in one["secrets"]} == {
        server.secret["version_id"]
    }
    sent = applied[f'{MODULE}aws_cloudfront_distribution.this["com"]']["origin"]
    headers = [each for origin in sent for each in origin["custom_header"]]
    assert headers == [{"name": "x-origin-verify", "value": "first"}]


def test_the_execution_role_may_decrypt_a_secret_under_a_key_of_the_customer(
    applied: dict[str, dict[str, Any]],
) -> None:
    policy = json.loads(applied[f"{MODULE}aws_iam_role_policy.origin_secret[0]"]["policy"])
    assert [each["Action"] for each in policy["Statement"]] == [
        "secretsmanager:GetSecretValue",
        "kms:Decrypt",
    ]


def test_the_task_role_may_read_buckets_and_the_configuration_and_nothing_else(
    applied: dict[str, dict[str, Any]],
) -> None:
    policy = json.loads(applied[f"{MODULE}aws_iam_role_policy.task"]["policy"])
    object_ = configuration(applied).removeprefix("s3://")
    buckets = [f"arn:aws:s3:::acme-downloads{end}" for end in ("", "-eu-west-1", "-us-west-2")]
    found = {each["Sid"]: each["Resource"] for each in policy["Statement"]}
    assert sorted(found.pop("Objects")) == sorted(f"{bucket}/*" for bucket in buckets)
    assert sorted(found.pop("Buckets")) == sorted(buckets)
    assert found == {"Configuration": [f"arn:aws:s3:::{object_}{end}" for end in (".next", "")]}
