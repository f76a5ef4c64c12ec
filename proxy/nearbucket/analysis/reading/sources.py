"""Finds log files: paths, folders, globs, standard input and ``s3://bucket/prefix``.

What a file's name says of its hour lets ``--since`` and ``--until`` skip it unread.
"""

from __future__ import annotations

import glob
import os
import re
import stat
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from nearbucket.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

STDIN = "-"
_LATE = timedelta(hours=1)
"""How far requests may be from the hour in the name of their file."""
_CLOUDFRONT_NAME = re.compile(
    r"(?:^|/)(?P<distribution>[A-Z0-9]+)\.(20\d\d)-(\d\d)-(\d\d)-(\d\d)\.[^/]*$"
)
_HIVE = re.compile(r"(?:^|/)year=(20\d\d)/month=(\d\d?)/day=(\d\d?)(?:/hour=(\d\d?))?/")
_HIVE_DISTRIBUTION = re.compile(r"(?:^|/)DistributionId=([A-Z0-9]+)/", re.IGNORECASE)


class LogSource(NamedTuple):
    """A log file.

    Attributes:
        name: Path, ``-`` or ``s3://bucket/key``.
        size: Bytes as stored; 0 for standard input and other pipes.
        version: What changes when the file does: its time of modification, or its ETag.
    """

    name: str
    size: int
    version: str


@dataclass(frozen=True, slots=True)
class DamagedFile:
    """A file that could not be read to its end, or not at all.

    Attributes:
        name: Path or URL.
        why: What is wrong with it.
        lines: Lines of it that count nevertheless.
    """

    name: str
    why: str
    lines: int


class FileHour(NamedTuple):
    """What a name says of a file.

    Attributes:
        distribution: CloudFront's distribution; empty if the name does not say.
        hour: First moment of the file's hour, or day.
        length: How long that is.
    """

    distribution: str
    hour: datetime
    length: timedelta


class Period(NamedTuple):
    """From ``since`` until just before ``until``; None is open."""

    since: datetime | None = None
    until: datetime | None = None

    def may_hold(self, name: str) -> bool:
        """Whether a file of this name may have requests of the period."""
        found = hour_of(name)
        if found is None:
            return True
        end = found.hour + found.length + _LATE
        return not (
            (self.since is not None and end <= self.since)
            or (self.until is not None and found.hour - _LATE >= self.until)
        )


ALWAYS = Period()
"""The period that holds every request."""


def moment(text: str, option: str) -> datetime:
    """A time in UTC, of ``2026-11-02`` or ``2026-11-02T03:00``.

    Raises:
        ConfigError: It is no time.
    """
    try:
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ConfigError(
            f"{option}: {text!r} is no date such as 2026-11-02, or 2026-11-02T03:00 (UTC)"
        ) from None


def hour_of(name: str) -> FileHour | None:
    """The hour in the name of a CloudFront log file, or in its folders; None without one."""
    hive, standard = _HIVE.search(name), _CLOUDFRONT_NAME.search(name)
    distribution = _HIVE_DISTRIBUTION.search(name)
    if standard is not None:
        numbers, owner = standard.groups()[1:], standard["distribution"]
    elif hive is not None:
        numbers, owner = hive.groups(), distribution[1] if distribution else ""
    else:
        return None
    year, month, day, hour = numbers
    try:
        begin = datetime(int(year), int(month), int(day), int(hour or 0), tzinfo=UTC)
    except ValueError:
        return None
    return FileHour(owner, begin, timedelta(days=1) if hour is None else timedelta(hours=1))


def local_sources(names: Iterable[str], period: Period) -> list[LogSource]:
    """The files of paths, folders (with all below) and globs, each once, in order.

    Raises:
        ConfigError: A name is of nothing.
    """
    found: dict[str, LogSource] = {}
    for name in names:
        if name == STDIN:
            found[name] = LogSource(STDIN, 0, "")
        else:
            for path in _paths(name):
                if period.may_hold(str(path)):
                    found.setdefault(str(path), _source(path))
    return list(found.values())


def _paths(name: str) -> Iterator[Path]:
    if not name:  # a variable of a shell that is not set
        raise ConfigError("one of the names of logs is empty; . is the working folder")
    path = Path(name)
    if path.is_dir():
        yield from sorted(_below(path))
    elif path.exists():
        yield path
    else:
        matches = sorted(glob.glob(name, recursive=True))  # noqa: PTH207  # a pattern with folders
        if not matches:
            raise ConfigError(f"{name}: no such file, folder or pattern")
        for match in map(Path, matches):
            if match.is_dir():
                yield from _paths(str(match))
            else:
                yield match


def _below(top: Path) -> Iterator[Path]:
    """The files below a folder; hidden ones, and those in hidden folders, are not taken.

    A folder that cannot be listed comes as itself: reading it tells what is wrong.
    """
    refused: list[Path] = []
    for folder, folders, files in os.walk(
        top, onerror=lambda error: refused.append(Path(error.filename))
    ):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = (Path(folder, name) for name in files if not name.startswith("."))
        yield from (path for path in paths if path.is_file())
    yield from refused


def _source(path: Path) -> LogSource:
    try:
        status = path.stat()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):  # some have no end
        raise ConfigError(f"{path}: is a device; logs are files, folders and pipes")
    return LogSource(str(path), status.st_size, str(status.st_mtime_ns))
