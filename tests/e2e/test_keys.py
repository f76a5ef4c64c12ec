"""Every legal key means one object: redirected or streamed, in whatever legal spelling.

Where the S3 server at hand can store a key, both ways are followed to the bytes; where it
cannot (``UNSTORED``, each with the reason), the path on the wire to S3 is compared instead.
"""

from __future__ import annotations

import asyncio
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import aiohttp
import pytest
from yarl import URL

from tests.build import FORWARDED, OUTSIDE, WEST, settings
from tests.programs import program
from tests.s3server import allow_anonymous, make_bucket
from tests.scripteds3 import Say, ScriptedS3, reply
from tests.serving import client_at, serving

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import LocalS3
    from tests.serving import Served

KEYS = {
    "plain": "keys/pack-1.0_amd64~rc1.tar.gz",
    "plus": "keys/g++-12_4:12.2+dfsg_amd64.deb",
    "plus alone": "keys/+",
    "space": "keys/a name with  two spaces.txt",
    "space at the ends": "keys/ around ",
    "percent": "keys/100%",
    "percent and digits": "keys/100%25 sure%",
    "literal %2B": "keys/sign%2B",
    "its plus": "keys/sign+",
    "literal %20": "keys/sign%20",
    "its space": "keys/sign ",
    "literal %25": "keys/sign%25",
    "its percent": "keys/sign%",
    "literal %2F": "keys/sign%2Fbelow",
    "its folder": "keys/sign/below",
    "literal %C3%A9": "keys/sign%C3%A9",
    "its letter": "keys/sign\u00e9",
    "brackets": "keys/[1] {2} (3) <4>",
    "colon": "keys/http:/host.example:80/x",
    "quotes": "keys/()!*'[]\"`",
    "hash": "keys/c#.txt#part",
    "question mark": "keys/what?versionId=1",
    "ampersand and equals": "keys/&a=b&=;",
    "at, dollar, comma": "keys/@scope/$1,00",
    "others of ASCII": "keys/^|~-_.",
    "composed": "keys/\u00e9t\u00e9.txt",
    "decomposed": "keys/e\u0301te\u0301.txt",
    "composed Hangul": "keys/\uac00",
    "decomposed Hangul": "keys/\u1100\u1161",
    "Angstrom sign": "keys/\u212b",
    "emoji": "keys/\U0001f600\U0001f468\u200d\U0001f469.png",
    "right to left": "keys/\u05e9\u05dc\u05d5\u05dd",
    "capitals": "keys/CAPITALS",
    "the same, small": "keys/capitals",
    "dots inside": "keys/a..b/v1...2",
    "dot first": "keys/.hidden/..two",
    "dot last": "keys/one./two..",
    "three dots": "keys/.../x",
    "1,024 bytes": "/".join(["y" * 200] * 5) + "/" + "z" * 19,
    "1,024 bytes, 3 each": "/".join(["\u20ac" * 85] * 4),
    "no folder": "+ %2B",
}  # fmt: skip
"""Each with a content of its own, so that one key taken for another shows."""

_ONE_SLASH = "SeaweedFS takes // for /"
_FOLDER = "SeaweedFS makes a folder of a key that ends in /, and drops its content"
UNSTORED = {
    "double slash": ("a//b.txt", _ONE_SLASH),
    "triple slash": ("a///b.txt", _ONE_SLASH),
    "slash first": ("/a.txt", _ONE_SLASH),
    "host in front": ("/evil.example/a.txt", _ONE_SLASH),
    "a URL": ("http://evil.example/a.txt", _ONE_SLASH),
    "slash last": ("folder/", _FOLDER),
    "slashes last": ("folder+//", _FOLDER),
    "slashes alone": ("//", _FOLDER),
    "1,024 bytes in one name": ("x" * 1024, "SeaweedFS takes names of up to 255 bytes"),
    "1,024 bytes, all encoded": ("+" * 1024, "SeaweedFS takes names of up to 255 bytes"),
}  # fmt: skip
"""Label to key and why it is not in ``KEYS``."""

REGIONAL = "us-west-2"
PRIVATE, PUBLIC = "keys", f"{REGIONAL}-keys"


def once(key: str) -> str:
    """The one encoding of S3's signature, written out (B4 of the facts)."""
    kept = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~/"
    return "".join(chr(byte) if byte in kept else f"%{byte:02X}" for byte in key.encode())


def spellings(key: str) -> set[str]:
    """What clients send for a key: as S3 encodes it, as browsers do, and to the last byte."""
    every = "".join("/" if byte == 0x2F else f"%{byte:02x}" for byte in key.encode())
    return {once(key), quote(key, safe="/~!$&'()*+,;=:@[]|\"<>^`{}"), every}


def content(key: str) -> bytes:
    """What is stored under a key."""
    return b"the object named " + key.encode()


def in_front_of(s3: LocalS3) -> Any:
    """The private bucket streams, the public one is redirected to."""
    target = {"bucket": PUBLIC, "region": REGIONAL, "endpoint": s3.server.endpoint}
    return settings(
        site={
            "origin": s3.entry(PRIVATE).model_dump(),
            "targets": {REGIONAL: target},
            "redirect": {"paths": ["*"], "scheme": "http"},
        },
        client_address=FORWARDED,
    )


def scripted(server: ScriptedS3) -> Any:
    """Both ways lead to the scripted server."""
    place = {"bucket": "downloads", "region": REGIONAL, "endpoint": server.endpoint}
    return settings(
        site={
            "origin": {**place, "credentials": "anonymous"},
            "targets": {REGIONAL: place},
            "redirect": {"paths": ["*"], "scheme": "http"},
        },
        client_address=FORWARDED,
    )


@pytest.fixture(scope="session")  # as long as the server: tests may come and go between processes
@cache  # pytest registers the fixtures of a module twice when arguments name it twice
def stored(s3: LocalS3) -> LocalS3:
    """The keys in two buckets of their own: one that only the origin's keys open, one public."""

    async def store() -> None:
        async with s3.server.client() as client:
            await make_bucket(client, PRIVATE)
            await make_bucket(client, PUBLIC, REGIONAL)
            await allow_anonymous(client, PUBLIC)
            for bucket in (PRIVATE, PUBLIC):
                for key in KEYS.values():
                    await client.put_object(Bucket=bucket, Key=key, Body=content(key))

    asyncio.run(store())
    return s3


async def location(served: Served, path: str) -> str:
    """Where a client in the region is sent."""
    answer = await served.get(path, client_at(WEST))
    assert answer.status == 301, answer
    return answer.headers["location"]


@pytest.mark.parametrize("fast_lane", [True, False], ids=["fast-lane", "aiohttp"])
@pytest.mark.parametrize("label", KEYS)
async def test_redirect_and_stream_reach_the_same_object_in_every_spelling(
    stored: LocalS3, label: str, *, fast_lane: bool
) -> None:
    key = KEYS[label]
    async with (
        serving(in_front_of(stored), fast_lane=fast_lane) as served,
        aiohttp.ClientSession() as anybody,
    ):
        for spelling in spellings(key):
            place = await location(served, f"/{spelling}")
            assert place == f"{stored.server.endpoint}/{PUBLIC}/{once(key)}"
            async with anybody.get(URL(place, encoded=True), allow_redirects=False) as answer:
                assert (answer.status, await answer.read()) == (200, content(key))
            streamed = await served.get(f"/{spelling}", client_at(OUTSIDE))
            assert (streamed.status, streamed.body) == (200, content(key))
            head = await served.get(f"/{spelling}", client_at(OUTSIDE), method="HEAD")
            assert head.headers["content-length"] == str(len(content(key)))


@pytest.mark.clients
@pytest.mark.parametrize("client", [WEST, OUTSIDE], ids=["redirected", "streamed"])
async def test_curl_fetches_every_key_by_either_way(
    stored: LocalS3, tmp_path: Path, client: str
) -> None:
    lines = [
        "silent",
        "show-error",
        "location",
        "globoff",
        "path-as-is",
        'proto = "=http"',
        f'header = "{client_at(client)}"',
    ]
    async with serving(in_front_of(stored)) as served:
        for number, key in enumerate(KEYS.values()):
            lines.append(f'url = "http://127.0.0.1:{served.port}/{once(key)}"')
            lines.append(f'output = "{tmp_path / str(number)}"')
        curl = await asyncio.create_subprocess_exec(
            program("curl"),
            "--disable",
            "--config",
            "-",
            stdin=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        _, complaint = await curl.communicate("\n".join(lines).encode())
    assert (curl.returncode, complaint) == (0, b"")
    fetched = [(tmp_path / str(number)).read_bytes() for number in range(len(KEYS))]
    assert fetched == [content(key) for key in KEYS.values()]


@pytest.mark.parametrize("fast_lane", [True, False], ids=["fast-lane", "aiohttp"])
@pytest.mark.parametrize("label", UNSTORED)
async def test_what_cannot_be_stored_here_has_one_path_on_the_wire(
    label: str, *, fast_lane: bool
) -> None:
    key, _ = UNSTORED[label]
    path = f"/downloads/{once(key)}"
    ways = sorted(spellings(key))
    says = [Say(reply("200 OK", b"it")) for _ in ways]
    async with (
        ScriptedS3(*says) as server,
        serving(scripted(server), fast_lane=fast_lane) as served,
    ):
        for spelling in ways:
            assert await location(served, f"/{spelling}") == server.endpoint + path
            assert (await served.get(f"/{spelling}", client_at(OUTSIDE))).body == b"it"
    assert [asked.target for asked in server.asked] == [path] * len(ways)


@pytest.mark.parametrize("label", UNSTORED)
async def test_the_server_at_hand_still_cannot_store_the_listed_exceptions(
    stored: LocalS3, label: str
) -> None:
    key, reason = UNSTORED[label]
    async with stored.server.client() as client:
        assert not await stores(client, key), f"no longer true, so move it to KEYS: {reason}"


async def stores(client: Any, key: str) -> bool:
    """Whether the key can be written, and is then a name of its own for what was written."""
    try:
        await client.put_object(Bucket=PRIVATE, Key=key, Body=content(key))
    except client.exceptions.ClientError:
        return False
    twin = "/".join(part for part in key.split("/") if part) or "none"
    own = await read(client, key) == content(key)
    return own and (twin == key or await read(client, twin) != content(key))


async def read(client: Any, key: str) -> bytes | None:
    """Content of an object of the private bucket; None when there is none."""
    try:
        answer = await client.get_object(Bucket=PRIVATE, Key=key)
    except client.exceptions.NoSuchKey:
        return None
    async with answer["Body"] as body:
        found: bytes = await body.read()
    return found


def test_every_key_is_another_one_and_legal() -> None:
    every = [*KEYS.values(), *(key for key, _ in UNSTORED.values())]
    assert len(set(every)) == len(every)
    assert len({once(key) for key in every}) == len(every)
    assert max(len(key.encode()) for key in every) == 1024
