"""Terraform, moto, cfn-lint and checkov, for tests."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import botocore.session
import pytest

from tests.e2e.running import free_port
from tests.skips import NO_DEPLOY_TOOLS, NO_TERRAFORM
from tests.stacks import CERTIFICATE, DEPLOY

if TYPE_CHECKING:
    from collections.abc import Iterator

_TOOLS = Path(sys.prefix) / "deploy" / "bin"
_SERVICES = (
    "acm", "applicationautoscaling", "cloudfront", "cloudwatch", "cloudwatchlogs", "ec2", "ecs",
    "elbv2", "iam", "s3", "secretsmanager", "sts",
)  # fmt: skip
_REGIONS = {"": "us-east-1", "us_west_2": "us-west-2", "eu_west_1": "eu-west-1"}
_START = 60.0


def tool(name: str) -> str:
    """Path of moto_server, cfn-lint or checkov."""
    path = _TOOLS / name
    if not path.exists():
        pytest.skip(NO_DEPLOY_TOOLS)
    return str(path)


def plugins() -> Path:
    """Folder with Terraform's AWS provider."""
    found = next(Path("/opt").glob("*/*/hashicorp/aws/*/*/terraform-provider-aws*"), None)
    if found is None or shutil.which("terraform") is None:
        pytest.skip(NO_TERRAFORM)
    return found.parents[5]


class Moto:
    """A server that answers as AWS does, as far as it goes, with what the module is given.

    Attributes:
        url: Its address.
        inputs: Variables of the example.
        secret: ARN of a secret, and id of its version.
        certificate: ARN of a certificate in us-east-1.
    """

    def __init__(self, url: str) -> None:
        """Create a secret and a certificate, and look up the default VPC."""
        self.url = url
        secret = self.client("secretsmanager").create_secret(
            Name="origin", SecretString=json.dumps({"current": "first", "previous": "first"})
        )
        self.secret = {"arn": secret["ARN"], "version_id": secret["VersionId"]}
        self.certificate: str = self.client("acm").request_certificate(
            DomainName="origin.example.com"
        )["CertificateArn"]
        ec2 = self.client("ec2")
        self.inputs = {
            "image": "registry.example.com/nearbucket:1.0.0",
            "buckets": "acme",
            "certificates": {"com": CERTIFICATE, "io": CERTIFICATE},
            "alarm_topic": "arn:aws:sns:us-east-1:123456789012:on-call",
            "network": {
                "vpc_id": ec2.describe_vpcs()["Vpcs"][0]["VpcId"],
                "subnet_ids": [each["SubnetId"] for each in ec2.describe_subnets()["Subnets"][:2]],
                "route_table_ids": [ec2.describe_route_tables()["RouteTables"][0]["RouteTableId"]],
            },
        }

    def client(self, service: str) -> Any:
        """A client of an AWS service."""
        return botocore.session.get_session().create_client(
            service,
            region_name="us-east-1",
            endpoint_url=self.url,
            aws_access_key_id="x",
            aws_secret_access_key="x",
        )


def moto() -> Iterator[Moto]:
    """A running server; for a fixture."""
    port = free_port()
    server = subprocess.Popen(
        [tool("moto_server"), "-H", "127.0.0.1", "-p", str(port)],
        env={**os.environ, "MOTO_IAM_LOAD_MANAGED_POLICIES": "true"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(url)
        yield Moto(url)
    finally:
        server.kill()
        server.wait()


def _wait_for(url: str) -> None:
    end = time.monotonic() + _START
    while True:
        try:
            with urlopen(f"{url}/moto-api/", timeout=5):  # noqa: S310  # http
                return
        except OSError:
            assert time.monotonic() < end, "moto does not start"
            time.sleep(0.1)


class Terraform:
    """The example in a folder of its own, with providers that ask moto."""

    def __init__(self, folder: Path, server: Moto, arguments: dict[str, Any] | None = None) -> None:
        """Copy the module and initialize the example.

        Args:
            folder: An empty folder.
            server: Whom the providers ask.
            arguments: Arguments of the module ``nearbucket`` instead of the example's.
        """
        shutil.copytree(DEPLOY / "terraform", folder, dirs_exist_ok=True)
        self._module = folder
        self._root = folder / "examples" / "com-and-io"
        self._environ = {**os.environ, "TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1"}
        empty = folder / "terraform.rc"
        empty.touch()
        self._environ["TF_CLI_CONFIG_FILE"] = str(empty)
        self._write("providers_override.tf.json", {"provider": {"aws": _providers(server.url)}})
        self._write("terraform.tfvars.json", server.inputs)
        if arguments:
            self._write("main_override.tf.json", {"module": {"nearbucket": arguments}})
        self._run("init", f"-plugin-dir={plugins()}")

    def override(self, text: str) -> None:
        """Replace arguments of the module's own blocks, such as what moto does not have."""
        (self._module / "moto_override.tf").write_text(text, "utf-8")

    def validate(self) -> str:
        """The answer of ``terraform validate``."""
        return self._run("validate")

    def plan(self) -> dict[str, dict[str, Any]]:
        """What would be created: arguments by address. What is not yet known is left out."""
        self._run("plan", "-out=plan.bin", "-lock=false")
        shown = json.loads(self._run("show", "-json", "plan.bin"))
        return {
            each["address"]: each["change"]["after"]
            for each in shown["resource_changes"]
            if each["mode"] == "managed"
        }

    def refusals(self) -> str:
        """Why ``terraform plan`` refuses the arguments, on one line."""
        done = self._call("plan", "-lock=false")
        assert done.returncode == 1, done.stdout
        return " ".join(done.stderr.replace("│", " ").split())

    def apply(self) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
        """Create as much of the plan as the server can.

        Returns:
            What was created, by address, with all its attributes; and what failed, with the error.
        """
        done = self._call("apply", "-json", "-parallelism=20", "plan.bin")
        said = [json.loads(line) for line in done.stdout.splitlines()]
        failed = {
            each["diagnostic"].get("address", ""): each["diagnostic"]["summary"]
            for each in said
            if each["type"] == "diagnostic" and each["diagnostic"]["severity"] == "error"
        }
        state = json.loads(self._run("show", "-json"))["values"]
        return {
            each["address"]: each["values"]
            for each in _resources(state["root_module"])
            if each["mode"] == "managed" and not each.get("tainted")
        }, failed

    def _write(self, name: str, value: Any) -> None:
        (self._root / name).write_text(json.dumps(value), "utf-8")

    def _run(self, *words: str) -> str:
        done = self._call(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _call(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["terraform", *words, *(["-no-color"] if "-json" not in words else [])],
            cwd=self._root,
            env=self._environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )


def _providers(url: str) -> list[dict[str, Any]]:
    """All of the example's, without retries: what moto does not have fails at once."""
    return [
        {
            **({"alias": alias} if alias else {}),
            "region": region,
            "access_key": "x",
            "secret_key": "x",
            "max_retries": 1,
            "skip_credentials_validation": True,
            "skip_metadata_api_check": True,
            "skip_requesting_account_id": True,
            "s3_use_path_style": True,
            "endpoints": [dict.fromkeys(_SERVICES, url)],
        }
        for alias, region in _REGIONS.items()
    ]


def _resources(module: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from module.get("resources", ())
    for child in module.get("child_modules", ()):
        yield from _resources(child)
