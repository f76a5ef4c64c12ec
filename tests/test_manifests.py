"""The manifests for Kubernetes and systemd agree with the product, and kubectl accepts them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from nearbucket.config.file import load
from tests.skips import NO_KUBECTL

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
KUBERNETES = ROOT / "deploy" / "kubernetes"
SYSTEMD = ROOT / "deploy" / "systemd"
SETTINGS = load(KUBERNETES / "nearbucket.yaml", environ={})
UNITS = {path.suffix: path.read_text("utf-8").splitlines() for path in SYSTEMD.glob("nearbucket.*")}


def manifests() -> Iterator[dict[str, Any]]:
    for path in sorted(KUBERNETES.glob("*.yaml")):
        yield from (
            document
            for document in yaml.safe_load_all(path.read_text("utf-8"))
            if "kind" in document
        )


BY_KIND = {document["kind"]: document for document in manifests()}
SERVICES = {
    document["metadata"]["name"]: document["spec"]
    for document in manifests()
    if document["kind"] == "Service"
}
POD: dict[str, Any] = BY_KIND["Deployment"]["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]
PORTS = {port["name"]: port["containerPort"] for port in CONTAINER["ports"]}


def test_ports_are_those_of_the_configuration() -> None:
    assert {"http": SETTINGS.listen.port, "admin": SETTINGS.admin.port} == PORTS
    assert SETTINGS.admin.host == "0.0.0.0"  # probes come from outside the Pod
    assert SERVICES["nearbucket"]["ports"] == [{"name": "http", "port": 80, "targetPort": "http"}]


def test_a_pod_is_killed_after_its_drain_and_the_pause_before() -> None:
    pause = CONTAINER["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pause + SETTINGS.limits.drain_timeout < POD["terminationGracePeriodSeconds"]


def test_the_configuration_is_a_folder_so_that_a_change_reaches_running_pods() -> None:
    mounts = {mount["name"]: mount for mount in CONTAINER["volumeMounts"]}
    assert mounts["config"]["mountPath"] == "/etc/nearbucket"  # the image's working folder
    assert "subPath" not in mounts["config"]
    (generated,) = BY_KIND["Kustomization"]["configMapGenerator"]
    assert generated == {"name": "nearbucket", "files": ["nearbucket.yaml"]}
    assert BY_KIND["Kustomization"]["generatorOptions"]["disableNameSuffixHash"] is True
    assert str(SETTINGS.regions.cache).startswith(mounts["cache"]["mountPath"])


def test_probes_ask_what_the_admin_port_answers() -> None:
    probes = {name: CONTAINER[name]["httpGet"] for name in CONTAINER if name.endswith("Probe")}
    assert probes == {
        "startupProbe": {"path": "/readyz", "port": "admin"},
        "readinessProbe": {"path": "/readyz", "port": "admin"},
        "livenessProbe": {"path": "/healthz", "port": "admin"},
    }


def test_a_pod_may_no_more_than_it_needs() -> None:
    assert CONTAINER["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert POD["securityContext"]["runAsUser"] == 10001  # the image's
    assert not POD["automountServiceAccountToken"]


def test_prometheus_scrapes_each_pod_under_the_name_that_alerts_know() -> None:
    spec = BY_KIND["ServiceMonitor"]["spec"]
    assert spec["endpoints"][0]["port"] in {
        port["name"] for port in SERVICES["nearbucket-admin"]["ports"]
    }
    assert SERVICES["nearbucket-admin"]["clusterIP"] == "None"
    assert spec["jobLabel"] == "app.kubernetes.io/name"
    (label,) = BY_KIND["Kustomization"]["labels"]
    assert label["pairs"] == {spec["jobLabel"]: "nearbucket"}


def test_every_manifest_is_applied_or_named_with_a_reason() -> None:
    text = (KUBERNETES / "kustomization.yaml").read_text("utf-8")
    own = {"kustomization.yaml", "nearbucket.yaml"}
    named = set(re.findall(r"^ +(?:# )?- ([\w.]+)$", text, re.MULTILINE))
    assert named == {path.name for path in KUBERNETES.glob("*.yaml")} - own


def test_kubectl_makes_one_configuration_of_them() -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip(NO_KUBECTL)
    done = subprocess.run(
        [kubectl, "kustomize", str(KUBERNETES)], capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr.decode()
    made = {
        (each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(done.stdout)
    }
    config = made["ConfigMap", "nearbucket"]["data"]["nearbucket.yaml"]
    assert config == (KUBERNETES / "nearbucket.yaml").read_text("utf-8")
    chosen = made["Deployment", "nearbucket"]["spec"]["selector"]["matchLabels"]
    for kind, selector in (("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")):
        assert made[kind, "nearbucket"]["spec"][selector]["matchLabels"] == chosen


def _values(suffix: str, key: str) -> list[str]:
    return [line.partition("=")[2] for line in UNITS[suffix] if line.startswith(f"{key}=")]


def test_systemd_opens_the_default_ports_and_waits_for_the_drain() -> None:
    defaults = load(ROOT / "config" / "compose.yaml", environ={})
    ports = [int(value.rpartition(":")[2]) for value in _values(".socket", "ListenStream")]
    assert ports == [defaults.listen.port, defaults.admin.port]
    (stop,) = _values(".service", "TimeoutStopSec")
    assert int(stop) > type(SETTINGS.limits)().drain_timeout


def test_systemd_leaves_a_worker_that_ran_out_of_memory_to_the_supervisor() -> None:
    assert _values(".service", "OOMPolicy") == ["continue"]
