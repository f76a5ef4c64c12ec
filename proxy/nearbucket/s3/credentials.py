"""Who signs: credentials of the AWS SDK's own chain, or of two files.

In: nothing, or the names of the files. Out: ``Credentials`` that are good now. Refuses to know
what is signed with them.
"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from nearbucket.errors import OriginError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from nearbucket.config.buckets import KeyFiles

_HOLD = 1.0
"""Seconds for which an answer of the credential chain, good or bad, is not asked for again."""
_GOOD = 540.0
"""Seconds for which credentials serve after the chain last vouched for them, whatever a refresh
does: it hands out none with less than 10 minutes left (``_mandatory_refresh_timeout``)."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who signs. What has to stay secret is left out of ``repr``, and so of logs and errors.

    Attributes:
        access_key: Access key id.
        secret_key: Secret access key.
        token: Session token of temporary credentials, or None.
        expires: Unix time from which on S3 refuses what they signed; None when there is none,
            or nobody says.
    """

    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)
    expires: float | None = None


ANONYMOUS = Credentials("", "")
"""Nobody: requests go out unsigned."""


class SdkCredentials:
    """The AWS SDK's own credential chain, asked at most once a second and never twice at once.

    Requests do not wait for a refresh while the credentials they have are still good, so two
    hundred of them cause one, and a metadata service that is down delays none of them.
    """

    def __init__(
        self,
        load: Callable[[], Awaitable[Any]] | None = None,
        *,
        fetch: Callable[[], Awaitable[Credentials]] | None = None,
    ) -> None:
        """Start without credentials.

        Args:
            load: Finds botocore's credentials, or None; by default, with the SDK's chain.
            fetch: Asks another process for its credentials instead, so that one chain, and one
                SDK in memory, serve many workers. Raises ``OriginError`` where that has none.
        """
        self._load = load or _load_chain
        self._fetch = fetch or self._ask_chain
        self._chain: Any = None
        self._known: Credentials | None = None
        self._trouble = (503, "AWS credentials were not asked for")
        self._asked = self._vouched = -_GOOD
        self._flight: asyncio.Task[None] | None = None

    async def get(self) -> Credentials:
        """Credentials to sign with now.

        Raises:
            OriginError: There are none (502), or they could not be renewed (503).
        """
        if self.current() is None and self._flight is not None:
            # one client going away must not end the refresh for the others
            await asyncio.shield(self._flight)
        if self._known is None or time.monotonic() - self._vouched > _GOOD:
            raise OriginError(*self._trouble)
        return self._known

    def current(self) -> Credentials | None:
        """Credentials to sign with now, without waiting; None when ``get`` has to ask."""
        now = time.monotonic()
        if now - self._asked > _HOLD and self._flight is None:
            self._flight = asyncio.create_task(self._ask())
        return None if now - self._vouched > _GOOD else self._known

    async def _ask(self) -> None:
        try:
            found = await self._fetch()
            if found != self._known:
                # the same object while nothing changed: what was signed is kept by identity
                self._known = found
            self._vouched = time.monotonic()
        except OriginError as error:
            self._trouble = (error.status, error.detail)
        finally:
            self._asked, self._flight = time.monotonic(), None

    async def _ask_chain(self) -> Credentials:
        try:
            self._chain = self._chain or await self._load()
            frozen = self._chain and await self._chain.get_frozen_credentials()
        except Exception as error:
            # botocore lets errors of files, HTTP, JSON and processes through as they are; repr
            # of a decoding error would hold what was read
            why = f"{type(error).__name__}: {error}"
            raise OriginError(503, f"AWS credentials could not be renewed: {why}") from error
        if not frozen:
            raise OriginError(
                502,
                "no AWS credentials found: give the task or instance a role, set "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or set origin.credentials "
                "to anonymous or to key files",
            )
        ends = _expiry(self._chain)
        return Credentials(frozen.access_key, frozen.secret_key, frozen.token, ends)


def _expiry(chain: Any) -> float | None:
    # frozen credentials do not carry it, static ones have none, and botocore has no public name
    ends = getattr(chain, "_expiry_time", None)
    return ends.timestamp() if isinstance(ends, datetime) else None


async def _load_chain() -> Any:
    # in a thread: importing botocore takes a third of a second, which is long for an event loop
    return await (await asyncio.to_thread(_session)).get_credentials()


def _session() -> Any:
    from aiobotocore.session import get_session  # noqa: PLC0415 - slow, and not always needed

    return get_session()


class FileCredentials:
    """Credentials of two files (a mounted secret), read again when either changes."""

    def __init__(self, files: KeyFiles) -> None:
        self._files = {
            "access_key_file": files.access_key_file,
            "secret_key_file": files.secret_key_file,
        }
        self._mark: object = None
        self._known = ANONYMOUS
        self._looked = -_HOLD

    def current(self) -> Credentials | None:
        """Credentials as the files had them a second ago; None when they were not usable."""
        try:
            if time.monotonic() - self._looked > _HOLD:
                self._look()
        except OriginError:
            return None
        return self._known

    async def get(self) -> Credentials:
        """Credentials as the files have them now.

        Raises:
            OriginError: A file cannot be read, or holds no key (502).
        """
        self._look()
        return self._known

    def _look(self) -> None:
        mark = [self._stat(name, path) for name, path in self._files.items()]
        if mark != self._mark:
            access_key, secret_key = (self._read(*item) for item in self._files.items())
            self._known = Credentials(access_key, secret_key)
            # taken before reading: a file that changed meanwhile is read again next time
            self._mark = mark
        self._looked = time.monotonic()

    @staticmethod
    def _stat(name: str, path: Path) -> tuple[int, int, int]:
        try:
            found = os.stat(path)  # noqa: PTH116 - half the cost of Path.stat, twice a request
        except OSError as error:
            raise OriginError(502, f"origin.credentials.{name}: {error}") from error
        return found.st_mtime_ns, found.st_ino, found.st_size

    @staticmethod
    def _read(name: str, path: Path) -> str:
        try:
            value = path.read_text("ascii").strip()
        except (OSError, ValueError) as error:
            raise OriginError(502, f"origin.credentials.{name}: {path}: {error}") from error
        if not value or len(value.split()) > 1:
            raise OriginError(502, f"origin.credentials.{name}: {path} does not hold one key")
        return value
