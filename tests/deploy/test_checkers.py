"""What cfn-lint and checkov say about the files in ``deploy/``."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.deploy.terraform import tool
from tests.stacks import BUCKET, DEPLOY, TEMPLATE

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.deploy


@pytest.mark.parametrize("template", [TEMPLATE, BUCKET], ids=lambda path: path.stem)
def test_cfn_lint_finds_nothing(template: Path) -> None:
    done = subprocess.run(
        [tool("cfn-lint"), str(template)], check=False, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("folder", ["terraform", "cloudformation"])
def test_each_finding_of_checkov_is_mended_or_has_a_reason(folder: str) -> None:
    done = subprocess.run(
        [tool("checkov"), "-d", folder, "--framework", folder, "-o", "json", "--skip-download"],
        cwd=DEPLOY,
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    results: dict[str, Any] = json.loads(done.stdout)["results"]
    failed = [f"{each['check_id']} {each['resource']}" for each in results["failed_checks"]]
    assert not failed
    skipped = results["skipped_checks"]
    assert all(len(each["check_result"]["suppress_comment"]) > 10 for each in skipped)
    texts = (path.read_text("utf-8") for path in (DEPLOY / folder).rglob("*.*"))
    stated = {each for text in texts for each in re.findall(r"(?:skip=|id: )(CKV2?_AWS_\d+)", text)}
    assert stated == {each["check_id"] for each in skipped}, "a reason for what nothing finds"


@pytest.mark.parametrize("version", ["1.30", "1.32"])
def test_kubernetes_accepts_every_manifest(version: str) -> None:
    """That of the Prometheus operator is not looked at: its kind is not one of Kubernetes' own."""
    other = {"kustomization.yaml", "nearbucket.yaml", "servicemonitor.yaml"}
    files = [path for path in (DEPLOY / "kubernetes").glob("*.yaml") if path.name not in other]
    command = [tool("kubernetes-validate"), "--strict", "-k", version, *map(str, files)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
