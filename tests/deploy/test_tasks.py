"""The CloudFormation templates: the tasks, their number and alarms, and the buckets they read.

They are resolved for the parameters of each design.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from typing import Any

import pytest
import yaml

from nearbucket.regions import feed
from tests.build import COMMAND
from tests.cloudformation import Stack, read_template
from tests.stacks import (
    BUCKET,
    DEPLOY,
    OBJECT,
    PUBLIC,
    REDIRECT,
    SECRET,
    TEMPLATE,
    VALUES,
    container,
    stack,
    variables,
)

# ---- the tasks


def test_tasks_run_on_arm64() -> None:
    task = stack().resources["TaskDefinition"]["Properties"]
    assert task["RuntimePlatform"] == {
        "CpuArchitecture": "ARM64",
        "OperatingSystemFamily": "LINUX",
    }


def test_a_task_runs_the_images_own_entry_point() -> None:
    assert {"EntryPoint", "Command"}.isdisjoint(container(stack()))


def test_prometheus_finds_each_task_by_name_where_it_is_let_in() -> None:
    watched = stack(MonitoringSecurityGroup="sg-1").resources
    registries = watched["Service"]["Properties"]["ServiceRegistries"]
    assert registries == [{"RegistryArn": "<DiscoveryService.Arn>"}]
    (scrape,) = yaml.safe_load((DEPLOY / "prometheus/ecs.yml").read_text("utf-8"))["scrape_configs"]
    (found,) = scrape["dns_sd_configs"]
    name, zone = (
        watched[f"Discovery{each}"]["Properties"]["Name"] for each in ("Service", "Namespace")
    )
    assert found["names"] == [
        f"{name}.{zone}".replace("downloads", "nearbucket")
    ]  # the stack's name
    assert str(found["port"]) == str(VALUES["values"]["container"]["admin_port"])
    unwatched = stack().resources
    assert "ServiceRegistries" not in unwatched["Service"]["Properties"]
    assert "DiscoveryNamespace" not in unwatched


def test_an_outage_of_the_log_stops_no_download() -> None:
    options = container(stack())["LogConfiguration"]["Options"]
    assert (options["mode"], options["max-buffer-size"]) == ("non-blocking", "25m")


def test_the_configuration_is_an_object_that_the_task_may_read() -> None:
    made = stack()
    given = variables(made)
    assert given["NEARBUCKET_CONFIG"] == OBJECT
    assert "NEARBUCKET_SITES" not in given
    *_, last = statements(made)
    object_ = f"arn:aws:s3:::{OBJECT.removeprefix('s3://')}"
    assert last == {
        "Effect": "Allow",
        "Action": "s3:GetObject",
        "Resource": [object_, f"{object_}.next"],
    }


@pytest.mark.parametrize(
    ("parameters", "command"),
    [
        ({}, ["check", "--config", f"{OBJECT}.next"]),
        ({"ConfigurationObject": "", "Sites": "[{}]"}, ["check"]),
    ],
    ids=["object", "inline"],
)
def test_a_check_is_of_the_configuration_that_is_not_yet_in_use(
    parameters: dict[str, str], command: list[str]
) -> None:
    words = shlex.split(stack(**parameters).outputs["CheckCommand"]["Value"])
    overrides = json.loads(words[words.index("--overrides") + 1])
    assert overrides == {"containerOverrides": [{"name": "nearbucket", "command": command}]}


def statements(made: Stack) -> list[dict[str, Any]]:
    """What the role of the tasks may do."""
    (policy,) = made.resources["TaskRole"]["Properties"]["Policies"]
    return list(policy["PolicyDocument"]["Statement"])


def test_the_task_may_read_and_list_every_bucket_and_use_their_keys() -> None:
    made = stack(ConfigurationObject="", Sites="[{}]", KeyArns="arn:aws:kms:us-east-1:1:key/1")
    assert [(each["Action"], each["Resource"]) for each in statements(made)] == [
        (
            ["s3:GetObject", "s3:GetObjectTagging"],
            ["arn:aws:s3:::downloads/*", "arn:aws:s3:::us-west-2-downloads/*"],
        ),
        ("s3:ListBucket", ["arn:aws:s3:::downloads", "arn:aws:s3:::us-west-2-downloads"]),
        ("kms:Decrypt", ["arn:aws:kms:us-east-1:1:key/1"]),
    ]


def test_the_execution_role_may_decrypt_a_secret_under_a_key_of_the_customer() -> None:
    key = "arn:aws:kms:us-east-1:123456789012:key/1"
    for given, actions in (
        ("", ["secretsmanager:GetSecretValue"]),
        (key, ["secretsmanager:GetSecretValue", "kms:Decrypt"]),
    ):
        made = stack(**PUBLIC, OriginSecretKey=given)
        (policy,) = made.resources["ExecutionRole"]["Properties"]["Policies"]
        found = policy["PolicyDocument"]["Statement"]
        assert [each["Action"] for each in found] == actions
        assert [each["Resource"] for each in found] == [SECRET, key][: len(actions)]
    assert "Policies" not in stack().resources["ExecutionRole"]["Properties"]


def test_the_inline_configuration_is_valid_with_the_sites_of_its_example() -> None:
    described = read_template(TEMPLATE)["Parameters"]["Sites"]["Description"]
    example = re.search(r"\[.*\]", described)
    assert example is not None
    made = stack(**PUBLIC, ConfigurationObject="", Sites=example[0])
    done = subprocess.run(
        [*COMMAND, "check", "--offline"],
        cwd=DEPLOY,
        check=False,
        timeout=60,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(DEPLOY.parent),
            **{each["Name"]: "example" for each in container(made)["Secrets"]},
            **variables(made),
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


# ---- how many tasks


def test_tasks_are_added_by_bytes_a_task_by_memory_and_by_cpu() -> None:
    policies = {
        each["PolicyName"]: each["TargetTrackingScalingPolicyConfiguration"]
        for each in stack().of_type("ApplicationAutoScaling::ScalingPolicy").values()
    }
    assert policies.keys() == {"bytes-per-task", "cpu", "memory"}
    metrics = policies["bytes-per-task"]["CustomizedMetricSpecification"]["Metrics"]
    asked = {
        each["Id"]: each["MetricStat"]["Metric"]["MetricName"]
        for each in metrics
        if "MetricStat" in each
    }
    assert asked == {"bytes": "ProcessedBytes", "tasks": "HealthyHostCount"}
    (result,) = [each for each in metrics if each["ReturnData"]]
    # 7.2 GB a minute by two tasks are 60 MB a second of each
    values = {"bytes": 7.2e9, "tasks": 2.0}
    assert eval(result["Expression"], {}, values) == 60e6  # noqa: S307  # three names and slashes
    assert policies["memory"]["PredefinedMetricSpecification"] == {
        "PredefinedMetricType": "ECSServiceAverageMemoryUtilization"
    }


# ---- alarms

DIMENSIONS: dict[str, dict[str, set[str]]] = {
    "AWS/ApplicationELB": {
        "HealthyHostCount": {"LoadBalancer", "TargetGroup"},
        "UnHealthyHostCount": {"LoadBalancer", "TargetGroup"},
        "HTTPCode_ELB_5XX_Count": {"LoadBalancer"},
        "HTTPCode_Target_4XX_Count": {"LoadBalancer"},
        "HTTPCode_Target_5XX_Count": {"LoadBalancer"},
        "ProcessedBytes": {"LoadBalancer"},
        "RequestCount": {"LoadBalancer"},
        "TargetResponseTime": {"LoadBalancer"},
    },
    "AWS/ECS": {
        "CPUUtilization": {"ClusterName", "ServiceName"},
        "MemoryUtilization": {"ClusterName", "ServiceName"},
    },
    "AWS/CloudFront": {
        "5xxErrorRate": {"DistributionId", "Region"},
        "Requests": {"DistributionId", "Region"},
    },
    "nearbucket/downloads": {name: set() for name in VALUES["metrics"]},
}
"""The metrics that there are, with the dimensions under which AWS publishes them."""


def test_every_alarm_is_about_a_metric_that_there_is() -> None:
    alarms = stack(**PUBLIC, **REDIRECT).of_type("CloudWatch::Alarm")
    assert len(alarms) == len(VALUES["alarms"]) + 4
    for alarm in alarms.values():
        for metric in asked_by(alarm):
            dimensions = {each["Name"] for each in metric.get("Dimensions", ())}
            assert dimensions == DIMENSIONS[metric["Namespace"]][metric["MetricName"]]


def test_a_fixed_number_of_tasks_is_no_alarm() -> None:
    assert "AlarmAllTasksUsed" in stack(Tasks="2", MostTasks="10").resources
    assert "AlarmAllTasksUsed" not in stack(Tasks="2", MostTasks="2").resources


def test_an_alarm_on_a_share_has_a_least_number() -> None:
    """One failing request of a quiet night is a large share."""
    alarms = stack(**PUBLIC, **REDIRECT).of_type("CloudWatch::Alarm")
    asked = {name: {each["MetricName"] for each in asked_by(alarms[name])} for name in alarms}
    of_5xx = {"HTTPCode_Target_5XX_Count", "5xxErrorRate"}
    shares = [name for name, metrics in asked.items() if metrics & of_5xx]
    assert sorted(shares) == ["AlarmCached5xx", "AlarmDistribution5xx", "AlarmTarget5xx"]
    least = VALUES["values"]["alarms"]["least_5xx"]
    for name in shares:
        (expression,) = [
            each["Expression"] for each in alarms[name]["Metrics"] if "Expression" in each
        ]
        assert re.match(rf"IF\(.* >= {least}, .*, 0\)$", expression)
    module = (DEPLOY / "terraform/alarms.tf").read_text("utf-8")
    assert len(re.findall(r"IF\(.* >= \${local.limits.least_5xx}, .*, 0\)", module)) == 2


def asked_by(alarm: dict[str, Any]) -> list[dict[str, Any]]:
    """The metrics of an alarm."""
    if "MetricName" in alarm:
        return [alarm]
    return [each["MetricStat"]["Metric"] for each in alarm["Metrics"] if "MetricStat" in each]


def test_every_panel_shows_metrics_that_there_are() -> None:
    of = {
        "tasks": "AWS/ApplicationELB",
        "balancer": "AWS/ApplicationELB",
        "service": "AWS/ECS",
        "log": "nearbucket/downloads",
    }
    for panel in VALUES["panels"]:
        for kind, metric, *_ in panel["lines"]:
            assert metric in DIMENSIONS[of[kind]]


def test_metrics_of_the_log_are_made_under_the_name_that_alarms_ask_for() -> None:
    filters = stack().of_type("Logs::MetricFilter")
    made = [each["MetricTransformations"][0] for each in filters.values()]
    assert {each["MetricName"] for each in made} == VALUES["metrics"].keys()
    assert {each["MetricNamespace"] for each in made} == {"nearbucket/downloads"}


def test_every_alarm_names_the_section_that_says_what_to_do() -> None:
    page = (DEPLOY.parent / "docs/operations.md").read_text("utf-8")
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}
    module = (DEPLOY / "terraform/alarms.tf").read_text("utf-8")
    alarms = stack(**REDIRECT).of_type("CloudWatch::Alarm").values()
    for text in (
        *(alarm["AlarmDescription"] for alarm in alarms),
        *re.findall(r'alarm_description += "(.*)"', module),
    ):
        named = re.search(r" See docs/operations\.md#([\w-]+)$", text.strip())
        assert named is not None, text
        assert named[1] in anchors


def test_the_alarm_on_an_old_list_lasts_from_one_line_of_the_log_to_the_next() -> None:
    alarm = VALUES["alarms"]["ranges-old"]
    assert 60 * alarm["minutes"] > feed._REMINDED_AFTER + feed._LAST_RETRY


@pytest.mark.parametrize("name", ["Errors", "TargetDown", "ConfigurationRefused", "RangesOld"])
def test_one_line_is_enough_for_an_alarm_on_what_is_logged_once(name: str) -> None:
    (alarm,) = [each for each in VALUES["alarms"].values() if each["metric"] == name]
    assert (alarm["compare"], alarm["threshold"]) == ("GreaterThanOrEqualToThreshold", 1)


def test_alarms_reach_those_who_are_told() -> None:
    topic = "arn:aws:sns:us-east-1:123456789012:on-call"
    for alarm in stack(AlarmActions=topic).of_type("CloudWatch::Alarm").values():
        assert alarm["AlarmActions"] == alarm["OKActions"] == [topic]


def test_alarms_on_a_distribution_are_only_where_its_metrics_are() -> None:
    assert "AlarmDistribution5xx" in stack().resources
    assert "AlarmDistribution5xx" not in stack("eu-west-1").resources


# ---- buckets


def test_a_bucket_is_versioned_and_private_unless_it_is_for_all() -> None:
    for clients, public in (("none", False), ("endpoints", False), ("all", True)):
        made = Stack(BUCKET, BucketName="downloads", Clients=clients, VpcEndpoints="vpce-1")
        bucket = made.resources["Bucket"]["Properties"]
        assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
        block = bucket["PublicAccessBlockConfiguration"]
        assert block["RestrictPublicBuckets"] == block["BlockPublicPolicy"] == (not public)
        policy = {each["Sid"]: each for each in of_bucket(made)}
        assert ("Clients" in policy) == (clients != "none")
        if clients == "endpoints":
            condition = policy["Clients"]["Condition"]
            assert condition == {"StringEquals": {"aws:SourceVpce": ["vpce-1"]}}


def of_bucket(made: Stack) -> list[dict[str, Any]]:
    """The statements of the bucket's policy."""
    return list(made.resources["Policy"]["Properties"]["PolicyDocument"]["Statement"])


def test_cloudfront_reads_the_origin_only_for_the_named_distributions() -> None:
    arn = "arn:aws:cloudfront::123456789012:distribution/E1"
    made = Stack(BUCKET, BucketName="downloads", DistributionArns=arn)
    *_, found = of_bucket(made)
    assert found["Principal"] == {"Service": "cloudfront.amazonaws.com"}
    assert found["Condition"] == {"StringEquals": {"aws:SourceArn": [arn]}}
    assert "s3:ListBucket" in found["Action"]  # else a missing object is a 403


def test_targets_without_the_first_one_are_refused() -> None:
    assert Stack(BUCKET, BucketName="downloads", Target2="europe").refused()
    assert not Stack(BUCKET, BucketName="downloads", Target1="west", Target2="europe").refused()


def test_an_origin_replicates_to_each_target_with_a_role_of_its_own() -> None:
    made = Stack(BUCKET, BucketName="downloads", Target1="west", Target2="europe")
    found = made.resources["Bucket"]["Properties"]["ReplicationConfiguration"]
    assert found["Role"] == "<ReplicationRole.Arn>"
    assert [each["Destination"]["Bucket"] for each in found["Rules"]] == [
        "arn:aws:s3:::west",
        "arn:aws:s3:::europe",
    ]
    assert len({each["Priority"] for each in found["Rules"]}) == 2
    (policy,) = made.resources["ReplicationRole"]["Properties"]["Policies"]
    *_, write = policy["PolicyDocument"]["Statement"]
    assert write["Resource"] == ["arn:aws:s3:::west/*", "arn:aws:s3:::europe/*"]
    alone = Stack(BUCKET, BucketName="west")
    assert "ReplicationRole" not in alone.resources
    assert "ReplicationConfiguration" not in alone.resources["Bucket"]["Properties"]
