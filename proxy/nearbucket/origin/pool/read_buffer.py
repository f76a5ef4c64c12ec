"""The memory that all connections of a worker to S3 read into.

In: nothing. Out: a buffer, seen twice. Refuses to know who reads.

Shared because nothing is kept in it: a receiver passes the bytes on, or copies what its client
does not take, before it returns. So a connection costs no read buffer of its own.

Plaintext takes the place of the ciphertext that it was, which OpenSSL has copied by then: so
less is pushed out of the processor's cache. It is never the longer one, but for the record that
was begun before; hence the distance between both.
"""

from __future__ import annotations

from typing import NamedTuple, Self

from nearbucket.origin.pool.tls_stream import LARGEST

BUFFER = 512 * 1024
"""Most bytes read at a time: with half of it 1 GiB costs a fourth more, with twice no less."""

USUAL = 256 * 1024
"""Bytes read at a time for a client of which nothing is known: so many may have to wait for it."""


class ReadBuffers(NamedTuple):
    """Two views of one buffer.

    Attributes:
        raw: Where bytes go as they come.
        plain: Where they go without TLS: ``LARGEST`` bytes before.
    """

    raw: memoryview
    plain: memoryview

    @classmethod
    def new(cls) -> Self:
        """The buffers of one worker."""
        memory = memoryview(bytearray(LARGEST + BUFFER))
        return cls(memory[LARGEST:], memory)
