"""The memory that all connections of a worker to S3 read into.

It can be shared because nothing stays in it: a receiver passes the bytes on, or copies what its
client does not take, before it returns.

Plaintext overwrites its ciphertext, which OpenSSL has copied by then, so that less is pushed out of
the processor's cache. It begins one record earlier: with a record whose first part came before, it
can be longer than the ciphertext.
"""

from __future__ import annotations

from typing import NamedTuple, Self

from nearbucket.origin.pool.tls_stream import MAX_RECORD

BUFFER = 512 * 1024
"""Bytes read at a time at most: with half of them 1 GiB costs a fourth more, with twice no less."""

USUAL = 256 * 1024
"""Bytes read at a time for most clients: what a client does not take has to be kept in memory."""


class ReadBuffers(NamedTuple):
    """Two views of one buffer.

    Attributes:
        raw: The part that the socket is read into.
        plain: The part that plaintext goes into; it begins ``MAX_RECORD`` bytes earlier.
    """

    raw: memoryview
    plain: memoryview

    @classmethod
    def new(cls) -> Self:
        """The buffers of one worker."""
        memory = memoryview(bytearray(MAX_RECORD + BUFFER))
        return cls(memory[MAX_RECORD:], memory)
