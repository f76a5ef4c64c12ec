"""Where the list comes from: the source, and beside it the last good copy on disk.

In: a URL or a path, and the mark of what is already known (an ETag, or a file's change time).
Out: a document's bytes, or None for "still the same"; and a copy that survives crashes and
restarts. Refuses to know which list is good enough to use: that is ``feed.py``.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp

from nearbucket import __version__
from nearbucket.errors import ConfigError, ProxyError, RangesError
from nearbucket.regions.ip_ranges import read_ranges

if TYPE_CHECKING:
    from nearbucket.config.settings import Regions
    from nearbucket.regions.ip_ranges import Ranges

LARGEST = 32 * 2**20
"""Bytes of a document; the list of 2026-07-29 has 2.5 million."""

_OK, _NOT_MODIFIED = 200, 304


class FetchError(ProxyError):
    """The source gave no document."""


@dataclass(frozen=True, slots=True)
class CachedRanges:
    """A document from disk, its mark, and when the source last confirmed it."""

    ranges: Ranges
    mark: str | None
    confirmed_at: float


class RangesCache:
    """The last good document on disk, and beside it (``.meta``) where it came from.

    ``.meta`` holds source, token and mark: the source, because the token of one source says
    nothing about another's; the token, because the two files are not replaced at one instant.
    """

    def __init__(self, path: Path, source: str) -> None:
        self._path, self._source = path, source

    def load(self) -> CachedRanges:
        """The copy.

        Raises:
            OSError: It cannot be read.
            RangesError: It is not a list, or it is another source's.
        """
        path = _expanded(self._path)
        ranges, changed = read_ranges(_read(path)), path.stat().st_mtime
        try:
            meta = json.loads(_beside(path).read_bytes())
            source, token, mark = meta["source"], meta["token"], meta["mark"]
        except (OSError, ValueError, TypeError, KeyError):
            return CachedRanges(ranges, None, changed)
        if source != self._source:
            raise RangesError(f"{path} is a copy of another source, {source!r}")
        good = token == ranges.token and isinstance(mark, str)
        return CachedRanges(ranges, mark if good else None, changed)

    def holds(self, token: int) -> bool:
        """Whether the copy is the list with this token."""
        try:
            return self.load().ranges.token == token
        except (OSError, RangesError):
            return False

    def save(self, body: bytes, mark: str | None, token: int) -> None:
        """Keep a document; raises OSError."""
        path = _expanded(self._path)
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, body)
        meta = {"source": self._source, "token": token, "mark": mark}
        _replace(_beside(path), json.dumps(meta).encode())

    def touch(self, now: float) -> None:
        """Note that the source confirmed the copy; raises OSError."""
        os.utime(_expanded(self._path), (now, now))


async def fetch(source: str, mark: str | None, patience: float) -> tuple[bytes | None, str | None]:
    """The document, or None when it still is what ``mark`` stands for; and its mark.

    Raises:
        FetchError: Nothing usable came.
        RangesError: It is larger than any list.
    """
    try:
        if source.startswith(("https://", "http://")):
            return await asyncio.wait_for(_download(source, mark), patience)
        return await asyncio.to_thread(_read_changed, source, mark)
    except TimeoutError as error:
        raise FetchError(f"regions.source: no whole answer within {patience:g} s") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise FetchError(f"regions.source: {error or type(error).__name__}") from error


async def _download(url: str, mark: str | None) -> tuple[bytes | None, str | None]:
    """GET, with the ETag as mark. A redirect is refused: a captive portal sends those."""
    headers = {"User-Agent": f"nearbucket/{__version__}"}
    if mark is not None:
        headers["If-None-Match"] = mark
    async with (
        aiohttp.ClientSession(trust_env=True) as session,
        session.get(url, headers=headers, allow_redirects=False) as answer,
    ):
        if answer.status == _NOT_MODIFIED and mark is not None:
            return None, mark
        if answer.status != _OK:
            raise FetchError(f"regions.source: status {answer.status}")
        body = bytearray()
        async for chunk in answer.content.iter_any():
            body += chunk
            if len(body) > LARGEST:
                raise RangesError(f"larger than {LARGEST} bytes")
        return bytes(body), answer.headers.get("ETag")


def _read_changed(source: str, mark: str | None) -> tuple[bytes | None, str]:
    """A file, with its identity and change time as mark."""
    path = _expanded(Path(source))
    found = path.stat()
    now = f"{found.st_mtime_ns}-{found.st_size}-{found.st_ino}"
    return (None if now == mark else _read(path)), now


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        body = file.read(LARGEST + 1)
    if len(body) > LARGEST:
        raise RangesError(f"larger than {LARGEST} bytes")
    return body


def _replace(path: Path, body: bytes) -> None:
    """Write so that readers, and the next start after a crash, find a whole file."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(body)
            file.flush()
            os.fchmod(handle, 0o644)  # public data, and other users run the commands
            os.fsync(handle)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.meta")


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError as error:  # a container's user may have no home
        raise OSError(f"{path}: {error}") from error


def read_ranges_file(path: Path) -> Ranges:
    """The list in a file.

    Raises:
        ConfigError: The file cannot be read.
        RangesError: It is no list.
    """
    try:
        return read_ranges(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except RangesError as error:
        raise RangesError(f"{path}: {error}") from None


def ranges_in_use(settings: Regions, override: Path | None) -> Ranges | None:
    """The list of ``--ranges``, of a file source, or the cached copy; None without any."""
    if override is not None:
        return read_ranges_file(override)
    for path in (Path(settings.source).expanduser(), settings.cache.expanduser()):
        if path.is_file():
            return read_ranges_file(path)
    return None
