"""Configuration: file, environment, errors that name the key and the fix."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from nearbucket.config.file import load, masked
from nearbucket.config.json_schema.schema import json_schema
from nearbucket.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

MINIMAL = """
sites:
  - origin: {bucket: downloads, region: us-east-1}
    targets:
      us-east-1: {bucket: downloads, region: us-east-1}
"""


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(text: str, name: str = "n.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_a_minimal_file_gets_the_documented_defaults(write: Any) -> None:
    settings = load(write(MINIMAL), {})
    assert settings.listen.port == 8080
    assert settings.admin.host == "127.0.0.1"
    assert settings.regions.services == ("EC2",)
    assert settings.regions.refresh == 3600
    assert settings.sites[0].redirect.status == 301
    assert settings.sites[0].redirect.paths == ("*.tar.*z*",)
    assert settings.limits.drain_timeout == 25


@pytest.mark.parametrize(
    ("variable", "value", "found"),
    [
        ("NEARBUCKET_LISTEN__PORT", "81", lambda s: s.listen.port == 81),
        ("NEARBUCKET_LIMITS__IDLE_TIMEOUT", "2m", lambda s: s.limits.idle_timeout == 120),
        ("NEARBUCKET_LIMITS__IDLE_TIMEOUT", "90", lambda s: s.limits.idle_timeout == 90),
        ("NEARBUCKET_SITES__0__ORIGIN__BUCKET", "other",
         lambda s: s.sites[0].origin.bucket == "other"),
        ("NEARBUCKET_SITES__0__TARGETS__US_EAST_1__PUBLIC_URL", "https://x.example",
         lambda s: s.sites[0].targets["us-east-1"].public_url == "https://x.example"),
        ("NEARBUCKET_PRICES__REGION_PER_GB__US_WEST_2", "0.1",
         lambda s: s.prices.region_per_gb == {"us-west-2": 0.1}),
        ("NEARBUCKET_SITES__0__TARGETS__EU_WEST_1__BUCKET", "eu-downloads",
         lambda s: s.sites[0].targets["eu-west-1"].region == "eu-west-1"),
        ("NEARBUCKET_SITES__0__REDIRECT__PATHS", '["*.iso"]',
         lambda s: s.sites[0].redirect.paths == ("*.iso",)),
        ("NEARBUCKET_SITES__0__HOSTS__0", "dl.example",
         lambda s: s.sites[0].hosts == ("dl.example",)),
        ("NEARBUCKET_SITES__0__REDIRECT__MODE", "off", lambda s: s.sites[0].redirect.mode == "off"),
        ("NEARBUCKET_LOG__ACCESS", "w3c", lambda s: s.log.access == "w3c"),
        ("NEARBUCKET_REGIONS__REQUIRED", "false", lambda s: s.regions.required is False),
    ],
)  # fmt: skip
def test_the_environment_overrides_any_key(
    write: Any, variable: str, value: str, found: Any
) -> None:
    assert found(load(write(MINIMAL), {variable: value}))


def test_what_kubernetes_says_of_a_service_of_our_name_is_not_a_setting(write: Any) -> None:
    links = {
        "NEARBUCKET_PORT": "tcp://10.0.0.1:80",
        "NEARBUCKET_SERVICE_HOST": "10.0.0.1",
        "NEARBUCKET_SERVICE_PORT_HTTP": "80",
        "NEARBUCKET_PORT_80_TCP": "tcp:",
    }
    assert load(write(MINIMAL), links) == load(write(MINIMAL), {})


def test_a_list_of_more_than_ten_items_can_be_set_item_by_item(write: Any) -> None:
    hosts = {f"NEARBUCKET_SITES__0__HOSTS__{number}": f"h{number}.example" for number in range(12)}
    (site,) = load(write(MINIMAL), hosts).sites
    assert site.hosts == tuple(hosts.values())


def test_the_environment_alone_is_enough() -> None:
    sites = json.dumps(yaml.safe_load(MINIMAL)["sites"])
    assert load(None, {"NEARBUCKET_SITES": sites}).sites[0].name == "*"


def test_failover_buckets_have_the_credentials_of_their_origin_unless_they_have_their_own(
    write: Any,
) -> None:
    text = """\
sites:
  - origin: {bucket: downloads, region: us-east-1, credentials: anonymous}
    failover:
      - {bucket: west, region: us-west-2}
      - {bucket: own, region: eu-west-1, credentials: ambient}
"""
    failover = load(write(text), {}).sites[0].failover
    assert [each.credentials for each in failover] == ["anonymous", "ambient"]


def test_a_failover_bucket_may_be_that_of_a_target_and_is_no_host_of_redirects(
    write: Any,
) -> None:
    west = "{bucket: west, region: us-west-2}"
    text = f"""\
sites:
  - origin: {{bucket: downloads, region: us-east-1}}
    failover: [{west}, {{bucket: elsewhere, region: eu-west-1}}]
    targets:
      us-west-2: {west}
"""
    settings = load(write(text), {})
    assert settings.sites[0].failover[0].object_base_url == (
        settings.sites[0].targets["us-west-2"].object_base_url
    )
    assert settings.sent_to == [
        "west.s3.dualstack.us-west-2.amazonaws.com",
        "west.s3.us-west-2.amazonaws.com",
    ]


@pytest.mark.parametrize(("mode", "hosts"), [("on", 1), ("shadow", 1), ("off", 0)])
def test_the_cdn_is_a_host_of_redirects_unless_nothing_is_redirected(
    write: Any, mode: str, hosts: int
) -> None:
    text = f"""\
sites:
  - origin: {{bucket: downloads, region: us-east-1}}
    redirect: {{mode: "{mode}"}}
    bypass: {{mode: redirect, to: https://cdn.example}}
"""
    assert load(write(text), {}).sent_to == ["cdn.example"][:hosts]


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"NEARBUCKET_LISTEN_PORT": "1"}, "NEARBUCKET_LISTEN__PORT"),
        ({"NEARBUCKET_SITES__7__HOSTS": "a"}, "is a list of 1"),
    ],
)
def test_a_variable_that_stands_for_no_setting_is_named(
    write: Any, environ: dict[str, str], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        load(write(MINIMAL), environ)


def test_secrets_come_from_files_and_the_environment_and_are_masked(
    write: Any, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("from-file\n", encoding="utf-8")
    values = f"[ 'file:{secret}', 'env:S' ]"
    text = f"client_address: {{origin_secret: {{values: {values}}}}}\n{MINIMAL}"
    settings = load(write(text), {"S": "from-env"})
    assert settings.client_address.origin_secret is not None
    assert settings.client_address.origin_secret.values == ("from-file", "from-env")
    assert "from-" not in json.dumps(masked(settings))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name another file \\(`nearbucket init` writes one\\)"):
        load(tmp_path / "none.yaml", {})


def test_a_file_that_this_user_may_not_read_is_named_with_the_user() -> None:
    class Closed:
        def read_bytes(self) -> bytes:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

        def __str__(self) -> str:
            return "closed.yaml"

    says = f"^closed.yaml: Permission denied; let this user \\(uid {os.geteuid()}\\) read it$"
    with pytest.raises(ConfigError, match=says):
        load(Closed(), {})


def test_no_configuration_at_all_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    says = f"no nearbucket.yaml in {tmp_path}; give --config FILE.*`nearbucket init`"
    with pytest.raises(ConfigError, match=says):
        load(None, {})


@pytest.mark.parametrize("text", ["", "{}"])
def test_the_error_of_an_empty_file_names_what_is_missing(write: Any, text: str) -> None:
    file = write(text)
    with pytest.raises(ConfigError, match=f"^{file}(:1)?: ") as caught:
        load(file, {})
    assert "sites:" in str(caught.value)


def test_the_shown_configuration_is_a_configuration(write: Any) -> None:
    settings = load(write(MINIMAL), {})
    assert load(write(yaml.safe_dump(masked(settings)), "again.yaml"), {}) == settings


def test_every_setting_is_described() -> None:
    schema = json_schema()
    for model in [schema, *schema["$defs"].values()]:
        for name, entry in model["properties"].items():
            assert entry.get("description"), name


def test_the_schema_says_what_it_is_and_leaves_x_keys_alone() -> None:
    schema = json_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == "urn:nearbucket:configuration"
    assert schema["patternProperties"] == {"^x-": True}


def test_the_example_names_the_schema_beside_it_which_is_that_of_this_version() -> None:
    folder = Path(__file__).parents[2] / "config"
    first, *_ = (folder / "nearbucket.example.yaml").read_text("utf-8").splitlines()
    name = first.removeprefix("# yaml-language-server: $schema=")
    assert json.loads((folder / name).read_text("utf-8")) == json_schema()


def test_the_example_has_every_key() -> None:
    example = Path(__file__).parents[2] / "config" / "nearbucket.example.yaml"
    document = yaml.safe_load(example.read_text("utf-8"))
    assert sorted(missing(json_schema(), json_schema(), [document])) == []


def missing(schema: Any, top: Any, values: list[Any], path: str = "") -> Iterator[str]:
    """The keys of a schema that none of the values has."""
    while "$ref" in schema:
        schema = top["$defs"][schema["$ref"].rpartition("/")[2]]
    for branch in schema.get("anyOf", ()):
        yield from missing(branch, top, values, path)
    mappings = [value for value in values if isinstance(value, dict)]
    items = [item for value in values if isinstance(value, list) for item in value]
    if items and "items" in schema:
        yield from missing(schema["items"], top, items, f"{path}[]")
    if mappings and isinstance(other := schema.get("additionalProperties"), dict):
        yield from missing(other, top, [item for each in mappings for item in each.values()], path)
    for key, inside in schema.get("properties", {}).items() if mappings else ():
        found = [mapping[key] for mapping in mappings if key in mapping]
        if found:
            yield from missing(inside, top, found, f"{path}.{key}")
        else:
            yield f"{path}.{key}"


def test_idle_connections_outlive_those_of_the_load_balancer_in_front(write: Any) -> None:
    limits = load(write(MINIMAL), {}).limits
    assert limits.idle_timeout > 60, "ALB's default; CloudFront's to an origin is 5 s"
    assert limits.drain_timeout < 30, "ECS's default stop timeout"
    assert 0 < limits.drain_grace < limits.drain_timeout, "the grace is a part of the drain"


@pytest.mark.parametrize("zero", ["0", "0s", "0.0"])
def test_a_drain_can_begin_without_a_grace(write: Any, zero: str) -> None:
    limits = load(write(f"limits: {{drain_grace: {zero}}}\n{MINIMAL}"), {}).limits
    assert limits.drain_grace == 0


@pytest.mark.parametrize("limits", ["drain_grace: 25s", "drain_grace: 5s, drain_timeout: 4s"])
def test_a_grace_that_leaves_no_time_for_answers_is_refused(write: Any, limits: str) -> None:
    with pytest.raises(
        ConfigError, match=r"limits.drain_grace: .* is not shorter than drain_timeou"
    ):
        load(write(f"limits: {{{limits}}}\n{MINIMAL}"), {})
    load(write(f"limits: {{drain_timeout: 4s}}\n{MINIMAL}"), {})  # then the grace is cut, too


def test_a_file_that_is_nested_too_deeply_is_named_with_a_line(tmp_path: Path) -> None:
    file = tmp_path / "nearbucket.yaml"
    file.write_text("[" * 3000, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"nearbucket\.yaml:1: is not valid YAML: "):
        load(file)
