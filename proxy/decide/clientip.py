"""Whose request it is: socket peer, headers and trust in, the client's address out.

In: a ``Request`` and the operator's words about who may be believed. Out: one address,
or None where a trusted hop gives no usable one. Refuses to know what region an address
is in, and to believe anything that a client could have written itself.
"""

from __future__ import annotations

import hmac
import re
import socket
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple

from proxy.decide.regions import NetworkSet, network_set

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.decide.model import Request
    from proxy.settings import ClientAddress

_LOOPBACK = ("127.0.0.0/8", "::1/128")
_PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
_WITH_PORT = re.compile(r"(?:\[([^\]]*)\]|([^:]*))(?::\d{1,5})?")
_MAPPED = b"\0" * 10 + b"\xff\xff"

FORWARDED_FOR = b"x-forwarded-for"
VIEWER_ADDRESS = b"cloudfront-viewer-address"


class Client(NamedTuple):
    """The client's address, None when nobody can say it, and where that was read."""

    address: str | None
    how: str


class Secret(Enum):
    """What a request shows of the origin secret."""

    NOT_ASKED = auto()
    RIGHT = auto()
    ABSENT = auto()
    WRONG = auto()


@dataclass(frozen=True, slots=True)
class Trust:
    """Who is believed about the client's address. Built once per configuration and list.

    Attributes:
        source: ``peer`` or the lower-case name of the header that carries the address.
        networks: Trusted proxies, or None when hops are counted instead.
        hops: Entries of X-Forwarded-For, from the right, that our own hops added.
        cdn: CloudFront's origin-facing prefixes. A peer there is never looked up:
            EC2-labelled blocks nest inside CloudFront's, and would redirect everybody.
        cdn_is_proxy: Whether ``cdn`` counts among the trusted proxies.
        secret_header: Lower-case name of the origin secret's header, or None.
        secret_values: Accepted values.
    """

    source: str
    networks: NetworkSet | None
    hops: int | None
    cdn: NetworkSet
    cdn_is_proxy: bool
    secret_header: bytes | None
    secret_values: tuple[bytes, ...]

    @classmethod
    def build(cls, settings: ClientAddress, cdn: NetworkSet) -> Trust:
        """Compile the setting; ``cloudfront`` means ``cdn``, of the list in use."""
        words = {"loopback": _LOOPBACK, "private": _PRIVATE, "cloudfront": ()}
        texts = [text for entry in settings.trusted_proxies for text in words.get(entry, (entry,))]
        secret = settings.origin_secret
        return cls(
            source=settings.source,
            networks=network_set(texts) if settings.trusted_proxies else None,
            cdn_is_proxy="cloudfront" in settings.trusted_proxies,
            hops=settings.trusted_hops,
            cdn=cdn,
            secret_header=secret.header.lower().encode() if secret else None,
            secret_values=tuple(value.encode() for value in secret.values) if secret else (),
        )

    def secret(self, request: Request) -> Secret:
        """Whether the request shows the origin secret; compared in constant time."""
        if self.secret_header is None:
            return Secret.NOT_ASKED
        shown = request.headers.get(self.secret_header)
        if shown is None:
            return Secret.ABSENT
        right = [hmac.compare_digest(shown, value) for value in self.secret_values]
        return Secret.RIGHT if any(right) else Secret.WRONG

    def client(self, request: Request) -> Client:
        """The client's address, as far as trusted hops vouch for it."""
        peer = plain_address(request.peer or "")
        if peer is None:
            return Client(None, "the peer has no IP address")
        if not self._believes(request, peer):
            if self.cdn.holds(peer):
                return Client(None, "the socket's peer is CloudFront's own address")
            found = Client(peer, "the socket's peer")
        elif self.source == "x-forwarded-for":
            found = self._forwarded(request, peer)
        else:
            found = self._single(request)
        if found.address is not None and self._names_no_client(found.address, peer):
            return Client(None, f"{found.how} is a trusted proxy, and nobody is named behind it")
        return found

    def _names_no_client(self, address: str, peer: str) -> bool:
        """Whether the walk ended on a proxy; a client in our own networks is none."""
        if self.source == "peer":
            return False
        return (address == peer and self._is_proxy(peer)) or (
            self.cdn_is_proxy and self.cdn.holds(address)
        )

    def reads(self, headers: Mapping[bytes, bytes]) -> bool:
        """Whether any of these fields is one that trust depends on."""
        return self.source.encode() in headers or self.secret_header in headers

    def _is_proxy(self, address: str) -> bool:
        if self.networks is None:
            return False
        return self.networks.holds(address) or (self.cdn_is_proxy and self.cdn.holds(address))

    def _believes(self, request: Request, peer: str) -> bool:
        """Whether this peer's forwarded header counts."""
        if self.source == "peer" or self.secret(request) in {Secret.ABSENT, Secret.WRONG}:
            return False
        return self.networks is None or self._is_proxy(peer)

    def _forwarded(self, request: Request, peer: str) -> Client:
        """X-Forwarded-For, read from the right: the left end is the client's own words."""
        value = request.headers.get(FORWARDED_FOR, b"").decode("latin-1")
        if not value.strip():
            return Client(None, "a trusted proxy sent no X-Forwarded-For")
        if self.networks is None:
            hops = self.hops or 1
            entries = value.rsplit(",", hops)[-hops:]
            if len(entries) < hops:
                return Client(None, f"X-Forwarded-For has fewer than {hops} entries")
            return _entry(entries[0], hops)
        return self._walk(value, peer)

    def _walk(self, value: str, peer: str) -> Client:
        """Pass trusted proxies from the right; the first other address is the client."""
        found = Client(peer, "the socket's peer")
        for number, text in enumerate(reversed(value.split(",")), start=1):
            found = _entry(text, number)
            if found.address is None or not self._is_proxy(found.address):
                break
        return found

    def _single(self, request: Request) -> Client:
        """A header with one address in it; two of them arrive joined and are not usable."""
        value = request.headers.get(self.source.encode(), b"").decode("latin-1").strip()
        if self.source.encode() == VIEWER_ADDRESS:
            # IPv6 stands there without brackets, so the port is what follows the last colon.
            host, _, port = value.rpartition(":")
            usable = port.isascii() and port.isdigit()
            address = plain_address(host.removeprefix("[").removesuffix("]")) if usable else None
        else:
            address = _with_port(value)
        return Client(address, self.source if address else f"{self.source} holds no address")


def _entry(text: str, number: int) -> Client:
    address = _with_port(text)
    place = f"entry {number} from the right of X-Forwarded-For"
    return Client(address, place if address else f"{place} is not an address")


def _with_port(text: str) -> str | None:
    """The address in ``1.2.3.4:5``, ``[2001:db8::1]:5``, ``"[2001:db8::1]"`` or bare."""
    text = text.strip().strip('"')
    found = _WITH_PORT.fullmatch(text)
    return plain_address((found[1] or found[2]) if found else text)


def plain_address(text: str) -> str | None:
    """Canonical text of an address, IPv4-mapped IPv6 as IPv4; None for anything else."""
    try:
        if ":" not in text:
            socket.inet_pton(socket.AF_INET, text)
            return text
        packed = socket.inet_pton(socket.AF_INET6, text)
    except (OSError, ValueError):
        return None
    if packed.startswith(_MAPPED):
        return socket.inet_ntop(socket.AF_INET, packed[12:])
    return socket.inet_ntop(socket.AF_INET6, packed)
