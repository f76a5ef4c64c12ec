"""The files that a configuration names, and which of them cannot be read here.

``check`` says it. Reading a configuration does not depend on it: it may be compared or shown on a
machine that has no certificates and no keys.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from nearbucket.config.buckets import KeyFiles
from nearbucket.config.json_schema.messages import message, shown
from nearbucket.config.regular_file import read_regular_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nearbucket.config.buckets import Bucket
    from nearbucket.config.json_schema.messages import Sources
    from nearbucket.config.settings import Settings
    from nearbucket.config.yaml_text.yaml_document import Path_


class NamedFile(NamedTuple):
    """A file, and the key of the setting that names it."""

    key: Path_
    path: Path


def unreadable_files(settings: Settings, sources: Sources) -> list[str]:
    """One line for each file that cannot be read: place, key, the file, why not, what to write."""
    return [
        message(
            sources.place(file.key),
            ".".join(map(str, file.key)),
            f"{shown(str(file.path))} cannot be read: {why}; write the path of a readable file",
        )
        for file in _named_files(settings)
        if (why := _fault(file.path)) and sources.has(file.key)
    ]


def _named_files(settings: Settings) -> Iterator[NamedFile]:
    """All files that are read, but not written."""
    if (tls := settings.listen.tls) is not None:
        yield NamedFile(("listen", "tls", "certificate"), tls.certificate)
        yield NamedFile(("listen", "tls", "key"), tls.key)
    if "://" not in settings.regions.source:
        yield NamedFile(("regions", "source"), Path(settings.regions.source))
    for number, site in enumerate(settings.sites):
        buckets: dict[Path_, Bucket] = {("origin",): site.origin}
        buckets |= {("failover", place): bucket for place, bucket in enumerate(site.failover)}
        buckets |= {("targets", region): target for region, target in site.targets.items()}
        for place, bucket in buckets.items():
            key: Path_ = ("sites", number, *place)
            if isinstance(files := bucket.credentials, KeyFiles):
                yield NamedFile((*key, "credentials", "access_key_file"), files.access_key_file)
                yield NamedFile((*key, "credentials", "secret_key_file"), files.secret_key_file)
            if bucket.inventory is not None and "://" not in bucket.inventory:
                yield NamedFile((*key, "inventory"), Path(bucket.inventory))


def _fault(path: Path) -> str:
    """Why a file cannot be read; empty if it can."""
    try:
        read_regular_file(path.expanduser(), 0)
    except OSError as error:
        return error.strerror or os.strerror(error.errno or 0)
    except (ValueError, RuntimeError) as error:  # a zero byte; no home folder
        return str(error)
    return ""
