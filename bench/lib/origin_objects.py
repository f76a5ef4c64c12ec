"""The objects that are streamed: their names, sizes and bytes.

The bytes at an offset can be computed, so a client that reads any part of an object can tell
whether it is the right part.
"""

from __future__ import annotations

import os
import re
from random import Random
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30

_SHIFT = 40_503  # bytes that each block is turned by: no two blocks of an object are equal
_BLOCK = Random(4).randbytes(MIB)  # noqa: S311  # the same bytes in every process, no secret
_TWICE = memoryview(_BLOCK + _BLOCK)
_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r", re.IGNORECASE)


class AnswerError(Exception):
    """What a client got is not the object."""


class Object(NamedTuple):
    """One object of the origin.

    Attributes:
        key: Its name; one that the policy would redirect, were its clients in AWS.
        size: Bytes.
    """

    key: str
    size: int


SMALL = Object("releases/small-1.0.tar.gz", 64 * KIB)
MIDDLE = Object("releases/middle-1.0.tar.gz", 10 * MIB)
LARGE = Object("releases/large-1.0.tar.gz", GIB)


def _part(offset: int, length: int) -> memoryview:
    """The bytes of any object from an offset on, at most to the end of their block."""
    block, inside = divmod(offset, MIB)
    start = block * _SHIFT % MIB + inside
    return _TWICE[start : start + min(length, MIB - inside)]


def is_part(data: bytes, offset: int) -> bool:
    """Whether bytes are those that belong at an offset."""
    given = memoryview(data)
    while given:
        wanted = _part(offset, len(given))
        if given[: len(wanted)] != wanted:
            return False
        offset, given = offset + len(wanted), given[len(wanted) :]
    return True


def fill(thing: Object, descriptor: int) -> None:
    """Write an object into an open file."""
    for offset in range(0, thing.size, MIB):
        left = _part(offset, thing.size - offset)
        while left:
            left = left[os.write(descriptor, left) :]


def read_heads(file: Path) -> list[bytes]:
    """The requests of a file, which has one head after another."""
    return [head + _END for head in file.read_bytes().split(_END) if head]


def body_of(data: bytes, size: int) -> bytes | None:
    """What has come of the body behind an answer's head; None while the head is not whole.

    Raises:
        AnswerError: The head is not that of a whole object of this size.
    """
    head, end, body = data.partition(_END)
    if not end:
        return None
    found = _LENGTH.search(head + b"\r\n")
    if not head.startswith(b"HTTP/1.1 200 ") or not found or int(found[1]) != size:
        raise AnswerError(head.decode("latin-1"))
    return body
