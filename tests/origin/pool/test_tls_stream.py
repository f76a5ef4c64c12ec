"""TLS is decrypted in whatever pieces it comes, and refused if anything is wrong with it."""

from __future__ import annotations

import ssl
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nearbucket.origin.pool.read_buffer import BUFFER, ReadBuffers
from nearbucket.origin.pool.tls_stream import TlsStream
from tests.certificates import client_side, make_certificate, server_side

if TYPE_CHECKING:
    from pathlib import Path

    from nearbucket.config.settings import Tls as Certificate

NAME = "s3.example"
BUFFERS = ReadBuffers.new()
_VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"), NAME)


class Server:
    """The server's side of one connection, in memory."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.ready = False

    def shake(self, data: bytes) -> bytes:
        """Take a part of the handshake; returns the reply."""
        self._incoming.write(data)
        try:
            self._tls.do_handshake()
            self.ready = True
        except ssl.SSLWantReadError:
            pass
        return self._outgoing.read()

    def say(self, *pieces: bytes) -> bytes:
        """Encrypt each piece in records of its own."""
        for piece in pieces:
            self._tls.write(piece)
        return self._outgoing.read()

    def heard(self, data: bytes) -> bytes:
        """Decrypt what the client sent."""
        self._incoming.write(data)
        return self._tls.read()

    def end(self) -> bytes:
        """Send close_notify."""
        with pytest.raises(ssl.SSLWantReadError):
            self._tls.unwrap()
        return self._outgoing.read()


def met(
    certificate: Certificate,
    name: str = NAME,
    version: ssl.TLSVersion | None = None,
    *,
    step: int = 0,
) -> tuple[TlsStream, Server]:
    """Both sides after a handshake whose bytes came ``step`` at a time."""
    context = server_side(certificate)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    client, server = TlsStream(client_side(certificate), name), Server(context)
    while not (client.ready and server.ready):
        said = server.shake(client.to_send())
        for start in range(0, len(said), step or BUFFER):
            assert opened(client, said[start : start + (step or BUFFER)]) == b""
    return client, server


def opened(client: TlsStream, *pieces: bytes) -> bytes:
    """The plaintext of pieces that are read in one turn of the event loop."""
    raw, plain = BUFFERS
    filled = 0
    for piece in pieces:
        place = raw[filled : filled + len(piece)]
        place[:] = piece
        filled += client.open(place, plain[filled:])
    return bytes(plain[:filled])


@pytest.mark.parametrize("version", _VERSIONS, ids=lambda version: version.name)
@pytest.mark.parametrize("step", [0, 1, 3, 100])
def test_both_sides_understand_each_other(
    certificate: Certificate, version: ssl.TLSVersion, step: int
) -> None:
    client, server = met(certificate, version=version, step=step)
    assert server.heard(client.seal(b"GET / HTTP/1.1\r\n\r\n")) == b"GET / HTTP/1.1\r\n\r\n"
    assert opened(client, server.say(b"HTTP/1.1 200 OK\r\n", b"\r\n")) == b"HTTP/1.1 200 OK\r\n\r\n"
    assert not client.over


@pytest.mark.parametrize("version", _VERSIONS, ids=lambda version: version.name)
@given(
    sizes=st.lists(st.sampled_from([1, 5, 900, 16383, 16384, 40_000]), min_size=1, max_size=6),
    cuts=st.lists(st.integers(0, 250_000), max_size=8),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_records_in_any_pieces_are_the_same_bytes(
    certificate: Certificate, version: ssl.TLSVersion, sizes: list[int], cuts: list[int]
) -> None:
    client, server = met(certificate, version=version)
    said = [bytes([number]) * size for number, size in enumerate(sizes)]
    sealed = server.say(*said)
    places = sorted({0, len(sealed), *(cut % len(sealed) for cut in cuts)})
    pieces = [sealed[start:stop] for start, stop in pairwise(places)]
    turns = (pieces[number : number + 2] for number in range(0, len(pieces), 2))
    assert b"".join(opened(client, *turn) for turn in turns) == b"".join(said)


def test_records_up_to_the_end_of_the_buffer_fit_with_one_begun_before(
    certificate: Certificate,
) -> None:
    client, server = met(certificate)
    said = b"x" * (BUFFER + 16_384)
    sealed = server.say(said)
    first = opened(client, sealed[:16_000])  # nearly a whole record
    second = opened(client, sealed[16_000 : 16_000 + BUFFER])
    assert len(first) == 0
    assert len(second) >= BUFFER - 16_384
    assert first + second + opened(client, sealed[16_000 + BUFFER :]) == said


def test_the_end_is_known_and_what_was_said_before_it_is_not_lost(certificate: Certificate) -> None:
    client, server = met(certificate)
    assert opened(client, server.say(b"last words") + server.end()) == b"last words"
    assert client.over


@pytest.mark.parametrize("name", ["other.example", "s3.example.evil", "127.0.0.2"])
def test_a_server_with_another_name_is_refused(certificate: Certificate, name: str) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        met(certificate, name)


def test_a_server_that_nobody_vouches_for_is_refused_and_told(
    certificate: Certificate, tmp_path: Path
) -> None:
    stranger = make_certificate(tmp_path, NAME)
    client, server = TlsStream(client_side(certificate), NAME), Server(server_side(stranger))
    said = server.shake(client.to_send())
    with pytest.raises(ssl.SSLCertVerificationError):
        opened(client, said)
    assert client.to_send()[:1] == b"\x15"  # an alert
    assert not client.ready


@pytest.mark.parametrize(
    "data", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x16\x03\x01\xff\xff", b"\0" * 9]
)
def test_what_is_no_tls_is_refused_at_once(certificate: Certificate, data: bytes) -> None:
    with pytest.raises(ssl.SSLError):
        opened(TlsStream(client_side(certificate), NAME), data)


def test_a_record_that_was_changed_on_the_way_is_refused(certificate: Certificate) -> None:
    client, server = met(certificate)
    sealed = bytearray(server.say(b"x" * 100))
    sealed[50] ^= 1
    with pytest.raises(ssl.SSLError):
        opened(client, bytes(sealed))


def test_a_header_in_two_pieces_is_checked_as_one_is(certificate: Certificate) -> None:
    client, _ = met(certificate)
    assert opened(client, b"\x99\x07") == b""
    with pytest.raises(ssl.SSLError):
        opened(client, b"\x03\xff\xff")


def test_plaintext_without_room_is_an_error_and_not_the_end(certificate: Certificate) -> None:
    client, server = met(certificate)
    sealed = server.say(b"x" * 100, b"y" * 100)
    with pytest.raises(ssl.SSLError, match="room"):
        client.open(memoryview(sealed), BUFFERS.plain[:100])
    assert not client.over
