"""The memory that all connections of a worker to S3 read into.

In: nothing. Out: two buffers. Refuses to know who reads.

Shared because nothing is kept in them: a receiver passes the bytes on, or copies what its client
does not take, before it returns. So a connection costs no read buffer of its own.
"""

from __future__ import annotations

from typing import NamedTuple, Self

from proxy.storage.tls import LARGEST

BUFFER = 256 * 1024
"""Bytes read at a time: larger buffers leave the processor's second-level cache."""


class Buffers(NamedTuple):
    """What is read into.

    Attributes:
        raw: Bytes as they come.
        plain: The same without TLS.
    """

    raw: memoryview
    plain: memoryview

    @classmethod
    def new(cls) -> Self:
        """The buffers of one worker."""
        sizes = BUFFER, BUFFER + LARGEST
        return cls(*(memoryview(bytearray(size)) for size in sizes))
