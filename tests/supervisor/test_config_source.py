"""Where a running server reads its configuration: a file, and an object of a real S3 server."""

from __future__ import annotations

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

import pytest

from nearbucket.config.file import ConfigObject
from nearbucket.errors import ConfigError, OriginError
from nearbucket.s3.sdk import config_object, sdk_client
from nearbucket.s3.sdk.ambient_bucket import ambient_bucket
from nearbucket.s3.sdk.config_object import fetch
from nearbucket.supervisor import config_source
from nearbucket.supervisor.config_source import source_of
from tests.e2e.running import free_port
from tests.scripteds3 import Say, ScriptedS3

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import LocalS3

KEY = "settings/nearbucket.yaml"


@pytest.fixture
def url(s3: LocalS3, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An address for a configuration, which the SDK's variables lead to."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.server.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.server.secret_key)
    monkeypatch.setattr(config_source, "ASK_INTERVAL", 0.0)
    yield f"s3://{s3.private}/{KEY}"
    sdk_client._session()._credentials = None  # the SDK's session keeps what it once found


async def upload(s3: LocalS3, text: str) -> None:
    async with s3.server.client() as client:
        await client.put_object(Bucket=s3.private, Key=KEY, Body=text.encode())


async def remove(s3: LocalS3) -> None:
    async with s3.server.client() as client:
        await client.delete_object(Bucket=s3.private, Key=KEY)


async def test_without_a_file_the_environment_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = source_of(None)
    assert (source.name, await source.changed()) == ("environment", False)
    (tmp_path / "nearbucket.yaml").write_text("one")
    assert await source.changed()
    assert await source.read() is None
    assert source.name == "nearbucket.yaml"


async def test_a_file_that_is_gone_is_a_warning_and_read_again_when_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    file, away = tmp_path / "nearbucket.yaml", tmp_path / "away"
    file.write_text("one")
    source = source_of(file)
    gone = f"{file} is gone; its configuration stays in use until it is back"
    file.rename(away)
    assert not any([await source.changed() for _ in range(3)])
    assert source.problem == gone
    away.rename(file)
    assert not any([await source.changed() for _ in range(3)])
    assert not source.problem
    file.unlink()
    assert not await source.changed()
    assert source.problem == gone
    file.write_text("another")
    assert await source.changed()
    assert not source.problem
    assert await source.read() == file
    assert not await source.changed()
    assert caplog.messages == [gone, f"{file} is there again, unchanged", gone]


async def test_a_changed_file_of_a_secret_is_a_change_of_the_configuration(tmp_path: Path) -> None:
    config, secret, other = (tmp_path / name for name in ("a.yaml", "secret", "other"))
    config.write_text(f"client_address: {{origin_secret: {{values: ['file:{secret}', env:S]}}}}")
    secret.write_text("one")
    source = source_of(config)
    assert not await source.changed()
    secret.write_text("two, longer")
    assert await source.changed()
    await source.read()
    assert not await source.changed()
    secret.unlink()
    assert await source.changed()
    await source.read()
    assert not await source.changed()  # refused once
    config.write_text(f"client_address: {{origin_secret: {{values: ['file:{other}']}}}}")
    assert await source.changed()
    await source.read()
    secret.write_text("three")
    assert not await source.changed()  # no longer named
    other.write_text("four")
    assert await source.changed()


async def test_a_changed_file_of_a_secret_waits_for_a_configuration_that_is_gone(
    tmp_path: Path,
) -> None:
    config, secret, away = (tmp_path / name for name in ("a.yaml", "secret", "away"))
    config.write_text(f"client_address: {{origin_secret: {{values: ['file:{secret}']}}}}")
    secret.write_text("one")
    source = source_of(config)
    config.rename(away)
    secret.write_text("two, longer")
    assert not any([await source.changed() for _ in range(2)])
    assert source.problem
    away.rename(config)
    assert await source.changed()
    assert not source.problem


async def test_a_changed_file_of_a_secret_is_seen_without_a_configuration_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    secret = tmp_path / "secret"
    monkeypatch.setenv("NEARBUCKET_CLIENT_ADDRESS__ORIGIN_SECRET__VALUES", f"['file:{secret}']")
    source = source_of(None)
    assert not await source.changed()
    secret.write_text("one")
    assert await source.changed()
    assert await source.read() is None
    assert not await source.changed()


async def test_a_secret_whose_path_can_be_no_file_is_left_to_the_reader(tmp_path: Path) -> None:
    config = tmp_path / "a.yaml"
    config.write_text('client_address: {origin_secret: {values: ["file:a\\0b"]}}')
    source = source_of(config)
    assert await source.read() == config
    assert not await source.changed()


async def test_a_changed_file_of_a_secret_is_a_change_of_an_object(
    s3: LocalS3, url: str, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("one")
    await upload(s3, f"client_address: {{origin_secret: {{values: ['file:{secret}']}}}}")
    source = source_of(await fetch(url))
    assert not await source.changed()
    secret.write_text("two, longer")
    assert await source.changed()
    await source.read()
    assert not await source.changed()
    secret.write_text("three, and longer")
    await remove(s3)
    assert await source.changed()
    with pytest.raises(ConfigError):
        await source.read()
    assert not await source.changed()


async def test_a_file_in_a_folder_that_may_not_be_entered_is_left_to_the_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = source_of(file := tmp_path / "nearbucket.yaml")

    def stat(*_: object, **_more: object) -> NoReturn:
        raise PermissionError

    monkeypatch.setattr(type(tmp_path), "stat", stat)
    assert await source.read() == file


async def test_an_upload_is_seen_once_by_its_etag(s3: LocalS3, url: str) -> None:
    await upload(s3, "one")
    source = source_of(await fetch(url))
    assert not await source.changed()
    long = "#" * 1_000_000
    await upload(s3, long)
    assert await source.changed()
    found = await source.read()
    assert (str(found), getattr(found, "data", b"").decode()) == (url, long)
    assert not await source.changed()
    await remove(s3)


async def test_a_signal_reads_the_object_as_it_is_now(s3: LocalS3, url: str) -> None:
    await upload(s3, "one")
    source = source_of(await fetch(url))
    await upload(s3, "two")
    assert getattr(await source.read(), "data", None) == b"two"
    assert not await source.changed()
    await remove(s3)


async def test_an_object_that_a_signal_could_not_read_is_read_once_it_can_be(
    s3: LocalS3, url: str
) -> None:
    await upload(s3, "one")
    source = source_of(await fetch(url))
    await remove(s3)
    with pytest.raises(ConfigError, match="NoSuchKey"):
        await source.read()
    await upload(s3, "one")
    assert await source.changed()
    await source.read()
    assert not await source.changed()
    await remove(s3)


@pytest.mark.parametrize(
    "head",
    [b"ETag: x\r\nContent-Length: 100", b"Content-Length: 1", b"ETag: x\r\nLast-Modified: never"],
    ids=["breaks off", "has no ETag", "has a wrong date"],
)
async def test_an_answer_that_is_no_object_changes_nothing(
    head: bytes, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    says = Say(b"HTTP/1.1 200 OK\r\n%b\r\n\r\nx" % head, then="close")
    async with ScriptedS3(*[says] * 9) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.endpoint)
        source = source_of(ConfigObject(url, b"", '"known"'))
        assert not await source.changed()
    assert "no usable answer" in (source.problem or "")


async def test_an_object_that_is_gone_is_a_warning_until_it_is_back(
    s3: LocalS3, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="nearbucket")
    await upload(s3, "one")
    source = source_of(await fetch(url))
    await remove(s3)
    assert not any([await source.changed() for _ in range(3)])
    assert "a change of the configuration is not seen" in (source.problem or "")
    await upload(s3, "one")
    assert not await source.changed()
    assert not source.problem
    ours = [each.getMessage() for each in caplog.records if each.name.startswith("nearbucket")]
    assert len(ours) == 2
    assert ours[0].startswith(f"{url}: NoSuchKey")
    assert ours[1] == f"{url} can be read again"
    await remove(s3)


async def test_it_is_not_asked_again_within_ten_seconds(
    s3: LocalS3, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await upload(s3, "one")
    monkeypatch.setattr(config_source, "ASK_INTERVAL", 10.0)
    source = source_of(await fetch(url))
    await upload(s3, "two")
    assert not await source.changed()
    await remove(s3)


@pytest.mark.parametrize("wrong", ["s3://bucket-only", "s3:///key", "s3://bucket/folder/"])
async def test_a_url_without_bucket_or_key_is_an_error_that_says_what_to_write(wrong: str) -> None:
    with pytest.raises(ConfigError, match="write s3://BUCKET/KEY"):
        await fetch(wrong)


async def test_an_object_that_cannot_be_a_configuration_is_not_read_whole(
    s3: LocalS3, url: str
) -> None:
    await upload(s3, "x" * ((4 << 20) + 1))
    with pytest.raises(ConfigError, match="is larger than 4 MiB"):
        await fetch(url)
    await remove(s3)


async def test_a_right_that_is_missing_is_named(
    s3: LocalS3, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await upload(s3, "one")
    without_keys = replace(ambient_bucket(s3.private), credentials="anonymous")
    monkeypatch.setattr(config_object, "ambient_bucket", lambda _: without_keys)
    with pytest.raises(ConfigError, match=r"AccessDenied: .* needs s3:GetObject on it"):
        await fetch(url)
    await remove(s3)


async def test_a_server_that_cannot_be_reached_is_named(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(OriginError, match="Could not connect"):
        await fetch(url)


async def test_a_fifo_in_the_files_place_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "nearbucket.yaml"
    file.write_text("one")
    source = source_of(file)
    file.unlink()
    os.mkfifo(file)
    assert await source.changed()
    with pytest.raises(ConfigError, match=r"nearbucket\.yaml: is not a regular file; write a file"):
        await source.read()
    file.unlink()
    file.write_text("two")
    assert await source.changed()
    assert await source.read() == file


async def test_a_fifo_that_is_read_at_the_start_has_not_changed_by_that(tmp_path: Path) -> None:
    file = tmp_path / "nearbucket.yaml"
    os.mkfifo(file)
    os.utime(file, (0, 0))
    source = source_of(file)
    with ThreadPoolExecutor() as writer:
        writer.submit(file.write_text, "one")
        assert file.read_text() == "one"
    assert file.stat().st_mtime > 0
    assert not await source.changed()
