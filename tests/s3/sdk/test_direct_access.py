"""Variables and profiles that name another way to S3: refused, or without effect on our clients."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from nearbucket.config.buckets import Origin as Entry
from nearbucket.config.settings import Settings
from nearbucket.errors import ConfigError
from nearbucket.s3.bucket_location import BucketLocation
from nearbucket.s3.sdk.direct_access import refuse_variables
from nearbucket.s3.sdk.sdk_client import opened
from tests.scripteds3 import Say, ScriptedS3, reply

if TYPE_CHECKING:
    from pathlib import Path

AWS: dict[str, Any] = {"bucket": "downloads", "region": "us-east-1"}
WEST = {"us-west-2": {"bucket": "west"}}
LOCAL = AWS | {"endpoint": "http://minio:9000"}
HOSTS = "downloads.s3.us-east-1.amazonaws.com,west.s3.us-west-2.amazonaws.com"
UNUSED = "it is not used: the configuration says where buckets are. Unset it, or write"


def settings(origin: dict[str, Any], targets: Any = WEST, scheme: str = "https") -> Settings:
    site = {"origin": origin, "targets": targets, "redirect": {"scheme": scheme}}
    return Settings.model_validate({"sites": [site]})


@pytest.mark.parametrize(
    ("region", "name", "cure"),
    [
        ("cn-north-1", "AWS_USE_DUALSTACK_ENDPOINT",
         "endpoint: https://s3.dualstack.cn-north-1.amazonaws.com.cn, with path_style: false"),
        ("cn-north-1", "AWS_USE_FIPS_ENDPOINT", "cn-north-1 has no such hosts of S3. Unset it"),
        ("eu-west-1", "AWS_USE_FIPS_ENDPOINT", "eu-west-1 has no such hosts of S3. Unset it"),
        ("us-gov-west-1", "AWS_USE_FIPS_ENDPOINT",
         "endpoint: https://s3-fips.us-gov-west-1.amazonaws.com, with path_style: false"),
    ],
)  # fmt: skip
def test_the_cure_is_that_of_the_region(region: str, name: str, cure: str) -> None:
    chosen = settings({"bucket": "downloads", "region": region}, {})
    with pytest.raises(ConfigError, match=re.escape(cure) + "$"):
        refuse_variables(chosen, {name: "true"})


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"AWS_ENDPOINT_URL": "http://minio:9000"},
         (f"AWS_ENDPOINT_URL: 'http://minio:9000' names another S3; {UNUSED} "
         "sites.*.origin.endpoint: http://minio:9000")),
        ({"AWS_ENDPOINT_URL_S3": "http://minio:9000"},
         (f"AWS_ENDPOINT_URL_S3: 'http://minio:9000' names another S3; {UNUSED} "
         "sites.*.origin.endpoint: http://minio:9000")),
        ({"AWS_USE_FIPS_ENDPOINT": "true"},
         (f"AWS_USE_FIPS_ENDPOINT: 'true' names other hosts; {UNUSED} sites.*.origin.endpoint: "
         "https://s3-fips.us-east-1.amazonaws.com, with path_style: false")),
        ({"AWS_USE_DUALSTACK_ENDPOINT": "True"},
         (f"AWS_USE_DUALSTACK_ENDPOINT: 'True' names other hosts; {UNUSED} "
         "sites.*.origin.endpoint: https://s3.dualstack.us-east-1.amazonaws.com, with "
         "path_style: false")),
        ({"HTTPS_PROXY": "http://proxy:3128"},
         ("HTTPS_PROXY: names a proxy for downloads.s3.us-east-1.amazonaws.com, but S3 is reached "
         f"without one; unset it, or add to NO_PROXY: {HOSTS}")),
        ({"https_proxy": "http://proxy:3128", "NO_PROXY": "localhost"},
         ("https_proxy: names a proxy for downloads.s3.us-east-1.amazonaws.com, but S3 is reached "
         f"without one; unset it, or add to NO_PROXY: {HOSTS}")),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": ".s3.us-east-1.amazonaws.com"},
         ("HTTPS_PROXY: names a proxy for west.s3.us-west-2.amazonaws.com, but S3 is reached "
         "without one; unset it, or add to NO_PROXY: west.s3.us-west-2.amazonaws.com")),
    ],
)  # fmt: skip
def test_a_variable_that_would_change_the_way_to_a_bucket_is_refused_with_what_to_write(
    environ: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigError) as error:
        refuse_variables(settings(AWS), environ)
    assert str(error.value) == message


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"HTTP_PROXY": "http://proxy:3128"},
        {"HTTPS_PROXY": ""},
        {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": ".amazonaws.com"},
        {"https_proxy": "http://proxy:3128", "no_proxy": "*"},
        {"AWS_USE_FIPS_ENDPOINT": "false", "AWS_USE_DUALSTACK_ENDPOINT": ""},
        {"AWS_ENDPOINT_URL": "http://minio", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
        {"AWS_ENDPOINT_URL_STS": "http://sts.example", "AWS_PROFILE": "x", "AWS_REGION": "y"},
    ],
)
def test_what_does_not_change_the_way_to_a_bucket_is_accepted(environ: dict[str, str]) -> None:
    refuse_variables(settings(AWS), environ)


def test_buckets_with_an_endpoint_are_where_it_says_but_no_proxy_is_used_for_them() -> None:
    local = settings(LOCAL, {}, "http")
    refuse_variables(local, {"AWS_ENDPOINT_URL": "http://x", "AWS_USE_FIPS_ENDPOINT": "true"})
    refuse_variables(local, {"https_proxy": "http://proxy:3128"})
    with pytest.raises(ConfigError, match=r"^http_proxy: names a proxy for minio,"):
        refuse_variables(local, {"http_proxy": "http://proxy:3128"})


PROFILE = """\
[profile odd]
endpoint_url = http://127.0.0.1:9
use_fips_endpoint = true
use_dualstack_endpoint = true
region = eu-west-1
services = local
s3 =
    use_accelerate_endpoint = true
    use_dualstack_endpoint = true
    addressing_style = virtual
[services local]
s3 =
    endpoint_url = http://127.0.0.1:9
"""


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_sdk_session: None) -> None:  # noqa: ARG001
    """A profile and variables that lead a client of the SDK elsewhere."""
    (tmp_path / "config").write_text(PROFILE, encoding="utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "odd")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "true")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")


@pytest.mark.usefixtures("odd")
async def test_clients_for_listing_and_copying_go_where_the_configuration_says() -> None:
    place = BucketLocation("origin", Entry(**AWS, credentials="anonymous"), "anonymous")
    async with opened(place, attempts=1) as client:
        url = await client.generate_presigned_url("get_object", {"Bucket": "downloads", "Key": "a"})
    assert url == "https://downloads.s3.us-east-1.amazonaws.com/a"


@pytest.mark.usefixtures("odd")
async def test_clients_for_listing_and_copying_use_no_proxy() -> None:
    async with ScriptedS3(Say(reply("200 OK"))) as server:
        entry = Entry(**AWS | {"endpoint": server.endpoint}, credentials="anonymous")
        async with opened(BucketLocation("origin", entry, "anonymous"), attempts=1) as client:
            await client.head_object(Bucket="downloads", Key="a")
    assert [each.method for each in server.asked] == ["HEAD"]
