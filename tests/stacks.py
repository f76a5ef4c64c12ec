"""The stacks that tests look at: the parameters that each design needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.cloudformation import Stack

DEPLOY = Path(__file__).parents[1] / "deploy"
TEMPLATE = DEPLOY / "cloudformation" / "nearbucket.yaml"
BUCKET = DEPLOY / "cloudformation" / "bucket.yaml"
VALUES: dict[str, Any] = yaml.safe_load((DEPLOY / "terraform/values.yaml").read_text("utf-8"))
CERTIFICATE = "arn:aws:acm:us-east-1:123456789012:certificate/1"
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:origin-a1b2c3"
OBJECT = "s3://acme-configuration/nearbucket.yaml"

_NEEDED = {
    "Image": "registry.example.com/nearbucket:1.0.0",
    "ConfigurationObject": OBJECT,
    "BucketArns": "arn:aws:s3:::downloads,arn:aws:s3:::us-west-2-downloads",
    "VpcId": "vpc-1",
    "LoadBalancerSubnets": "subnet-1,subnet-2",
    "TaskSubnets": "subnet-1,subnet-2",
    "TaskRouteTables": "rtb-1",
    "CloudFrontPrefixList": "pl-3b927c52",
    "Aliases": "downloads.example.com,downloads.example.io",
    "ViewerCertificate": CERTIFICATE,
    "OriginBucketDomain": "downloads.s3.us-east-1.amazonaws.com",
}
PUBLIC = {
    "OriginAccess": "public-alb",
    "OriginName": "origin.example.com",
    "LoadBalancerCertificate": CERTIFICATE,
    "OriginSecret": SECRET,
    "OriginSecretVersion": "version-1",
}
REDIRECT = {
    "Design": "redirect",
    "CachedAliases": "cached.example.com",
    "CachedCertificate": CERTIFICATE,
}


def stack(region: str = "us-east-1", **parameters: str) -> Stack:
    """The main template: by default a VPC origin, and the design ``suffixes``."""
    return Stack(TEMPLATE, region, **{**_NEEDED, **parameters})


def container(of: Stack) -> dict[str, Any]:
    """The container of its task definition."""
    (found,) = of.resources["TaskDefinition"]["Properties"]["ContainerDefinitions"]
    return dict(found)


def variables(of: Stack) -> dict[str, str]:
    """The variables of the container, without the secret ones."""
    return {each["Name"]: each["Value"] for each in container(of)["Environment"]}
