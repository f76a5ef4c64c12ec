"""The commands and tables of ``deploy/README.md`` are those that there are."""

from __future__ import annotations

import json
import re
import shlex
import subprocess

import botocore.session
import pytest
import yaml

from tests.cloudformation import read_template
from tests.stacks import BUCKET, DEPLOY, TEMPLATE, VALUES

README = (DEPLOY / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^ *```sh\n(.*?)^ *```$", README, re.DOTALL | re.MULTILINE)
LINES = [
    line.strip()
    for block in BLOCKS
    for line in block.replace("\\\n", " ").splitlines()
    if line.strip()
]
AWS = [inner for line in LINES for inner in re.findall(r"\baws (?:[^()|]|\([^)]*\))+", line)]
OF_THE_CLI = {"region", "query", "output"}
"""Options that every command of the AWS CLI has."""
DEPLOY_OPTIONS = {
    "stack-name", "template-file", "s3-bucket", "capabilities", "parameter-overrides",
}  # fmt: skip
"""Options of ``aws cloudformation deploy``, which is the CLI's own."""


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_is_valid_shell(block: str) -> None:
    done = subprocess.run(["bash", "-n"], input=block, text=True, check=False, timeout=10)
    assert done.returncode == 0


def _option(member: str) -> str:
    """An input of an operation as an option: SecretId is secret-id."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", member).lower()


@pytest.mark.parametrize("line", AWS)
def test_a_command_of_aws_has_only_options_that_there_are(line: str) -> None:
    _, service, command, *rest = shlex.split(line)
    options = {word[2:] for word in rest if word.startswith("--")} - OF_THE_CLI
    if (service, command) == ("cloudformation", "deploy"):
        assert options <= DEPLOY_OPTIONS
    elif service == "s3":
        assert command == "cp"
    elif (service, command) == ("ecr", "get-login-password"):
        assert not options  # the CLI's own
    else:
        model = botocore.session.get_session().get_service_model(service)
        name = "".join(word.title() for word in command.split("-"))
        assert options <= {
            _option(each) for each in model.operation_model(name).input_shape.members
        }


@pytest.mark.parametrize("line", [each for each in AWS if "cloudformation deploy" in each])
def test_a_deployment_gives_a_template_only_parameters_that_it_has(line: str) -> None:
    words = shlex.split(line)
    path = DEPLOY.parent / words[words.index("--template-file") + 1]
    given = words[words.index("--parameter-overrides") + 1 :]
    if given == ["file://parameters.json"]:
        given = _parameters()
    declared = read_template(path)["Parameters"]
    assert {each.partition("=")[0] for each in given} <= declared.keys()


def _parameters() -> list[str]:
    (block,) = re.findall(r"^```json\n(\[.*?)^```$", README, re.DOTALL | re.MULTILINE)
    return list(json.loads(block))


def test_the_parameters_of_a_first_deployment_are_complete() -> None:
    given = {each.partition("=")[0] for each in _parameters()}
    declared = read_template(TEMPLATE)["Parameters"]
    assert {name for name, each in declared.items() if "Default" not in each} <= given


def test_the_variables_of_the_example_are_complete() -> None:
    block = next(
        each
        for each in re.findall(r"^```json\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
        if '"certificates"' in each
    )
    example = (DEPLOY / "terraform/examples/com-and-io/main.tf").read_text("utf-8")
    assert json.loads(block).keys() == set(re.findall(r'^variable "(\w+)"', example, re.MULTILINE))


@pytest.mark.parametrize("names", [("check_command", "CheckCommand"), ("cluster", "ClusterName")])
def test_the_outputs_that_the_steps_name_exist(names: tuple[str, str]) -> None:
    ours, other = names
    assert f"`{ours}`" in README
    assert f"`{other}`" in README


def test_every_output_that_is_named_exists() -> None:
    module = (DEPLOY / "terraform/outputs.tf").read_text("utf-8")
    outputs = set(re.findall(r'^output "(\w+)"', module, re.MULTILINE))
    assert {
        "check_command", "cluster", "service", "task_family", "target_group_arn", "log_group",
        "distributions", "configuration",
    } <= outputs  # fmt: skip
    templates = [read_template(path) for path in (TEMPLATE, BUCKET)]
    made = {name for template in templates for name in template["Outputs"]}
    named = {
        "CheckCommand", "ClusterName", "ServiceName", "TaskFamily", "TargetGroupArn", "LogGroup",
        "DistributionName", "DistributionArn", "CachedDistributionName", "CachedDistributionArn",
        "LoadBalancerName", "LoadBalancerZoneId",
    }  # fmt: skip
    assert named <= made & set(re.findall(r"`(\w+)`", README))


@pytest.mark.parametrize("size", VALUES["sizes"])
def test_the_table_of_sizes_is_that_of_the_values(size: str) -> None:
    values = VALUES["sizes"][size]
    cpus, memory = values["workers"], values["memory"] // 1024
    speed = values["bytes_per_second"] // 10**6
    row = f"| `{size}` | {cpus} | {memory} GiB | {cpus} | {speed} MB/s |"
    assert row in README


def test_the_examples_configuration_is_in_shadow_mode_and_for_both_hosts() -> None:
    text = (DEPLOY / "terraform/examples/com-and-io/nearbucket.yaml").read_text("utf-8")
    (site,) = yaml.safe_load(re.sub(r"\$\{\w+\}", "bucket", text))["sites"]
    assert site["redirect"]["mode"] == "shadow"
    assert site["hosts"] == ["downloads.example.com", "downloads.example.io"]
