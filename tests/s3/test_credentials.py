"""Credentials come from the SDK's chain, and are asked for once, however many wait."""

from __future__ import annotations

import asyncio
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiobotocore.credentials import AioRefreshableCredentials
from aiohttp import web
from aiohttp.test_utils import TestServer

from nearbucket.config.buckets import Bucket, KeyFiles
from nearbucket.errors import OriginError
from nearbucket.s3 import credentials as module
from nearbucket.s3.bucket_location import BucketLocation
from nearbucket.s3.credentials import Credentials, FileCredentials, SdkCredentials
from nearbucket.s3.sdk.sdk_client import opened, sdk_credentials
from nearbucket.s3.sigv4 import Signer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


@pytest.fixture
def no_aws(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment in which the chain finds nothing, and asks no metadata service."""
    for name in os.environ:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    return monkeypatch


async def test_ambient_credentials_come_from_the_environment(no_aws: pytest.MonkeyPatch) -> None:
    no_aws.setenv("AWS_ACCESS_KEY_ID", "AKID")
    no_aws.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    no_aws.setenv("AWS_SESSION_TOKEN", "token")
    headers = await Signer("ambient", "us-east-1").headers("GET", "h", "/b/k")
    assert headers["x-amz-security-token"] == "token"
    assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKID/")


@pytest.mark.usefixtures("no_aws")
async def test_no_credentials_is_an_error_that_names_the_fixes() -> None:
    with pytest.raises(OriginError, match=r"AWS_ACCESS_KEY_ID.*anonymous.*key files") as caught:
        await Signer("ambient", "us-east-1").headers("GET", "h", "/b/k")
    assert caught.value.status == 502


def test_what_is_secret_is_in_no_text_of_credentials() -> None:
    known = Credentials("AKID", "hidden-key", "hidden-token", 1.0)
    texts = (repr(known), str(known), f"{known}", repr([known]), repr({"by": known}))
    assert all("AKID" in text and "hidden" not in text for text in texts)


async def test_an_error_of_the_chain_does_not_tell_what_was_read() -> None:
    async def load() -> None:
        "schlüssel".encode().decode("ascii")

    with pytest.raises(OriginError, match="UnicodeDecodeError: 'ascii' codec") as caught:
        await SdkCredentials(load).get()
    assert "schl" not in repr(caught.value)


class TaskRole:
    """The credentials endpoint of a container, as ECS has it."""

    def __init__(self, *minutes: int) -> None:
        """Hand out credentials that last so many minutes, the last for ever."""
        self.minutes = list(minutes)
        self.asked = 0
        self.broken = False

    async def answer(self, _: web.BaseRequest) -> web.Response:
        self.asked += 1
        if self.broken:
            return web.Response(status=500)
        left = self.minutes.pop(0) if len(self.minutes) > 1 else self.minutes[0]
        ends = datetime.now(UTC) + timedelta(minutes=left)
        keys = {"AccessKeyId": f"AKID{self.asked}", "SecretAccessKey": "secret"}
        return web.json_response(
            {**keys, "Token": f"token{self.asked}", "Expiration": ends.isoformat()}
        )


@pytest.fixture
async def task_role(no_aws: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., Any]]:
    """Starts a task role for this process."""
    servers: list[TestServer] = []

    async def start(*minutes: int) -> TaskRole:
        role = TaskRole(*minutes)
        app = web.Application()
        app.router.add_get("/role", role.answer)
        server = TestServer(app, host="127.0.0.1")
        await server.start_server()
        servers.append(server)
        no_aws.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", str(server.make_url("/role")))
        return role

    yield start
    for server in servers:
        await server.close()


async def two_hundred(signer: Signer) -> set[str]:
    """Session tokens that two hundred requests at once were signed with."""
    asked = [signer.headers("GET", "h", f"/b/{n}") for n in range(200)]
    return {headers["x-amz-security-token"] for headers in await asyncio.gather(*asked)}


async def test_two_hundred_requests_cause_one_load_of_the_role(
    task_role: Callable[..., Any],
) -> None:
    role = await task_role(60)
    assert await two_hundred(Signer("ambient", "us-east-1")) == {"token1"}
    assert role.asked == 1


async def test_credentials_about_to_end_when_loaded_are_refreshed_before_use(
    task_role: Callable[..., Any],
) -> None:
    # five minutes are within botocore's mandatory ten
    role = await task_role(5, 60)
    assert await two_hundred(Signer("ambient", "us-east-1")) == {"token2"}
    assert role.asked == 2


async def test_credentials_of_a_role_know_when_they_end(task_role: Callable[..., Any]) -> None:
    await task_role(60)
    before = time.time()
    expires = (await SdkCredentials().get()).expires
    assert expires is not None
    assert before + 3590 < expires <= time.time() + 3600


async def test_static_credentials_do_not_end(no_aws: pytest.MonkeyPatch) -> None:
    no_aws.setenv("AWS_ACCESS_KEY_ID", "AKID")
    no_aws.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert (await SdkCredentials().get()).expires is None


async def test_credentials_are_the_same_object_until_they_change(
    task_role: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_HOLD", -1.0)
    role = await task_role(60)
    ambient = SdkCredentials()
    first = await ambient.get()
    assert await asked_again(ambient) is first
    assert role.asked == 1
    # within the chain's 15 minutes before the end it renews
    ambient._chain._expiry_time = datetime.now(UTC) + timedelta(minutes=5)
    second = await asked_again(ambient)
    assert (first.token, second.token) == ("token1", "token2")
    assert first.expires != second.expires


async def asked_again(ambient: SdkCredentials) -> Credentials:
    """The credentials after the chain has been asked again."""
    ambient.current()
    assert ambient._refresh is not None
    await ambient._refresh
    return await ambient.get()


async def test_two_hundred_requests_cause_one_refresh_of_expired_credentials() -> None:
    now = datetime.now(UTC)
    clock = [now]
    refreshes = 0

    async def refresh() -> dict[str, str]:
        nonlocal refreshes
        refreshes += 1
        await asyncio.sleep(0)
        keys = {"access_key": "AKID", "secret_key": "secret", "token": "new"}
        return keys | {"expiry_time": (now + timedelta(hours=9)).isoformat()}

    async def load() -> AioRefreshableCredentials:
        ends = now + timedelta(hours=1)
        return AioRefreshableCredentials(
            "AKID", "secret", "old", ends, refresh, "test", time_fetcher=lambda: clock[0]
        )

    ambient = SdkCredentials(load)
    signer = Signer("ambient", "us-east-1", ambient=ambient)
    assert await two_hundred(signer) == {"old"}
    assert refreshes == 0
    clock[0] += timedelta(hours=2)
    ambient._asked_at = ambient._valid_at = float("-inf")
    assert await two_hundred(signer) == {"new"}
    assert refreshes == 1


def write_keys(file: Path, access_key: str) -> None:
    secret = "aws_secret_access_key = secret"
    file.write_text(f"[default]\naws_access_key_id = {access_key}\n{secret}\n")


async def test_keys_that_are_replaced_in_the_file_of_the_sdk_are_found(
    no_aws: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "credentials"
    no_aws.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    no_aws.setattr(module, "_HOLD", -1.0)
    write_keys(file, "OLD")
    of_data, of_clients = SdkCredentials(), SdkCredentials(sdk_credentials)
    for each in (of_data, of_clients):
        first = await each.get()
        assert first.access_key == "OLD"
        assert await asked_again(each) is first
    write_keys(file, "NEW")
    for each in (of_data, of_clients):
        assert (await asked_again(each)).access_key == "NEW"
    location = BucketLocation("s3://b", Bucket(bucket="bkt", region="us-east-1"), "ambient")
    async with opened(location) as client:
        assert client._request_signer._credentials.access_key == "NEW"


async def test_keys_that_were_removed_from_the_file_are_still_used_with_a_warning(
    no_aws: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "credentials"
    no_aws.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    no_aws.setattr(module, "_HOLD", -1.0)
    write_keys(file, "KEY")
    ambient = SdkCredentials()
    first = await ambient.get()
    file.unlink()  # for a moment or for good
    for _ in range(3):
        assert await asked_again(ambient) is first
    (warning,) = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert warning.startswith("no AWS credentials found: ")
    assert warning.endswith("; the last ones are used for up to 9 minutes")


async def test_requests_go_on_with_known_credentials_while_a_refresh_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refreshes = 0

    async def fail() -> dict[str, str]:
        nonlocal refreshes
        refreshes += 1
        raise RuntimeError("the metadata service is down")

    async def load() -> AioRefreshableCredentials:
        return AioRefreshableCredentials(
            "AKID", "secret", "token", datetime.now(UTC) + timedelta(minutes=14), fail, "test"
        )

    monkeypatch.setattr(module, "_HOLD", 0.0)
    ambient = SdkCredentials(load)
    first = await ambient.get()
    assert refreshes == 1
    assert await asyncio.gather(*[ambient.get() for _ in range(200)]) == [first] * 200
    await asyncio.sleep(0)
    assert refreshes == 2


async def test_failing_credentials_are_asked_for_once_a_second_not_once_a_request() -> None:
    asked = 0

    async def load() -> None:
        nonlocal asked
        asked += 1
        raise OSError("no route to the metadata service")

    ambient = SdkCredentials(load)
    errors = await asyncio.gather(*[ambient.get() for _ in range(200)], return_exceptions=True)
    errors += await asyncio.gather(ambient.get(), return_exceptions=True)
    assert {type(error) for error in errors} == {OriginError}
    assert asked == 1
    with pytest.raises(OriginError, match="no route to the metadata") as caught:
        await ambient.get()
    assert caught.value.status == 503


async def test_a_client_that_goes_away_does_not_end_the_refresh_for_others() -> None:
    arrived, go = asyncio.Event(), asyncio.Event()

    async def load() -> AioRefreshableCredentials:
        arrived.set()
        await go.wait()
        ends = datetime.now(UTC) + timedelta(hours=1)
        return AioRefreshableCredentials("AKID", "secret", "token", ends, None, "test")

    ambient = SdkCredentials(load)
    gone, stays = (asyncio.ensure_future(ambient.get()) for _ in range(2))
    await arrived.wait()
    gone.cancel()
    go.set()
    assert (await stays).token == "token"


async def lent_once() -> tuple[SdkCredentials, Credentials]:
    """Credentials of another process, which has them once, and then none; and the ones it had."""
    lent = Credentials("AKID", "secret", "token", time.time() + 3600)
    answers: list[Credentials | OriginError] = [lent, OriginError(503, "gone")]

    async def fetch() -> Credentials:
        answer = answers.pop(0)
        if isinstance(answer, OriginError):
            raise answer
        return answer

    chain = SdkCredentials(fetch=fetch)
    await chain.get()
    return chain, lent


async def test_nothing_is_wrong_while_nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    chain, _ = await lent_once()
    later = time.monotonic() + 3600
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert chain.problem is None  # an hour without requests
    with pytest.raises(OriginError):
        await chain.get()
    assert chain.problem == "gone"


async def test_nothing_is_wrong_while_credentials_that_could_not_be_renewed_still_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chain, lent = await lent_once()
    soon = time.monotonic() + module._HOLD + 1
    monkeypatch.setattr(time, "monotonic", lambda: soon)
    assert chain.current() is lent  # asks anew
    for _ in range(3):  # turns of the loop in which it fails
        await asyncio.sleep(0)
    assert chain._failed
    assert (chain.current(), chain.problem) == (lent, None)


async def test_a_process_without_a_chain_of_its_own_is_given_the_credentials_of_another() -> None:
    lent = Credentials("AKID", "secret", "token", time.time() + 3600)
    asked = 0

    async def fetch() -> Credentials:
        nonlocal asked
        asked += 1
        return lent

    remote = SdkCredentials(fetch=fetch)
    assert [await remote.get() for _ in range(2)] == [lent, lent]
    assert asked == 1


@pytest.mark.usefixtures("no_home_folder")
async def test_key_files_in_the_home_of_a_user_without_one_are_not_there() -> None:
    files = KeyFiles(access_key_file=Path("~/id"), secret_key_file=Path("~/key"))
    with pytest.raises(OriginError, match=r"credentials\.access_key_file: .*No such file.*~/id"):
        await FileCredentials(files).get()
