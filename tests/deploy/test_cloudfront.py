"""The CloudFormation templates: CloudFront, and the way from it to the tasks.

As in ``test_tasks``, they are resolved for the parameters of each design.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.cloudformation import read_template
from tests.stacks import (
    CERTIFICATE,
    PUBLIC,
    REDIRECT,
    TEMPLATE,
    VALUES,
    container,
    stack,
    variables,
)

if TYPE_CHECKING:
    from tests.cloudformation import Stack

UNCACHED = ("nearbucket", VALUES["values"]["policies"]["caching_disabled"])
CACHED = ("bucket", "<BucketCachePolicy>")
HOSTS = "/.well-known/nearbucket-hosts.json"


def config(of: Stack, name: str = "Distribution") -> dict[str, Any]:
    found: dict[str, Any] = of.resources[name]["Properties"]["DistributionConfig"]
    return found


def behaviours(distribution: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Origin and cache policy of each path."""
    every = [*distribution.get("CacheBehaviors", ()), distribution["DefaultCacheBehavior"]]
    return {
        each.get("PathPattern", "*"): (each["TargetOriginId"], each["CachePolicyId"])
        for each in every
    }


# ---- what CloudFront keeps


def test_everything_but_redirectable_paths_is_cached_from_the_bucket() -> None:
    found = config(stack(RedirectablePath2="*.iso"))
    assert behaviours(found) == {
        "*.tar.*z*": UNCACHED,
        "*.iso": UNCACHED,
        HOSTS: UNCACHED,
        "*": CACHED,
    }
    (bucket,) = [each for each in found["Origins"] if each["Id"] == "bucket"]
    assert bucket["OriginAccessControlId"] == "<BucketAccess>"


def test_in_design_redirect_all_asks_nearbucket_and_a_second_distribution_caches() -> None:
    found = stack(**REDIRECT)
    assert behaviours(config(found)) == {"*": UNCACHED}
    cached = config(found, "CachedDistribution")
    assert behaviours(cached) == {"*": CACHED}
    assert [each["Id"] for each in cached["Origins"]] == ["bucket"]
    assert cached["Aliases"] == ["cached.example.com"]


def test_what_asks_nearbucket_forwards_host_address_and_query_but_no_cookies() -> None:
    found = stack(**REDIRECT)
    for made in (stack(), found):
        every = [*config(made).get("CacheBehaviors", ()), config(made)["DefaultCacheBehavior"]]
        for each in every:
            forwards = each.get("OriginRequestPolicyId") == "<OriginRequestPolicy>"
            assert forwards == (each["TargetOriginId"] == "nearbucket")
            assert not each["Compress"]
    policy = found.resources["OriginRequestPolicy"]["Properties"]["OriginRequestPolicyConfig"]
    assert policy["HeadersConfig"] == {
        "HeaderBehavior": "allViewerAndWhitelistCloudFront",
        "Headers": ["CloudFront-Viewer-Address"],
    }
    assert policy["QueryStringsConfig"] == {"QueryStringBehavior": "all"}
    assert policy["CookiesConfig"] == {"CookieBehavior": "none"}


def test_an_objects_own_caching_rules_hold_in_the_cache_of_the_bucket() -> None:
    policy = stack().resources["BucketCachePolicy"]["Properties"]["CachePolicyConfig"]
    assert policy["MinTTL"] == 0


def test_the_bucket_is_shown_what_its_cors_rules_look_at() -> None:
    made = stack(**REDIRECT)
    policy = made.resources["BucketCachePolicy"]["Properties"]["CachePolicyConfig"]
    shown = policy["ParametersInCacheKeyAndForwardedToOrigin"]["HeadersConfig"]
    asks = {"Access-Control-Request-Headers", "Access-Control-Request-Method"}
    assert (shown["HeaderBehavior"], set(shown["Headers"])) == ("whitelist", {"Origin"} | asks)
    cached = config(made, "CachedDistribution")["DefaultCacheBehavior"]
    assert "OPTIONS" in cached["AllowedMethods"]


@pytest.mark.parametrize("name", ["Distribution", "CachedDistribution"])
def test_no_error_is_kept(name: str) -> None:
    kept = config(stack(**REDIRECT), name)["CustomErrorResponses"]
    assert {404, 500, 502, 503, 504} <= {each["ErrorCode"] for each in kept}
    assert {each["ErrorCachingMinTTL"] for each in kept} == {0}


def test_names_that_belong_to_the_account_have_the_region_in_them() -> None:
    def names(region: str) -> set[str]:
        made = stack(region)
        return {
            made.resources["OriginRequestPolicy"]["Properties"]["OriginRequestPolicyConfig"][
                "Name"
            ],
            made.resources["BucketCachePolicy"]["Properties"]["CachePolicyConfig"]["Name"],
            made.resources["BucketAccess"]["Properties"]["OriginAccessControlConfig"]["Name"],
        }

    assert names("us-east-1").isdisjoint(names("eu-west-1"))


def test_the_logs_of_each_distribution_are_delivered_under_the_output_for_analyze() -> None:
    made = stack(**REDIRECT)
    for name in ("Distribution", "CachedDistribution"):
        logging = config(made, name)["Logging"]
        assert logging["Bucket"] == "<CloudFrontLogs.DomainName>"
        assert logging["Prefix"].startswith("cloudfront/")
    assert made.outputs["CloudFrontLogs"]["Value"] == "s3://<CloudFrontLogs>/cloudfront/"
    rules = made.resources["CloudFrontLogs"]["Properties"]["OwnershipControls"]["Rules"]
    assert rules == [{"ObjectOwnership": "BucketOwnerPreferred"}]  # CloudFront writes by an ACL


# ---- the way from CloudFront to the tasks


def test_by_default_no_load_balancer_is_public_and_there_is_no_secret() -> None:
    made = stack()
    assert made.resources["LoadBalancer"]["Properties"]["Scheme"] == "internal"
    (origin, _) = config(made)["Origins"]
    assert origin["VpcOriginConfig"]["VpcOriginId"] == "<VpcOrigin.Id>"
    assert origin["DomainName"] == "<LoadBalancer.DNSName>"
    assert "OriginCustomHeaders" not in origin
    assert "Secrets" not in container(made)
    assert not [name for name in variables(made) if "SECRET" in name]
    assert made.resources["Listener"]["Properties"]["Protocol"] == "HTTP"


def test_a_public_load_balancer_speaks_https_and_asks_for_the_secret() -> None:
    made = stack(**PUBLIC)
    assert "VpcOrigin" not in made.resources
    assert made.resources["LoadBalancer"]["Properties"]["Scheme"] == "internet-facing"
    listener = made.resources["Listener"]["Properties"]
    assert (listener["Protocol"], listener["Port"]) == ("HTTPS", 443)
    assert listener["Certificates"] == [{"CertificateArn": CERTIFICATE}]
    (origin, _) = config(made)["Origins"]
    assert origin["CustomOriginConfig"]["OriginProtocolPolicy"] == "https-only"
    assert origin["OriginCustomHeaders"][0]["HeaderName"] == "x-origin-verify"


@pytest.mark.parametrize("access", [{}, PUBLIC], ids=["vpc-origin", "public-alb"])
def test_only_cloudfront_reaches_the_load_balancer_and_only_it_the_tasks(
    access: dict[str, str],
) -> None:
    groups = stack(**access).of_type("EC2::SecurityGroup")
    (rule,) = groups["LoadBalancerGroup"]["SecurityGroupIngress"]
    assert rule["SourcePrefixListId"] == "pl-3b927c52"
    assert rule["FromPort"] == rule["ToPort"] == (443 if access else 80)
    sources = {
        each["SourceSecurityGroupId"] for each in groups["TaskGroup"]["SecurityGroupIngress"]
    }
    assert sources == {"<LoadBalancerGroup>"}


def test_streamed_bytes_go_through_a_gateway_endpoint() -> None:
    endpoint = stack().resources["S3Endpoint"]["Properties"]
    assert endpoint["VpcEndpointType"] == "Gateway"
    assert endpoint["ServiceName"] == "com.amazonaws.us-east-1.s3"
    assert "S3Endpoint" not in stack(TaskRouteTables="").resources


@pytest.mark.parametrize(
    ("parameters", "refusals"),
    [
        ({}, 0),
        (PUBLIC, 0),
        (REDIRECT, 0),
        ({"OriginAccess": "public-alb"}, 4),
        ({**PUBLIC, "OriginSecretVersion": ""}, 1),
        ({"OriginBucketDomain": ""}, 1),
        ({**REDIRECT, "OriginBucketDomain": ""}, 1),
        ({"ConfigurationObject": ""}, 1),
        ({"Aliases": ""}, 1),
        ({**REDIRECT, "CachedAliases": ""}, 1),
    ],
    ids=str,
)
def test_parameters_that_belong_together_are_asked_for(
    parameters: dict[str, str], refusals: int
) -> None:
    assert len(stack(**parameters).refused()) == refusals


@pytest.mark.parametrize(
    ("parameter", "value", "accepted"),
    [
        ("Image", "registry.example.com/nearbucket:1.2", True),
        ("Image", "registry.example.com:5000/latest@sha256:" + 64 * "0", True),
        ("Image", "registry.example.com/nearbucket:latest-1", True),
        ("Image", "registry.example.com/nearbucket:latest", False),
        ("Image", "registry.example.com:5000/nearbucket", False),
        ("RedirectablePath1", "*.tar.*z*", True),
        ("RedirectablePath1", "", False),
        ("RedirectablePath2", "", True),
        ("RedirectablePath3", "*.{zip,iso}", False),
    ],
)
def test_a_value_that_cannot_work_is_refused_before_anything_is_made(
    parameter: str, value: str, *, accepted: bool
) -> None:
    pattern = read_template(TEMPLATE)["Parameters"][parameter]["AllowedPattern"]
    assert bool(re.fullmatch(pattern, value)) is accepted
