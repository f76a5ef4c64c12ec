"""Reads files that the configuration names, without ever waiting for a writer.

A FIFO in the place of a file would stop the event loop of the process that opens it.
"""

from __future__ import annotations

import os
import stat
from errno import EINVAL
from pathlib import Path
from typing import BinaryIO


def read_regular_file(path: Path, most: int = -1) -> bytes:
    """The first ``most`` bytes of a file; by default all.

    Raises:
        OSError: It cannot be read, or is a FIFO, a socket or a device.
    """
    with open_regular_file(path) as file:
        return file.read(most)


def open_regular_file(path: Path) -> BinaryIO:
    """Open a file for reading.

    Raises:
        OSError: As ``read_regular_file``.
    """
    file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115  # Path has no opener
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(EINVAL, "Not a regular file", str(path))
    return file


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def expanded(path: Path) -> Path:
    """A path with the user's home folder for ``~``.

    A user without one, as in a container that is run by another uid, has no such file: the path
    stays as it is, where ``Path.expanduser`` raises a RuntimeError.
    """
    return Path(os.path.expanduser(path))  # noqa: PTH111
