"""Where the list comes from: a URL or a file, and the last good copy on disk.

A *mark* stands for the version of a document: an ETag, or a file's size, inode and change time.
"""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from errno import ENOENT
from pathlib import Path
from typing import TYPE_CHECKING

from nearbucket import __version__
from nearbucket.config.regular_file import expanded, read_regular_file
from nearbucket.config.value_types import without_secrets
from nearbucket.errors import ConfigError, ProxyError, RangesError
from nearbucket.regions.built_in_list import built_in_list
from nearbucket.regions.ip_ranges import read_ranges
from nearbucket.regions.prepared_list import prepare_beside, read_beside

if TYPE_CHECKING:
    from nearbucket.config.settings import Regions
    from nearbucket.regions.ip_ranges import Ranges

LARGEST = 32 * 2**20
"""Most bytes of a document; the list of 2026-07-29 has 2.5 million."""

_OK, _NOT_MODIFIED = 200, 304


class FetchError(ProxyError):
    """The source did not return a document."""


@dataclass(frozen=True, slots=True)
class CachedRanges:
    """A list from disk.

    Attributes:
        ranges: The list.
        mark: Its mark, or None.
        confirmed_at: Unix time at which the source last confirmed it.
        forced: Whether ``ranges update --force`` wrote it.
    """

    ranges: Ranges
    mark: str | None
    confirmed_at: float
    forced: bool


class RangesCache:
    """The last good document on disk, with two files beside it.

    ``.prepared`` has the same list in the form that ``prepared_list.py`` reads. ``.meta`` has the
    source, because tokens of different sources cannot be compared; the token, because the files are
    not replaced at one instant; the mark; and whether the document was confirmed by ``ranges update
    --force``.
    """

    def __init__(self, path: Path, source: str) -> None:
        self._path, self._source = path, without_secrets(source)

    def load(self) -> CachedRanges:
        """The copy.

        Raises:
            OSError: It cannot be read.
            RangesError: It is not a list, or it is from another source.
        """
        path = _in_home(self._path)
        document, changed = _read(path), path.stat().st_mtime
        ranges = self._prepared(path, document)
        if ranges is None:
            ranges = read_ranges(document)
            self._prepare(path, document, ranges)  # of another version, for example
        try:
            meta = json.loads(_beside(path, "meta").read_bytes())
            source, token, mark = without_secrets(str(meta["source"])), meta["token"], meta["mark"]
            forced = meta.get("forced") is True
        except (OSError, ValueError, TypeError, KeyError):
            return CachedRanges(ranges, None, changed, forced=False)
        if source != self._source:
            raise RangesError(f"{path} is a copy of another source, {source!r}")
        good = token == ranges.token
        usable = mark if good and isinstance(mark, str) else None
        return CachedRanges(ranges, usable, changed, forced=good and forced)

    @staticmethod
    def _prepared(path: Path, document: bytes) -> Ranges | None:
        try:
            return read_beside(document, _read(_beside(path, "prepared")))
        except (OSError, RangesError):
            return None

    @staticmethod
    def _prepare(path: Path, document: bytes, ranges: Ranges) -> None:
        with suppress(OSError):  # without it the copy is read more slowly
            _replace(_beside(path, "prepared"), prepare_beside(document, ranges))

    def confirms(self, ranges: Ranges) -> bool:
        """Whether the copy is this list, and was written by ``ranges update --force``."""
        try:
            copy = self.load()
        except (OSError, RangesError):
            return False
        return copy.forced and copy.ranges.is_same_list(ranges)

    def save(self, body: bytes, mark: str | None, ranges: Ranges, *, forced: bool = False) -> None:
        """Write a document and what it contains; raises OSError."""
        forced = forced or self.confirms(ranges)
        path = _in_home(self._path)
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, body)
        meta = {"source": self._source, "token": ranges.token, "mark": mark, "forced": forced}
        _replace(_beside(path, "meta"), json.dumps(meta).encode())
        self._prepare(path, body, ranges)

    def touch(self, now: float) -> None:
        """Set the time at which the source last confirmed the copy; raises OSError."""
        os.utime(_in_home(self._path), (now, now))


async def fetch(source: str, mark: str | None, patience: float) -> tuple[bytes | None, str | None]:
    """The document and its mark; None for a document that ``mark`` still stands for.

    Raises:
        FetchError: The source cannot be read.
        RangesError: The document is larger than ``LARGEST``.
    """
    import asyncio  # noqa: PLC0415

    import aiohttp  # noqa: PLC0415  # takes 0.2 s, and most commands fetch nothing

    try:
        if source.startswith(("https://", "http://")):
            return await asyncio.wait_for(_download(source, mark), patience)
        return await asyncio.to_thread(_read_changed, source, mark)
    except TimeoutError as error:
        raise FetchError(f"regions.source: no whole answer within {patience:g} s") from error
    except aiohttp.ClientConnectorCertificateError as error:  # a ValueError, too
        raise FetchError(f"regions.source: {error.certificate_error}") from error
    except aiohttp.ClientConnectorError as error:
        why = _reason(error.os_error)
        raise FetchError(f"regions.source: {error.host} cannot be reached: {why}") from error
    except ValueError as error:  # its text may be the URL, with a password
        raise FetchError("regions.source: not a URL or path that can be read") from error
    except (aiohttp.ClientError, OSError) as error:
        why = str(error) or type(error).__name__
        if isinstance(error, OSError) and error.filename:
            why = f"{error.filename}: {error.strerror}"
        raise FetchError(f"regions.source: {why}") from error


def _reason(error: OSError) -> str:
    """Why a connection failed. asyncio's own text of a system error has only the address."""
    number = error.errno or 0
    is_of_system = number > 0 and type(error).__module__ == "builtins"  # not of TLS
    return os.strerror(number) if is_of_system else error.strerror or str(error)


async def _download(url: str, mark: str | None) -> tuple[bytes | None, str | None]:
    """GET, with the ETag as mark. Redirects are refused: they come from captive portals."""
    import asyncio  # noqa: PLC0415  # as in ``fetch``
    import ssl  # noqa: PLC0415
    from urllib.request import getproxies  # noqa: PLC0415

    import aiohttp  # noqa: PLC0415

    by_way_of = getproxies().get("http", "")
    secure = url.startswith("https:") or by_way_of.startswith("https:")
    tls = await asyncio.to_thread(ssl.create_default_context) if secure else None
    headers = {"User-Agent": f"nearbucket/{__version__}"}
    if mark is not None:
        headers["If-None-Match"] = mark
    async with (
        aiohttp.ClientSession(trust_env=True) as session,
        session.get(url, headers=headers, allow_redirects=False, ssl=tls or True) as answer,
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
    """A file, with its change time, size and inode as mark."""
    path = _in_home(Path(source))
    found = path.stat()
    now = f"{found.st_mtime_ns}-{found.st_size}-{found.st_ino}"
    return (None if now == mark else _read(path)), now


def _read(path: Path) -> bytes:
    body = read_regular_file(path, LARGEST + 1)
    if len(body) > LARGEST:
        raise RangesError(f"larger than {LARGEST} bytes")
    return body


def _replace(path: Path, body: bytes) -> None:
    """Replace a file at once, so that it is whole for readers and after a crash.

    An OSError names the file, not the temporary one.
    """
    try:
        _write_and_move(path, body)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _write_and_move(path: Path, body: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(body)
            file.flush()
            os.fchmod(handle, 0o644)  # public data; commands may be run by other users
            os.fsync(handle)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _beside(path: Path, kind: str) -> Path:
    return path.with_name(f"{path.name}.{kind}")


def _in_home(path: Path) -> Path:
    """A path with the home folder for ``~``; raises OSError if there is no such folder."""
    found = expanded(path)
    if found == path and str(path).startswith("~"):
        raise FileNotFoundError(ENOENT, "there is no such home folder", str(path))
    return found


def read_ranges_file(path: Path, option: str = "") -> Ranges:
    """The list in a file.

    Args:
        path: The file.
        option: The option that named it, with a space behind it, for messages; empty without one.

    Raises:
        ConfigError: The file cannot be read.
        RangesError: It is not a list.
    """
    try:
        return read_ranges(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{option}{path}: {error.strerror}") from None
    except RangesError as error:
        raise RangesError(f"{option}{path}: {error}") from None


def ranges_in_use(settings: Regions, override: Path | None) -> Ranges | None:
    """The list of ``--ranges``, of a source that is a file, or the one that ``serve`` starts with.

    That is the copy on disk, or the built-in list if that is newer; None if there is neither.
    """
    if override is not None:
        return read_ranges_file(override, "--ranges ")
    for path in map(expanded, (Path(settings.source), settings.cache)):
        if path.is_file():
            copy = read_ranges_file(path)
            return built_in_list(settings.source, newer_than=copy.token) or copy
    return built_in_list(settings.source)
