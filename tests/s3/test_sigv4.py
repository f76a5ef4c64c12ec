"""Signatures are equal to botocore's, and keys from files are those of the files."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from unittest import mock

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import example, given
from hypothesis import strategies as st

from nearbucket.config.buckets import Bucket
from nearbucket.errors import OriginError
from nearbucket.policy.object_keys import encode_key
from nearbucket.s3.credentials import Credentials
from nearbucket.s3.sigv4 import Signer, SigningScope, presign, sign
from tests.s3server import key_files

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = st.text("ABCabc019+/=", min_size=1)
KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
VALUES = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cc"]), max_size=20)
EXTRAS = st.dictionaries(
    st.sampled_from(["range", "if-match", "x-amz-expected-bucket-owner", "x-amz-meta-b"]), VALUES
)
"""Names that botocore signs; it leaves out Expect, User-Agent and other hop fields."""
METHODS = st.sampled_from(["GET", "HEAD"])
REGIONS = st.sampled_from(["us-east-1", "us-west-2", "eu-central-1", "cn-north-1", "local"])
WHO = st.builds(Credentials, TOKEN, TOKEN, st.none() | TOKEN)
PAYERS = st.sampled_from(["", "requester"])
MOMENTS = st.integers(0, 4_102_444_800)


@example("GET", "a//b/../c d+e%2Fü.txt", "cn-north-1", Credentials("A", "S", "T"), 0, {})
@given(METHODS, KEYS, REGIONS, WHO, MOMENTS, EXTRAS)
def test_every_request_is_signed_as_botocore_signs_it(  # noqa: PLR0913, PLR0917 - a signature is of that much
    method: str,
    key: str,
    region: str,
    credentials: Credentials,
    when: int,
    extra: dict[str, str],
) -> None:
    path = f"/bucket/{encode_key(key)}"
    scope = SigningScope.of(credentials, region, when)
    ours = sign(scope, method, path, {"host": "s3.example:8333", **extra})
    theirs = signed_by_botocore(method, path, region, credentials, when, extra)
    assert ours == {"host": "s3.example:8333", **theirs}


def signed_by_botocore(  # noqa: PLR0913, PLR0917 - as the test above
    method: str,
    path: str,
    region: str,
    credentials: Credentials,
    when: int,
    extra: dict[str, str],
) -> dict[str, str]:
    request = AWSRequest(method, f"http://s3.example:8333{path}", headers=extra)
    who = BotoCredentials(credentials.access_key, credentials.secret_key, credentials.token)
    moment = datetime.fromtimestamp(when, UTC)
    with mock.patch("botocore.auth.get_current_datetime", return_value=moment):
        S3SigV4Auth(who, "s3", region).add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}


@example("HEAD", "a//b/../c d+e%2Fü.txt", "cn-north-1", Credentials("A", "S", "T/+="), 0, 1, "")
@given(METHODS, KEYS, REGIONS, WHO, MOMENTS, st.integers(1, 604_800), PAYERS)
def test_every_url_is_signed_as_botocore_signs_it(  # noqa: PLR0913, PLR0917 - as above
    method: str,
    key: str,
    region: str,
    credentials: Credentials,
    when: int,
    expires: int,
    payer: str,
) -> None:
    url = f"http://s3.example:8333/bucket/{encode_key(key)}"
    scope = SigningScope.of(credentials, region, when + 0.9)
    query = presign(scope, method, f"/bucket/{encode_key(key)}", "s3.example:8333", expires, payer)
    request = AWSRequest(method, url + (f"?x-amz-request-payer={payer}" if payer else ""))
    who = BotoCredentials(credentials.access_key, credentials.secret_key, credentials.token)
    moment = datetime.fromtimestamp(when, UTC)
    with mock.patch("botocore.auth.get_current_datetime", return_value=moment):
        S3SigV4QueryAuth(who, "s3", region, expires).add_auth(request)
    if not payer:
        assert request.url == f"{url}?{query}"
    else:  # botocore keeps the argument that was there in the first place
        assert sorted(request.url.partition("?")[2].split("&")) == sorted(query.split("&"))


async def test_that_the_requester_pays_is_sent_and_signed(tmp_path: Path) -> None:
    entry = Bucket(bucket="downloads", region="us-east-1", request_payer=True)
    signer = Signer(key_files(tmp_path), "us-east-1", also=entry.request_fields)
    headers = await signer.headers("GET", "h", "/b/k")
    assert headers["x-amz-request-payer"] == "requester"
    assert ";x-amz-request-payer," in headers["authorization"]


async def test_anonymous_requests_are_not_signed() -> None:
    signer = Signer("anonymous", "us-east-1")
    assert await signer.headers("GET", "h", "/b/k") == {"host": "h"}
    assert await signer.credentials() is None


async def test_the_expected_owner_is_sent_and_signed(tmp_path: Path) -> None:
    signer = Signer(
        key_files(tmp_path), "us-east-1", also={"x-amz-expected-bucket-owner": "123456789012"}
    )
    headers = await signer.headers("GET", "h", "/b/k")
    assert headers["x-amz-expected-bucket-owner"] == "123456789012"
    assert ";x-amz-expected-bucket-owner," in headers["authorization"]


async def test_key_files_are_read_again_when_they_change(tmp_path: Path) -> None:
    files = key_files(tmp_path)
    signer = Signer(files, "us-east-1")
    assert await signer.credentials() == Credentials("AKID", "secret")
    files.secret_key_file.write_text("rotated secret".replace(" ", "-"))
    assert await signer.credentials() == Credentials("AKID", "rotated-secret")
    swapped = tmp_path / "new"
    swapped.write_text("DIKA")
    swapped.replace(files.access_key_file)
    assert await signer.credentials() == Credentials("DIKA", "rotated-secret")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param(None, "No such file", id="missing"),
        pytest.param(b"\n", "does not hold one key", id="empty"),
        pytest.param(b"AKID\nsecret\n", "does not hold one key", id="both keys in one file"),
        pytest.param("schlüssel".encode(), "ascii", id="not a key at all"),
    ],
)
async def test_an_unusable_key_file_is_an_error_that_names_it(
    tmp_path: Path, content: bytes | None, why: str
) -> None:
    files = key_files(tmp_path)
    if content is None:
        files.access_key_file.unlink()
    else:
        files.access_key_file.write_bytes(content)
    with pytest.raises(OriginError, match=rf"access_key_file: .*{why}") as caught:
        await Signer(files, "us-east-1").headers("GET", "h", "/b/k")
    assert caught.value.status == 502
