"""Fetching the list, and the copy on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from aiohttp import encode_basic_auth, web
from aiohttp.test_utils import RawTestServer

from nearbucket.errors import RangesError
from nearbucket.regions import ip_ranges_source, prepared_list
from nearbucket.regions.ip_ranges import read_ranges
from nearbucket.regions.ip_ranges_source import (
    LARGEST,
    FetchError,
    RangesCache,
    fetch,
    ranges_in_use,
)
from nearbucket.regions.prepared_list import prepare_beside
from tests.build import settings
from tests.certificates import make_certificate
from tests.ranges_lists import GOOD, document
from tests.scripteds3 import Say, ScriptedS3, reply, without_tls

if TYPE_CHECKING:
    from collections.abc import Callable

ONE = document(GOOD, syncToken="1")
TWO = document(GOOD, syncToken="2")


async def served(answer: bytes, mark: str | None = None) -> tuple[bytes | None, str | None]:
    """The result of a fetch from a server that sends these bytes and closes the connection."""
    async with ScriptedS3(Say(answer, then="close")) as server:
        return await fetch(f"{server.endpoint}/", mark, 10.0)


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reach loopback without the proxy of the machine."""
    monkeypatch.setenv("NO_PROXY", "*")


async def test_the_etag_is_the_mark_of_a_download() -> None:
    answer = b'HTTP/1.1 200 OK\r\nETag: W/"a"\r\nContent-Length: 2\r\n\r\n{}'
    assert await served(answer) == (b"{}", 'W/"a"')
    assert await served(b"HTTP/1.1 304 Not Modified\r\n\r\n", '"a"') == (None, '"a"')


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", id="short-body"),
        pytest.param(b"HTTP/1.1 206 Partial\r\nContent-Length: 2\r\n\r\n{}", id="part"),
        pytest.param(b"HTTP/1.1 304 Not Modified\r\n\r\n", id="304-unasked"),
        pytest.param(b"SSH-2.0-OpenSSH_9.6\r\n\r\n", id="no-http"),
        pytest.param(b"", id="hangs-up"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
            id="not-the-encoding-it-says",
        ),
    ],
)
async def test_anything_but_a_whole_200_is_no_document(answer: bytes) -> None:
    with pytest.raises(FetchError, match=r"^regions\.source: "):
        await served(answer)


@pytest.mark.parametrize(
    "source",
    [
        *("http://", "https://:x/", "http://a b/", "http://127.0.0.1:1/", "http://\0/"),
        *("ftp://127.0.0.1/x", "/no/such/file", "/", "\0", "~nobody-of-this-name/list"),
    ],
    ids=ascii,
)
async def test_a_source_that_cannot_be_read_is_a_failure_not_a_crash(source: str) -> None:
    with pytest.raises(FetchError, match=r"^regions\.source: "):
        await fetch(source, None, 10.0)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_why_a_server_is_not_reached_is_told_in_words(scheme: str) -> None:
    with pytest.raises(FetchError) as raised:
        await fetch(f"{scheme}://127.0.0.1:1/ranges.json", None, 10.0)
    assert str(raised.value) == "regions.source: 127.0.0.1 cannot be reached: Connection refused"


async def test_no_authorities_are_read_for_a_server_without_tls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr("ssl.create_default_context", None)
    async with ScriptedS3(Say(reply("200 OK", ONE))) as server:
        assert (await fetch(f"{server.endpoint}/", None, 10.0))[0] == ONE


async def test_a_server_that_speaks_no_tls_is_told_as_that() -> None:
    async with without_tls() as url:
        with pytest.raises(FetchError, match=r"cannot be reached: \[SSL: WRONG_VERSION_NUMBER\]"):
            await fetch(f"{url}/", None, 10.0)


async def test_a_server_is_trusted_if_the_authorities_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = make_certificate(tmp_path, "lists.example")
    async with ScriptedS3(Say(reply("200 OK", ONE)), tls=tls) as server:
        with pytest.raises(FetchError, match="self-signed certificate"):
            await fetch(f"{server.endpoint}/", None, 10.0)
        assert server.asked == []
        monkeypatch.setenv("SSL_CERT_FILE", str(tls.certificate))
        body, _ = await fetch(f"{server.endpoint}/", None, 10.0)
        assert body == ONE
        with pytest.raises(FetchError, match="Hostname mismatch"):
            await fetch(f"{server.endpoint.replace('127.0.0.1', 'localhost')}/", None, 10.0)


async def test_a_file_is_read_again_only_when_it_changed(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    path.write_bytes(ONE)
    body, mark = await fetch(str(path), None, 10.0)
    assert body == ONE
    assert await fetch(str(path), mark, 10.0) == (None, mark)
    (tmp_path / "new").write_bytes(TWO)
    (tmp_path / "new").replace(path)
    assert (await fetch(str(path), mark, 10.0))[0] == TWO


async def test_a_file_larger_than_any_list_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "list.json").open("wb") as file:
        file.truncate(LARGEST + 1)
    with pytest.raises(RangesError, match="larger than"):
        await fetch(str(tmp_path / "list.json"), None, 10.0)


def test_a_copy_comes_back_with_its_mark_and_its_age(tmp_path: Path) -> None:
    cache = RangesCache(tmp_path / "deep" / "list.json", "http://a/")
    cache.save(ONE, '"one"', read_ranges(ONE))
    cache.touch(500.0)
    copy = cache.load()
    assert (copy.ranges.token, copy.mark, copy.confirmed_at) == (1, '"one"', 500.0)
    assert (tmp_path / "deep" / "list.json").stat().st_mode & 0o777 == 0o644


def test_the_token_of_another_sources_copy_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    RangesCache(path, "http://a/").save(ONE, None, read_ranges(ONE), forced=True)
    other = RangesCache(path, "http://b/")
    with pytest.raises(RangesError, match="a copy of another source, 'http://a/'"):
        other.load()
    assert not other.confirms(read_ranges(ONE))


def test_a_copy_confirms_its_list_if_it_was_forced_and_goes_on_doing_so(tmp_path: Path) -> None:
    cache, one = RangesCache(tmp_path / "list.json", "http://a/"), read_ranges(ONE)
    assert not cache.confirms(one)
    cache.save(ONE, None, one)
    assert not cache.confirms(one)
    cache.save(ONE, None, one, forced=True)
    cache.save(ONE, '"one"', one)  # the same list, fetched once more
    assert (cache.confirms(one), cache.confirms(read_ranges(TWO))) == (True, False)
    cache.save(TWO, None, read_ranges(TWO))
    assert not cache.confirms(read_ranges(TWO))


@pytest.mark.parametrize("secret", ["user:pa%40ss@", "t0ken@", "u:p?w@", "u:p/w@"])
async def test_a_password_in_the_url_is_neither_kept_nor_shown(secret: str, tmp_path: Path) -> None:
    url, one = f"http://{secret}127.0.0.1:9/list?sig=s3cret", read_ranges(ONE)
    path = tmp_path / "list.json"
    RangesCache(path, url).save(ONE, None, one)
    assert RangesCache(path, url.replace(secret, "another@")).load().ranges == one
    with pytest.raises(RangesError) as other:
        RangesCache(path, "http://b/").load()
    with pytest.raises(FetchError) as failed:
        await fetch(url, None, 10.0)
    said = (tmp_path / "list.json.meta").read_text() + str(other.value) + str(failed.value)
    assert not [word for word in (secret[:-1], "pa%40ss", "w@", "s3cret") if word in said]


async def test_the_password_in_the_url_is_sent() -> None:
    seen: list[str] = []

    async def answer(request: web.BaseRequest) -> web.Response:
        seen.append(request.headers["Authorization"])
        return web.Response(body=ONE)

    async with RawTestServer(answer) as server:
        url = str(server.make_url("/").with_user("user").with_password("p@ss"))
        assert (await fetch(url, None, 10.0))[0] == ONE
    assert seen == [encode_basic_auth("user", "p@ss")]


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda path: path.unlink(), id="missing"),
        pytest.param(lambda path: path.write_bytes(b"junk"), id="junk"),
        pytest.param(lambda path: path.write_bytes(b"[]"), id="list"),
        pytest.param(lambda path: path.write_bytes(b"{}"), id="empty"),
        pytest.param(
            lambda path: path.write_text(
                json.dumps({"source": "http://a/", "token": 2, "mark": '"two"'})
            ),
            id="of-the-next-document",
        ),
    ],
)
def test_a_copy_without_a_note_that_fits_is_used_without_a_mark(
    spoil: Callable[[Path], object], tmp_path: Path
) -> None:
    cache = RangesCache(tmp_path / "list.json", "http://a/")
    cache.save(ONE, '"one"', read_ranges(ONE))
    spoil(tmp_path / "list.json.meta")
    assert (cache.load().ranges.token, cache.load().mark) == (1, None)


def test_a_copy_whose_note_names_no_source_is_not_used(tmp_path: Path) -> None:
    cache = RangesCache(tmp_path / "list.json", "http://a/")
    cache.save(ONE, '"one"', read_ranges(ONE))
    (tmp_path / "list.json.meta").write_text('{"source": 5, "token": 1, "mark": "one"}')
    with pytest.raises(RangesError, match="a copy of another source"):
        cache.load()


def test_a_copy_is_read_from_its_prepared_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = RangesCache(tmp_path / "list.json", "http://a/")
    cache.save(ONE, '"one"', read_ranges(ONE))
    monkeypatch.setattr(ip_ranges_source, "read_ranges", None)
    copy = cache.load()
    assert (copy.ranges, copy.mark) == (read_ranges(ONE), '"one"')


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda path: path.unlink(), id="missing"),
        pytest.param(lambda path: path.write_bytes(b""), id="empty"),
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[:-1]), id="cut"),
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[:-1] + b" "), id="changed"),
        pytest.param(
            lambda path: path.write_bytes(prepare_beside(ONE, read_ranges(ONE))),
            id="of-the-document-before",
        ),
    ],
)
def test_a_prepared_form_that_does_not_fit_its_copy_is_not_used(
    spoil: Callable[[Path], object], tmp_path: Path
) -> None:
    cache = RangesCache(tmp_path / "list.json", "http://a/")
    cache.save(TWO, None, read_ranges(TWO))
    spoil(tmp_path / "list.json.prepared")
    assert cache.load().ranges == read_ranges(TWO)


def test_a_prepared_form_of_another_version_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = RangesCache(tmp_path / "list.json", "http://a/")
    cache.save(ONE, None, read_ranges(TWO))  # as if that version had read it otherwise
    assert cache.load().ranges == read_ranges(TWO)
    monkeypatch.setattr(prepared_list, "__version__", "0.0.9")
    assert cache.load().ranges == read_ranges(ONE)


def test_a_prepared_form_that_cannot_be_written_costs_nothing_but_time(tmp_path: Path) -> None:
    cache = RangesCache(tmp_path / "list.json", "http://a/")
    cache.save(ONE, '"one"', read_ranges(ONE))
    prepared = tmp_path / "list.json.prepared"
    prepared.unlink()
    (prepared / "a folder of someone else").mkdir(parents=True)
    cache.save(TWO, '"two"', read_ranges(TWO), forced=True)
    copy = cache.load()
    assert (copy.ranges, copy.mark, copy.forced) == (read_ranges(TWO), '"two"', True)
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("name", ["list.json", "list.json.meta"])
def test_a_copy_that_cannot_be_written_names_its_file(name: str, tmp_path: Path) -> None:
    cache = RangesCache(tmp_path / "list.json", "http://a/")
    (tmp_path / name / "a folder of someone else").mkdir(parents=True)
    with pytest.raises(OSError, match="Is a directory") as failed:
        cache.save(ONE, None, read_ranges(ONE))
    assert (failed.value.filename, failed.value.filename2) == (str(tmp_path / name), None)


def test_a_copy_that_cannot_be_written_leaves_the_old_one_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = RangesCache(tmp_path / "list.json", "http://a/")
    cache.save(ONE, None, read_ranges(ONE))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        cache.save(TWO, None, read_ranges(TWO))
    assert cache.load().ranges.token == 1
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.usefixtures("no_home_folder")
def test_a_user_without_a_home_has_no_copy() -> None:
    cache = RangesCache(Path("~/cache.json"), "http://a/")
    for access in (cache.load, lambda: cache.touch(1.0)):
        with pytest.raises(FileNotFoundError, match="there is no such home folder") as error:
            access()
        assert error.value.filename == "~/cache.json"


def test_a_copy_in_the_home_of_a_user_who_does_not_exist_makes_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cache = RangesCache(Path("~no-such-user/cache.json"), "http://a/")
    with pytest.raises(FileNotFoundError, match="home folder"):
        cache.save(TWO, None, read_ranges(TWO))
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("no_home_folder")
def test_a_user_without_a_home_has_the_built_in_list_in_commands() -> None:
    found = ranges_in_use(settings().regions, None)
    assert found is not None
    assert found.built_in
