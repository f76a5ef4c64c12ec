"""``compile cloudfront``: its files, what it refuses, and that AWS knows each command it names."""

from __future__ import annotations

import json
import re
import subprocess
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from botocore.session import get_session
from botocore.validate import validate_parameters

from nearbucket.analysis.reading.formats import TO_HTTPS
from nearbucket.edge_function.store_update import read_import_document
from nearbucket.edge_function.unkept_rules import UNSAFE, UnkeptName
from nearbucket.regions.ip_ranges import read_ranges
from tests.build import BLIND
from tests.cli.conftest import EAST_URL, SITE, write
from tests.edge_function.node_runs import node
from tests.ranges_lists import MADE, document, row

if TYPE_CHECKING:
    from pathlib import Path

    from botocore.model import ServiceModel

    from tests.cli.conftest import Outcome, Run

ACCEPTED = [option for name in ("verify", "watch", "came_back") for option in ("--without", name)]
ARN = "arn:aws:cloudfront::111122223333:key-value-store/4f0b7c2e-0000-4000-8000-000000000000"


class Compile:
    """Runs the command with a configuration and a list."""

    def __init__(self, nearbucket: Run, folder: Path, listed: str) -> None:
        self._nearbucket, self.folder, self.listed = nearbucket, folder, listed
        self.output = folder / "edge"

    def __call__(self, *options: str, **site: Any) -> Outcome:
        config = write(self.folder / "c.yaml", sites=[{**SITE, **site}])
        listed = () if "--ranges" in options else ("--ranges", self.listed)
        given = ("--config", config, "--output", str(self.output), *listed, *options)
        return self._nearbucket("compile", "cloudfront", *given)

    def file(self, name: str) -> str:
        return (self.output / name).read_text("utf-8")

    def names(self) -> list[str]:
        return sorted(each.name for each in self.output.iterdir())


@pytest.fixture(name="compiled")
def _compiled(nearbucket: Run, tmp_path: Path, listed: str) -> Compile:
    return Compile(nearbucket, tmp_path, listed)


@cache
def model_of(service: str) -> ServiceModel:
    """What AWS's SDK knows of a service."""
    return get_session().get_service_model(service)


def test_it_writes_a_function_a_store_an_event_and_the_commands(compiled: Compile) -> None:
    done = compiled(*ACCEPTED)
    assert (done.code, done.err) == (0, "")
    assert compiled.names() == ["README.txt", "event.json", "function.js", "store.json"]
    assert read_import_document(compiled.file("store.json"))["4c000"] == "us-east-1 02"
    facts = [line.split("\t") for line in done.out.splitlines()]
    assert ["function_bytes", str(len(compiled.file("function.js")))] in facts
    assert ["store_pairs", "4"] in facts
    assert ["list", "2026-01-01"] in facts
    assert ["file", str(compiled.output / "store.json")] in facts


def location_of_event(compiled: Compile) -> str:
    """Where the function redirects the request of event.json to."""
    event = json.loads(compiled.file("event.json"))
    request = event["request"]
    asked = [request["method"], request["uri"], {"host": "x"}]
    store = read_import_document(compiled.file("store.json"))
    run = {"source": compiled.file("function.js"), "store": 0, "requests": [asked]}
    run["viewers"] = [[event["viewer"]["ip"], 0]]
    given = json.dumps({"stores": [store], "runs": [run]})
    options = "--experimental-vm-modules", "--no-warnings"
    ((answer,),) = (each["answers"] for each in json.loads(node("runtime.mjs", given, *options)))
    location: str = answer["headers"]["location"]["value"]
    return location


def test_the_event_is_redirected_as_the_readme_says(compiled: Compile) -> None:
    compiled(*ACCEPTED)
    assert json.loads(compiled.file("event.json"))["viewer"]["ip"] == "192.0.2.0"
    location = location_of_event(compiled)
    assert location == f"{EAST_URL}/x.tar.xzx"
    assert location in compiled.file("README.txt")


@pytest.mark.parametrize(
    "redirect",
    [{"percent": 1}, {"percent": 1, "paths": ["a.tar.gz"]}, {"paths": ["v[0-9]-[!x]?.zip"]}],
    ids=["a share", "a share of one object", "sets of characters"],
)
def test_there_is_an_event_whatever_is_redirected(compiled: Compile, redirect: Any) -> None:
    compiled(*ACCEPTED, redirect=redirect)
    location = location_of_event(compiled)
    assert location.startswith("https://")
    assert location in compiled.file("README.txt")


def test_the_event_is_not_of_an_address_of_cloudfront(compiled: Compile) -> None:
    rows = (
        row("203.0.113.128/26", "GLOBAL", "CLOUDFRONT_ORIGIN_FACING"),
        row("203.0.113.128/28", "us-east-1"),  # inside, as in AWS's list
        row("192.0.2.0/24", "us-east-1"),
    )
    path = compiled.folder / "nested.json"
    path.write_bytes(document(*rows))
    compiled(*ACCEPTED, "--ranges", str(path))
    assert json.loads(compiled.file("event.json"))["viewer"]["ip"] == "192.0.2.0"
    assert read_import_document(compiled.file("store.json")) == {"4c000": "us-east-1 02"}


def test_without_anything_to_redirect_there_is_no_event(compiled: Compile) -> None:
    compiled(redirect=BLIND)
    assert "event.json" in compiled.names()
    compiled(redirect={**BLIND, "mode": "off"})
    assert "event.json" not in compiled.names()
    assert "There is no event.json" in compiled.file("README.txt")


@pytest.mark.parametrize("rule", UNSAFE, ids=lambda rule: rule.name)
def test_what_is_unsafe_is_refused_unless_told(compiled: Compile, rule: Any) -> None:
    site = {"redirect": {**BLIND, "min_size": "1MiB" if rule.name == "min_size" else 0}}
    if rule.name in BLIND:
        del site["redirect"][rule.name]
    done = compiled(**site)
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        f"nearbucket: {compiled.folder / 'c.yaml'}: sites.*.redirect.{rule.name}: a function "
        f"cannot keep this rule: {rule.risk}; to accept that, give --without {rule.name}, or set "
        f"{rule.switched_off}\n"
    )
    assert not compiled.output.exists()
    told = compiled("--without", rule.name, **site)
    assert told.code == 0
    assert f"redirect.{rule.name} is not kept: {rule.risk}" in told.out


def test_the_help_names_each_risk(nearbucket: Run) -> None:
    shown = " ".join(
        re.sub(r"[│\n]", " ", nearbucket("compile", "cloudfront", "--help").out).split()
    )
    assert list(UnkeptName) == [rule.name for rule in UNSAFE]
    for rule in UNSAFE:
        assert f"{rule.name}: {rule.risk}" in shown


@pytest.mark.parametrize(
    ("site", "message"),
    [
        ({"redirect": {**BLIND, "presign": "15m"}}, "redirect.presign: a function cannot sign"),
        ({"redirect": BLIND, "opt_out": {"header": "X-Real-IP"}},
         "opt_out.header: CloudFront does not show x-real-ip to functions"),
        ({"redirect": BLIND, "opt_out": {"header": "x-edge-no"}}, "does not show x-edge-no"),
    ],
)  # fmt: skip
def test_what_no_function_can_do_is_refused_whatever_is_told(
    compiled: Compile, site: Any, message: str
) -> None:
    done = compiled(*ACCEPTED, **site)
    assert done.code == 2
    assert message in done.err
    assert not compiled.output.exists()


def test_an_unknown_rule_is_refused(compiled: Compile) -> None:
    assert compiled("--without", "everything").code == 2


@pytest.mark.parametrize(
    ("site", "note"),
    [
        ({}, "Nothing is counted"),
        ({"redirect": {**BLIND, "mode": "shadow"}}, "mode: shadow is the same as off"),
        ({"failover": [{"bucket": "more", "region": "us-east-1"}]}, "failover is not used"),
        (
            {"bypass": {"mode": "redirect", "to": "https://cdn.example.com"}},
            "bypass.to is not used",
        ),
        ({"index": "index.html"}, "index decides only what is redirected"),
    ],
)
def test_what_is_left_out_is_named(compiled: Compile, site: Any, note: str) -> None:
    done = compiled(*ACCEPTED, **site)
    assert note in done.out
    assert note in " ".join(compiled.file("README.txt").split())


def test_a_target_in_a_region_without_addresses_is_named_and_needs_attention(
    compiled: Compile,
) -> None:
    targets = {"us-west-2": {"bucket": "west-downloads"}, "ap-south-2": {"bucket": "far-downloads"}}
    done = compiled(*ACCEPTED, targets=targets)
    assert done.code == 1
    assert "targets.ap-south-2: the list of " in done.err
    assert "us-west-2" not in done.err


def test_json_has_the_same_facts(compiled: Compile) -> None:
    found = json.loads(compiled(*ACCEPTED, "--json").out)
    assert found["store_pairs"] == 4
    assert found["files"] == compiled.names()
    assert any(text.startswith("redirect.verify is not kept") for text in found["left_out"])
    # CloudFront's own redirects are logged with 301, too
    assert any(f"x-edge-result-type {TO_HTTPS}" in text for text in found["left_out"])


def test_a_new_list_is_sent_as_updates_of_at_most_50_keys(compiled: Compile) -> None:
    compiled(*ACCEPTED)
    store = read_import_document(compiled.file("store.json"))
    again = ("--previous", str(compiled.output / "store.json"))
    found = json.loads(compiled(*ACCEPTED, *again, "--ranges", str(MADE.path), "--json").out)
    names = [name for name in compiled.names() if name.startswith("update-")]
    assert names == [f"update-{number:03}.json" for number in range(1, found["updates"] + 1)]
    model = model_of("cloudfront-keyvaluestore")
    shape = model.operation_model("UpdateKeys").input_shape
    for name in names:
        body = json.loads(compiled.file(name))
        assert sum(map(len, body.values())) <= 50
        validate_parameters({"KvsARN": ARN, "IfMatch": "E1", **body}, shape)
        store |= {each["Key"]: each["Value"] for each in body.get("Puts", ())}
        store = {k: v for k, v in store.items() if {"Key": k} not in body.get("Deletes", ())}
    assert store == read_import_document(compiled.file("store.json"))
    assert read_ranges(MADE.document).date == found["list"]
    nothing = json.loads(compiled(*ACCEPTED, *again, "--ranges", str(MADE.path), "--json").out)
    assert (nothing["updates"], nothing["puts"], nothing["deletes"]) == (0, 0, 0)
    assert not [name for name in compiled.names() if name.startswith("update-")]


def sent(compiled: Compile) -> list[str]:
    """The files that the loop of README.txt sends, in its order, to an ``aws`` that takes all."""
    (loop,) = re.findall(
        r"^  for file in (?:.*\n)*?  done$", compiled.file("README.txt"), re.MULTILINE
    )
    aws = 'aws() { case "$2" in update-keys) echo "${*##*file://}";; esac; }'
    done = subprocess.run(
        ["bash", "-c", f"{aws}\n{loop}"],
        cwd=compiled.output, check=True, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    return [line.split()[-1] for line in done.stdout.splitlines()]


def test_the_readme_sends_updates_in_their_order_however_many(
    compiled: Compile, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled(*ACCEPTED)
    again = ("--previous", str(compiled.output / "store.json"), "--json")
    assert json.loads(compiled(*ACCEPTED, *again).out)["updates"] == 0
    assert sent(compiled) == []
    monkeypatch.setenv("NEARBUCKET_REGIONS__OVERRIDES", '{"3fff::/22": us-east-1}')
    monkeypatch.setattr("nearbucket.edge_function.store_update.MOST_KEYS", 1)
    found = json.loads(compiled(*ACCEPTED, *again).out)
    assert found["updates"] > 1000
    assert sent(compiled) == [
        f"update-{number:04}.json" for number in range(1, found["updates"] + 1)
    ]


def test_a_run_that_fails_does_not_lose_updates(compiled: Compile) -> None:
    compiled(*ACCEPTED)
    store, event = compiled.file("store.json"), compiled.output / "event.json"
    event.unlink()
    event.mkdir()
    again = (
        "--previous",
        str(compiled.output / "store.json"),
        "--ranges",
        str(MADE.path),
        "--json",
    )
    failed = compiled(*ACCEPTED, *again)
    assert failed.code == 2
    assert "event.json" in failed.err
    assert compiled.file("store.json") == store
    assert not [name for name in compiled.names() if name.startswith(".")]
    event.rmdir()
    assert json.loads(compiled(*ACCEPTED, *again).out)["updates"] > 0


@pytest.mark.parametrize("content", [None, "{}"])
def test_a_previous_store_that_is_none_is_refused(compiled: Compile, content: str | None) -> None:
    path = compiled.folder / "old.json"
    if content is not None:
        path.write_text(content, "utf-8")
    done = compiled(*ACCEPTED, "--previous", str(path))
    assert done.code == 2
    assert f"--previous {path}: " in done.err


def test_a_folder_that_cannot_be_written_is_named(compiled: Compile) -> None:
    compiled.output.write_text("a file", "utf-8")
    done = compiled(*ACCEPTED)
    assert done.code == 2
    assert done.err.endswith(f"--output {compiled.output}: File exists\n")


def commands(text: str) -> list[str]:
    joined = text.replace("\\\n", " ")
    return re.findall(r"aws ((?:cloudfront|cloudfront-keyvaluestore) [^|)\n]*)", joined)


def test_aws_has_each_command_and_option_of_the_readme(compiled: Compile) -> None:
    compiled(*ACCEPTED)
    named = set()
    for command in commands(compiled.file("README.txt")):
        service, operation, *_ = command.split()
        model = model_of(service)
        name = "".join(word.capitalize() for word in operation.split("-"))
        members = {member.lower() for member in model.operation_model(name).input_shape.members}
        known = members | {"query", "output", "cliinputjson"}
        given = {option.replace("-", "") for option in re.findall(r" --([a-z-]+)", command)}
        assert given <= known, command
        required = model.operation_model(name).input_shape.required_members
        assert {each.lower() for each in required} <= given | {"cliinputjson"}, command
        named.add(operation)
    assert {"create-key-value-store", "create-function", "update-function", "test-function",
            "publish-function", "update-distribution", "update-keys"} <= named  # fmt: skip


def test_the_configuration_of_the_readme_is_that_of_a_function(compiled: Compile) -> None:
    compiled(*ACCEPTED)
    assert "Runtime=cloudfront-js-2.0" in compiled.file("README.txt")
    model = model_of("cloudfront")
    config = {
        "Comment": "nearbucket",
        "Runtime": "cloudfront-js-2.0",
        "KeyValueStoreAssociations": {"Quantity": 1, "Items": [{"KeyValueStoreARN": ARN}]},
    }
    validate_parameters(
        {"Name": "nearbucket", "FunctionConfig": config, "FunctionCode": b"x"},
        model.operation_model("CreateFunction").input_shape,
    )
    lines = re.findall(r'CONFIG="(.*)"', compiled.file("README.txt"))
    written = re.findall(r"(\w+)=", "".join(lines))
    assert written == ["Comment", "Runtime", "KeyValueStoreAssociations", "Quantity", "Items",
                       "KeyValueStoreARN"]  # fmt: skip
