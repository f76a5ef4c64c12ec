"""A signed Location opens one private object to one method, for a while, and then no more."""

from __future__ import annotations

import re
import time
from calendar import timegm
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from nearbucket.config.buckets import KeyFiles
from nearbucket.policy.object_keys import encode_key
from nearbucket.s3 import credentials as credentials_module
from nearbucket.s3 import presigner as module
from nearbucket.s3.credentials import ANONYMOUS, Credentials, SdkCredentials
from nearbucket.s3.presigner import SHORTEST, Presigner
from nearbucket.s3.sigv4 import Signer, SigningScope, presign

if TYPE_CHECKING:
    from pathlib import Path

    from aiohttp import ClientSession

    from tests.conftest import LocalS3

PAGE = "https://downloads.s3.us-west-2.amazonaws.com/a.tar.gz"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time by which URLs are signed, to be set."""
    now = [time.time()]
    monkeypatch.setattr(module, "time", lambda: now[0])
    return now


class Held(SdkCredentials):
    """A credential chain with fixed credentials."""

    def __init__(self, credentials: Credentials | None) -> None:
        super().__init__()
        self.held = credentials

    def current(self) -> Credentials | None:
        return self.held


def holder_of(credentials: Credentials | None, life: float) -> tuple[Presigner, Held]:
    held = Held(credentials)
    return Presigner(Signer("ambient", "us-west-2", ambient=held), life), held


def signed(presigner: Presigner, method: str = "GET", url: str = PAGE) -> str:
    found = presigner.location(method, url)
    assert found is not None
    return found


def span(url: str) -> tuple[int, int]:
    """The Unix times between which a signed URL is valid."""
    query = parse_qs(urlsplit(url).query)
    since = timegm(time.strptime(query["X-Amz-Date"][0], "%Y%m%dT%H%M%SZ"))
    return since, since + int(query["X-Amz-Expires"][0])


def of_bucket(s3: LocalS3, life: float = 900) -> Presigner:
    return Presigner(Signer(s3.files, "us-east-1"), life)


def address(s3: LocalS3, key: str) -> str:
    return f"{s3.server.endpoint}/{s3.private}/{encode_key(key)}"


async def asked(session: ClientSession, method: str, url: str, **headers: str) -> tuple[int, bytes]:
    async with session.request(method, URL(url, encoded=True), headers=headers) as response:
        return response.status, await response.read()


async def test_it_opens_every_private_object_to_who_has_no_credentials(
    s3: LocalS3, session: ClientSession
) -> None:
    presigner = of_bucket(s3)
    for key, content in s3.objects.items():
        url = address(s3, key)
        status, body = await asked(session, "GET", signed(presigner, "GET", url))
        assert (status, body) == (200, content), key
        assert await asked(session, "HEAD", signed(presigner, "HEAD", url)) == (200, b"")
        assert (await asked(session, "GET", url))[0] == 403


async def test_it_opens_an_object_for_which_the_requester_pays(
    s3: LocalS3, session: ClientSession
) -> None:
    also = s3.entry(request_payer=True).request_fields
    url = signed(
        Presigner(Signer(s3.files, "us-east-1", also=also), 900), "GET", address(s3, "a+b c%.txt")
    )
    assert "&x-amz-request-payer=requester&" in url
    assert await asked(session, "GET", url) == (200, s3.objects["a+b c%.txt"])
    stripped = url.replace("&x-amz-request-payer=requester", "")
    assert (await asked(session, "GET", stripped))[0] == 403


async def test_its_holder_may_ask_for_a_part_and_set_conditions(
    s3: LocalS3, session: ClientSession
) -> None:
    url = signed(of_bucket(s3), "GET", address(s3, "text.txt"))
    assert await asked(session, "GET", url, Range="bytes=0-4") == (206, b"Hello")
    assert (await asked(session, "GET", url, **{"If-None-Match": "*"}))[0] == 304


@pytest.mark.parametrize(
    ("signed_for", "sent"),
    [("HEAD", "GET"), ("GET", "HEAD"), ("GET", "PUT"), ("GET", "DELETE")],
)
async def test_it_is_refused_to_other_methods(
    s3: LocalS3, session: ClientSession, signed_for: str, sent: str
) -> None:
    url = signed(of_bucket(s3), signed_for, address(s3, "never-written"))
    assert (await asked(session, signed_for, url))[0] == 404
    assert (await asked(session, sent, url))[0] == 403


async def test_it_opens_no_other_object(s3: LocalS3, session: ClientSession) -> None:
    url = signed(of_bucket(s3), "GET", address(s3, "text.txt"))
    assert (await asked(session, "GET", url.replace("text.txt", "one.bin")))[0] == 403


async def test_it_is_refused_after_its_life(
    s3: LocalS3, session: ClientSession, clock: list[float]
) -> None:
    clock[0] -= 60
    url = address(s3, "text.txt")
    assert (await asked(session, "GET", signed(of_bucket(s3, 120), "GET", url)))[0] == 200
    assert (await asked(session, "GET", signed(of_bucket(s3, 59), "GET", url)))[0] == 403


@given(
    st.floats(60, 604_800),
    st.none() | st.floats(0, 43_200),
    st.lists(st.floats(-100, 7200), max_size=20),
)
def test_no_location_outlives_its_credentials_or_has_less_than_half_its_life_left(
    life: float, left: float | None, steps: list[float]
) -> None:
    now = start = 1_790_000_000.5
    ends = None if left is None else start + left
    presigner, _ = holder_of(Credentials("A", "S", "T", ends), life)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "time", lambda: now)
        for step in [0.0, *steps]:
            now += step
            url = presigner.location("GET", PAGE)
            assert (url is None) == (ends is not None and ends - now < SHORTEST)
            if url is not None:
                since, until = span(url)
                assert since <= now
                assert until - since <= life
                assert ends is None or until <= ends
                assert until - now >= (until - since) / 2 - 1


def test_it_is_signed_anew_after_half_its_life_and_when_the_clock_was_set_back(
    clock: list[float],
) -> None:
    presigner, _ = holder_of(Credentials("A", "S"), 900)
    clock[0] = 1_790_000_000.0
    first = signed(presigner)
    clock[0] += 449
    assert signed(presigner) is first
    clock[0] += 1
    second = signed(presigner)
    assert span(second) == (1_790_000_450, 1_790_001_350)
    clock[0] -= 100
    assert span(signed(presigner))[0] == 1_790_000_350


def test_each_method_and_url_has_its_own(clock: list[float]) -> None:
    presigner, _ = holder_of(Credentials("A", "S"), 900)
    asked = [("GET", PAGE), ("HEAD", PAGE), ("GET", f"{PAGE}.asc")]
    made = [signed(presigner, *one) for one in asked]
    clock[0] += 1
    assert len(set(made)) == 3
    assert [signed(presigner, *one) for one in asked] == made


def test_what_is_remembered_is_bounded() -> None:
    presigner, _ = holder_of(Credentials("A", "S"), 900)
    for number in range(module._MOST_URLS + 10):
        signed(presigner, "GET", f"{PAGE}.{number}")
        assert len(presigner._made) <= module._MOST_URLS


def test_new_credentials_sign_anew() -> None:
    presigner, held = holder_of(Credentials("OLD", "S"), 900)
    assert "=OLD%2F" in signed(presigner)
    held.held = Credentials("NEW", "S", "T")
    assert "=NEW%2F" in signed(presigner)


@pytest.mark.parametrize("credentials", [None, ANONYMOUS])
def test_nobody_signs_nothing(credentials: Credentials | None) -> None:
    presigner, held = holder_of(Credentials("A", "S"), 900)
    signed(presigner)
    held.held = credentials
    assert presigner.location("GET", PAGE) is None


def test_an_anonymous_bucket_has_no_signed_location() -> None:
    assert Presigner(Signer("anonymous", "us-west-2"), 900).location("GET", PAGE) is None


def test_key_files_that_are_gone_are_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials_module, "_HOLD", -1.0)
    files = KeyFiles(access_key_file=tmp_path / "access", secret_key_file=tmp_path / "secret")
    presigner = Presigner(Signer(files, "us-west-2"), 900)
    assert presigner.location("GET", PAGE) is None
    files.access_key_file.write_text("AKID")
    files.secret_key_file.write_text("secret")
    assert "=AKID%2F" in signed(presigner)
    files.secret_key_file.unlink()
    assert presigner.location("GET", PAGE) is None


async def test_ambient_credentials_are_not_waited_for() -> None:
    class Key:
        access_key, secret_key, token = "AKID", "secret", "token"

        async def get_frozen_credentials(self) -> Key:
            return self

    async def load() -> Key:
        return Key()

    ambient = SdkCredentials(load)
    presigner = Presigner(Signer("ambient", "us-west-2", ambient=ambient), 900)
    assert presigner.location("GET", PAGE) is None
    await ambient.get()
    assert "X-Amz-Security-Token=token&X-Amz-Signature=" in signed(presigner)


@pytest.mark.parametrize(
    ("given_url", "base"),
    [
        ("https://h.example:443/a", "https://h.example/a"),
        ("http://h.example:80/a", "http://h.example/a"),
        ("http://h.example:443/a", "http://h.example:443/a"),
        ("https://H.Example:8443/A", "https://h.example:8443/A"),
        ("http://[2001:DB8::1]:8333/a", "http://[2001:db8::1]:8333/a"),
        ("https://[2001:db8::443]/a", "https://[2001:db8::443]/a"),
    ],
)
def test_the_host_is_signed_as_clients_send_it(
    given_url: str, base: str, clock: list[float]
) -> None:
    credentials = Credentials("A", "S")
    host, path = URL(base).host_port_subcomponent or "", urlsplit(base).path
    query = presign(SigningScope.of(credentials, "us-west-2", clock[0]), "GET", path, host, 900)
    presigner, _ = holder_of(credentials, 900)
    assert signed(presigner, "GET", given_url) == f"{base}?{query}"


def test_no_text_of_it_shows_a_signed_url() -> None:
    presigner, _ = holder_of(Credentials("A", "hidden"), 900)
    signature = re.escape(signed(presigner).rpartition("=")[2])
    texts = repr(presigner), repr(presigner._made)
    assert not any(re.search(f"{signature}|X-Amz|hidden", text) for text in texts)
