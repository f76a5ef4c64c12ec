"""``config``: where the file is found, masked secrets, the schema, the example."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.cli.conftest import EXAMPLE, SITE, write

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run


def test_the_configuration_is_found_by_variable_and_in_the_working_folder(
    nearbucket: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write(tmp_path / "nearbucket.yaml", listen={"port": 1111})
    other = write(tmp_path / "other.yaml", listen={"port": 2222})
    assert "port: 1111\n" in nearbucket("config", "show").out
    monkeypatch.setenv("NEARBUCKET_CONFIG", other)
    assert "port: 2222\n" in nearbucket("config", "show").out
    third = write(tmp_path / "third.yaml", listen={"port": 3333})
    assert "port: 3333\n" in nearbucket("config", "show", "--config", third).out


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["yaml", "json"])
def test_config_show_masks_every_secret(
    nearbucket: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, form: list[str]
) -> None:
    (tmp_path / "secret").write_text("from-a-file\n", encoding="utf-8")
    monkeypatch.setenv("ORIGIN_VERIFY", "from-the-environment")
    secret = {"values": ["env:ORIGIN_VERIFY", f"file:{tmp_path / 'secret'}"]}
    path = write(tmp_path / "s.yaml", client_address={"from": "x-real-ip", "origin_secret": secret})
    code, out, err = nearbucket("config", "show", *form, "--config", path)
    assert (code, err) == (0, "")
    assert "from-a-file" not in out
    assert "from-the-environment" not in out
    shown = json.loads(out) if form else yaml.safe_load(out)
    assert shown["client_address"]["origin_secret"] == {
        "header": "x-origin-verify",
        "values": ["********", "********"],
    }


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("https://user:s3cr3t@lists.example/a.json", "https://********@lists.example/a.json"),
        ("https://s3cr3t@lists.example/", "https://********@lists.example/"),
        ("https://u:s3c@r3t@lists.example/?t=s3cr3t", "https://********@lists.example/?********"),
        ("https://lists.example/a.json?sig=s3cr3t", "https://lists.example/a.json?********"),
        ("https://lists.example/a.json", "https://lists.example/a.json"),
        ("https://lists.example/pkg@1.2/a.json", "https://lists.example/pkg@1.2/a.json"),
        ("https://lists.example:8443/pkg@1/a", "https://lists.example:8443/pkg@1/a"),
        ("https://u:s3/cr3t@lists.example/a", "https://********@lists.example/a"),
        ("/var/lists/a@b?.json", "/var/lists/a@b?.json"),
    ],
)
def test_config_show_masks_what_is_secret_in_the_url_of_the_list(
    nearbucket: Run, config: str, monkeypatch: pytest.MonkeyPatch, source: str, shown: str
) -> None:
    monkeypatch.setenv("NEARBUCKET_REGIONS__SOURCE", source)
    said = json.loads(nearbucket("config", "show", "--config", config, "--json").out)
    assert said["regions"]["source"] == shown


def test_a_wrong_url_of_the_list_is_refused_without_its_password(
    nearbucket: Run, config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEARBUCKET_REGIONS__SOURCE", "ftp://user:s3cr3t@lists.example/")
    for command in (["check", "--offline"], ["ranges", "update"]):
        done = nearbucket(*command, "--config", config)
        assert done.code == 2
        assert "'ftp://********@lists.example/' is neither an http(s) URL nor a file" in done.err


def test_config_show_can_be_used_as_a_configuration_again(
    nearbucket: Run, config: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NEARBUCKET_LISTEN__PORT", "1234")
    shown = nearbucket("config", "show", "--config", config).out
    monkeypatch.delenv("NEARBUCKET_LISTEN__PORT")
    (tmp_path / "again.yaml").write_text(shown, encoding="utf-8")
    assert "port: 1234\n" in shown
    assert nearbucket("config", "show", "--config", "again.yaml").out == shown


def test_config_show_prints_values_as_they_are_written_in_the_file(
    nearbucket: Run, config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEARBUCKET_SITES__0__REDIRECT__CAME_BACK", "off")
    monkeypatch.setenv("NEARBUCKET_SITES__0__REDIRECT__MIN_SIZE", "16MiB")
    monkeypatch.setenv("NEARBUCKET_SITES__0__REDIRECT__PERCENT", "10")
    shown = nearbucket("config", "show", "--config", config).out
    for line in ("refresh: 1h", "came_back: 'off'", "min_size: 16MiB", "percent: 10"):
        assert f"{line}\n" in shown


KINDS: dict[str, type | tuple[type, ...]] = {
    "object": dict, "array": list, "string": str, "boolean": bool, "null": type(None),
    "integer": int, "number": (int, float),
}  # fmt: skip


def findings(schema: Any, value: Any, root: Any, place: str = "") -> list[str]:
    """Errors of a value by a JSON Schema with the keywords that ours has."""
    if "$ref" in schema:
        return findings(root["$defs"][schema["$ref"].rpartition("/")[2]], value, root, place)
    if "anyOf" in schema:
        tried = [findings(each, value, root, place) for each in schema["anyOf"]]
        return [] if [] in tried else min(tried, key=len)
    if "type" in schema and not isinstance(value, KINDS[schema["type"]]):
        return [f"{place}: {value!r} is no {schema['type']}"]
    if value not in schema.get("enum", [schema.get("const", value)]):
        return [f"{place}: {value!r} is not offered"]
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        return [f"{place}: {value!r} has another form"]
    if isinstance(value, list):
        return [
            each
            for number, item in enumerate(value)
            for each in findings(schema["items"], item, root, f"{place}.{number}")
        ]
    if not isinstance(value, dict):
        return []
    found = [f"{place}.{key} is missing" for key in schema.get("required", []) if key not in value]
    known, others = schema.get("properties", {}), schema.get("additionalProperties")
    for key, item in value.items():
        rule = known.get(key, others)
        inside = f"{place}.{key}"
        found += findings(rule, item, root, inside) if rule else [f"{inside} is unknown"]
    return found


@pytest.fixture
def schema(nearbucket: Run) -> Any:
    done = nearbucket("config", "schema")
    assert (done.code, done.err) == (0, "")
    return json.loads(done.out)


def test_the_schema_accepts_the_commented_example_whole(schema: Any) -> None:
    example = yaml.safe_load(EXAMPLE.read_text("utf-8"))
    assert set(schema["properties"]) == set(example)
    assert findings(schema, example, schema) == []


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        pytest.param({"lisen": {}}, ".lisen is unknown", id="section"),
        pytest.param({"listen": {"prot": 1}}, ".listen.prot is unknown", id="key"),
        pytest.param({"listen": {"host": 1}}, ".listen.host: 1 is no string", id="type"),
        pytest.param({"log": {"access": "xml"}}, ".log.access: 'xml' is not offered", id="word"),
        pytest.param({"sites": [{}]}, ".sites.0.origin is missing", id="required"),
    ],
)
def test_the_schema_refuses_what_the_product_refuses(
    schema: Any, change: dict[str, Any], finding: str
) -> None:
    assert finding in findings(schema, {"sites": [SITE], **change}, schema)


def test_the_commented_example_is_a_valid_configuration(
    nearbucket: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORIGIN_VERIFY", "x")
    assert nearbucket("check", "--offline", "--config", str(EXAMPLE)).code == 0
