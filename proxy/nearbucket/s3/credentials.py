"""Credentials that are valid now, from the AWS SDK's chain or from two files."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from nearbucket.config.regular_file import expanded, read_regular_file
from nearbucket.errors import OriginError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from nearbucket.config.buckets import KeyFiles

GIVE_KEYS = (
    "give this process a role, or keys as for the AWS CLI (`aws configure`, AWS_PROFILE, or "
    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)"
)
"""What helps where the chain has no credentials."""
OR_CONFIGURE = "or set the bucket's credentials: to anonymous or to key files"
"""What helps as well for a bucket of the configuration."""

_HOLD = 1.0
"""Seconds until the chain or the files are asked again, whether they had credentials or not."""
_GOOD = 540.0
"""Seconds for which the chain's credentials are used while it cannot be asked again: it gives none
with less than 10 minutes left (botocore's ``_mandatory_refresh_timeout``)."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Credentials:
    """One set of credentials; ``repr``, and so logs and errors, leave out what is secret.

    Attributes:
        access_key: Access key id.
        secret_key: Secret access key.
        token: Session token of temporary credentials, or None.
        expires: Unix time from which on S3 refuses signatures made with them; None if they do
            not expire, or that is not known.
    """

    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)
    expires: float | None = None


ANONYMOUS = Credentials("", "")
"""Requests are sent unsigned."""

Stamp = tuple[int, int, int]
"""What tells two states of a file apart: time of change, inode and size."""
_CHAIN_FILES = {
    "AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials",
    "AWS_CONFIG_FILE": "~/.aws/config",
}
"""Variables that name the files of the AWS SDK's chain, and their defaults."""


def chain_files() -> tuple[Stamp | None, ...]:
    """What tells two states of the AWS SDK's files apart; None for a file that is not there.

    A session of the SDK reads its files once, so keys that are replaced in them need a new one.
    """
    found: list[Stamp | None] = []
    for variable, default in _CHAIN_FILES.items():
        path = os.path.expanduser(os.environ.get(variable) or default)  # noqa: PTH111
        try:
            found.append(_stamp(path))
        except OSError:
            found.append(None)
    return tuple(found)


def _stamp(path: str | Path) -> Stamp:
    found = os.stat(path)  # noqa: PTH116  # half the cost of Path.stat, twice a request
    return found.st_mtime_ns, found.st_ino, found.st_size


class SdkCredentials:
    """The AWS SDK's credential chain, asked at most once a second and never twice at once.

    While credentials are valid, requests do not wait for a refresh. So two hundred requests cause
    one refresh, and a metadata service that is down delays none of them.
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
        self._chain_files: object = None
        self._known: Credentials | None = None
        self._error = (503, "AWS credentials were not asked for")
        self._failed = False  # when the chain was last asked
        self._asked_at = self._valid_at = -_GOOD
        self._refresh: asyncio.Task[None] | None = None

    @property
    def problem(self) -> str | None:
        """Why there are none, as far as the chain was asked; None if there are some."""
        held = self._known is not None and time.monotonic() - self._valid_at <= _GOOD
        return self._error[1] if self._failed and not held else None

    async def get(self) -> Credentials:
        """Credentials to sign with now.

        Raises:
            OriginError: There are none (502), or they could not be renewed (503).
        """
        if self.current() is None and self._refresh is not None:
            # the refresh goes on for others if this client goes away
            await asyncio.shield(self._refresh)
        if self._known is None or time.monotonic() - self._valid_at > _GOOD:
            raise OriginError(*self._error)
        return self._known

    def current(self) -> Credentials | None:
        """Credentials to sign with now, without waiting; None when ``get`` has to ask."""
        now = time.monotonic()
        if now - self._asked_at > _HOLD and self._refresh is None:
            self._refresh = asyncio.create_task(self._refresh_now())
        return None if now - self._valid_at > _GOOD else self._known

    async def _refresh_now(self) -> None:
        try:
            found = await self._fetch()
            if found != self._known:
                # the object stays while nothing changed: signatures are cached by its identity
                self._known = found
            self._valid_at, self._failed = time.monotonic(), False
        except OriginError as error:
            if self._known is not None and not self._failed:
                _log.warning("%s; the last ones are used for up to 9 minutes", error.detail)
            self._error, self._failed = (error.status, error.detail), True
        finally:
            self._asked_at, self._refresh = time.monotonic(), None

    async def _ask_chain(self) -> Credentials:
        files = chain_files()
        if files != self._chain_files:  # keys may have been replaced
            self._chain, self._chain_files = None, files
        try:
            self._chain = self._chain or await self._load()
            frozen = self._chain and await self._chain.get_frozen_credentials()
        except Exception as error:
            # botocore passes on errors of files, HTTP, JSON and processes; the repr of a decoding
            # error would show what was read
            why = f"{type(error).__name__}: {error}"
            raise OriginError(503, f"AWS credentials could not be renewed: {why}") from error
        if not frozen:
            raise OriginError(
                502,
                f"no AWS credentials found: {GIVE_KEYS}, {OR_CONFIGURE}",
            )
        ends = _expiry(self._chain)
        return Credentials(frozen.access_key, frozen.secret_key, frozen.token, ends)


def _expiry(chain: Any) -> float | None:
    # botocore has no public name for it; static credentials have none
    ends = getattr(chain, "_expiry_time", None)
    return ends.timestamp() if isinstance(ends, datetime) else None


async def _load_chain() -> Any:
    # importing botocore would hold the event loop for a third of a second
    return await (await asyncio.to_thread(_session)).get_credentials()


def _session() -> Any:
    from aiobotocore.session import get_session  # noqa: PLC0415  # slow, and not always needed

    return get_session()


class FileCredentials:
    """Credentials in two files, such as a mounted secret; read again when either changes."""

    def __init__(self, files: KeyFiles) -> None:
        self._files = {
            "access_key_file": expanded(files.access_key_file),
            "secret_key_file": expanded(files.secret_key_file),
        }
        self._state: object = None
        self._known = ANONYMOUS
        self._read_at = -_HOLD

    def current(self) -> Credentials | None:
        """Credentials as the files had them at most a second ago; None if they are not usable."""
        try:
            if time.monotonic() - self._read_at > _HOLD:
                self._reread()
        except OriginError:
            return None
        return self._known

    async def get(self) -> Credentials:
        """Credentials as the files have them now.

        Raises:
            OriginError: A file cannot be read, or holds no key (502).
        """
        self._reread()
        return self._known

    def _reread(self) -> None:
        state = [self._stat(name, path) for name, path in self._files.items()]
        if state != self._state:
            access_key, secret_key = (self._read(*item) for item in self._files.items())
            self._known = Credentials(access_key, secret_key)
            # of before the reading: a file that changed meanwhile is read again next time
            self._state = state
        self._read_at = time.monotonic()

    @staticmethod
    def _stat(name: str, path: Path) -> Stamp:
        try:
            return _stamp(path)
        except OSError as error:
            raise OriginError(502, f"credentials.{name}: {error}") from error

    @staticmethod
    def _read(name: str, path: Path) -> str:
        try:
            value = read_regular_file(path).decode("ascii").strip()
        except (OSError, ValueError) as error:
            raise OriginError(502, f"credentials.{name}: {path}: {error}") from error
        if not value or len(value.split()) > 1:
            raise OriginError(502, f"credentials.{name}: {path} does not hold one key")
        return value
