"""Where the configuration of a running server is: a file, or an object in S3; and its changes."""

from __future__ import annotations

import logging
import os
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from nearbucket.config.file import (
    DEFAULT_FILE,
    ENVIRONMENT,
    ConfigObject,
    name_of,
    secret_files,
)
from nearbucket.errors import ConfigError, ProxyError
from nearbucket.s3.sdk.config_object import fetch, fetch_changed

if TYPE_CHECKING:
    from nearbucket.config.file import ConfigFile

ASK_INTERVAL = 10.0
"""Seconds between two questions for an object: 0.10 USD a month at S3's price of a GET."""

_log = logging.getLogger(__name__)


class ConfigSource(Protocol):
    """A place that a configuration is read from again and again.

    Attributes:
        name: The place in messages.
        problem: Why changes cannot be seen now, or None.
    """

    name: str
    problem: str | None

    async def changed(self) -> bool:
        """Whether there may be another configuration than the one last read; asked each second."""
        ...

    async def read(self) -> ConfigFile | None:
        """What ``config.file.load`` is to read now.

        Raises:
            ProxyError: It cannot be had.
        """
        ...


def source_of(config: ConfigFile | None) -> ConfigSource:
    """The source that a configuration was read from."""
    if isinstance(config, ConfigObject):
        return ObjectSource(config)
    return FileSource(None if config is None else Path(str(config)))


class FileSource:
    """A local file, looked at each second; the environment alone while there is none."""

    def __init__(self, path: Path | None) -> None:
        """Take the file's present state as known.

        Args:
            path: The file; None for the default one.
        """
        self._path = path
        self._file = path or DEFAULT_FILE
        self.name = name_of(path)
        self._stamp = _stamp(self._file)
        self._is_there = self._stamp is not None
        self.problem: str | None = None
        self._secrets = _SecretFiles(self._readable())

    def _readable(self) -> Path | None:
        """The file, unless it is a FIFO, which can be read only once."""
        return self._path if self._stamp is None or any(self._stamp[:2]) else Path(os.devnull)

    async def changed(self) -> bool:
        """Whether the file, or one with a secret of it, was written or replaced.

        If the file itself is gone, nothing changes: secrets could not be read with it.
        """
        stamp = _stamp(self._file)
        was_there, self._is_there = self._is_there, stamp is not None
        if stamp is None:
            if was_there:
                self.problem = (
                    f"{self._file} is gone; its configuration stays in use until it is back"
                )
                _log.warning("%s", self.problem)
            if self.name != ENVIRONMENT:
                return False
        else:
            self.problem = None
            if stamp == self._stamp and not was_there:
                _log.info("%s is there again, unchanged", self._file)
        return stamp not in {None, self._stamp} or self._secrets.changed()

    async def read(self) -> Path | None:
        """The file, whose present state is known from now on.

        Only the start may wait for a writer, such as that of a shell's ``<(...)``.

        Raises:
            ConfigError: It is a FIFO, a socket or a device.
        """
        self._stamp, self.name, self.problem = _stamp(self._file), name_of(self._path), None
        self._secrets.use(self._readable())
        with suppress(OSError):  # ``load`` says why it cannot be read
            if not _is_regular(self._file.stat().st_mode):
                raise ConfigError(f"{self._file}: is not a regular file; write a file in its place")
        return self._path


class ObjectSource:
    """An object in S3, asked for with its ETag each ten seconds.

    After a signal at which it could not be read, it is read as soon as it can be.
    """

    def __init__(self, known: ConfigObject) -> None:
        """Take the object that was read for the start."""
        self.name = known.name
        self.problem: str | None = None
        self._known = known
        self._fetched: ConfigObject | None = None
        self._is_read = True  # whether the last reload could read it
        self._asked = time.monotonic()
        self._secrets = _SecretFiles(known)

    async def changed(self) -> bool:
        """Whether the object has another ETag, or a file with a secret of it has changed.

        While the object cannot be read, only such a file counts.
        """
        if self._secrets.changed():
            return True
        if time.monotonic() - self._asked < ASK_INTERVAL:
            return False
        self._asked = time.monotonic()
        try:
            if self._is_read:
                self._fetched = await fetch_changed(self._known)
            else:
                self._fetched = await fetch(self.name)
        except ProxyError as error:
            if self.problem is None:
                _log.warning("%s; its last configuration stays in use until it can be read", error)
            self.problem = f"{error}; a change of the configuration is not seen"
        else:
            if self.problem is not None:
                _log.info("%s can be read again", self.name)
            self.problem = None
        return self._fetched is not None

    async def read(self) -> ConfigObject:
        """The changed object, or, when a signal asks, the present one."""
        self._secrets.use(self._known)  # one reload for a change, also if the object cannot be read
        fetched, self._fetched = self._fetched, None
        if fetched is None:
            self._is_read = False
            fetched = await fetch(self.name)
        self._known, self._is_read, self._asked = fetched, True, time.monotonic()
        self._secrets.use(fetched)
        return fetched


class _SecretFiles:
    """The files named with ``file:`` in a configuration; to change one is to change it."""

    def __init__(self, config: ConfigFile | None) -> None:
        self.use(config)

    def use(self, config: ConfigFile | None) -> None:
        """Compare with the present state of this configuration's files from now on."""
        self._files = secret_files(config)
        self._stamps = self._now()

    def changed(self) -> bool:
        """Whether one was written, replaced or removed."""
        return self._now() != self._stamps

    def _now(self) -> list[tuple[int, int, int] | None]:
        return [_stamp(each) for each in self._files]


def _is_regular(mode: int) -> bool:
    """Whether reading waits for no writer; a folder counts, whose error ``load`` knows."""
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """Values that change when a file is written or replaced; None if there is no file.

    A FIFO or device has one value: reading it changes its times, and it is not read again.
    """
    try:
        found = path.stat()
    except (OSError, ValueError):  # ValueError: such as a NUL in its name
        return None
    if not _is_regular(found.st_mode):
        return 0, 0, found.st_ino
    return found.st_mtime_ns, found.st_size, found.st_ino
