"""The client's address, from the socket's peer or from a header set by a trusted proxy.

Nothing that a client could have written itself is used.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from nearbucket.policy.record import record
from nearbucket.regions.prefixes import address_text, packed_address
from nearbucket.regions.region_table import NetworkSet, network_set

if TYPE_CHECKING:
    from nearbucket.config.settings import ClientAddress
    from nearbucket.policy.model import Request

_LOOPBACK = ("127.0.0.0/8", "::1/128")
_PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
_WITH_PORT = re.compile(r"(?:\[([^\]]*)\]|([^:]*))(?::\d{1,5})?")

_PACKED4 = 4  # bytes of an IPv4 address
_packed_peer = lru_cache(256)(packed_address)  # few peers, if they are proxies


@lru_cache(8)
def _entry_name(number: int) -> str:
    return f"entry {number} from the right of X-Forwarded-For"


FORWARDED_FOR = b"x-forwarded-for"
VIEWER_ADDRESS = b"cloudfront-viewer-address"


@record(frozen=True, slots=True)
class ResolvedAddress:
    """The client's address and where it was read.

    Attributes:
        address: Canonical text, or None when unknown.
        how: The source, or why the address is unknown; shown by ``explain``.
        packed: The address as ``packed_address`` returns it, for lookups.
    """

    address: str | None
    how: str
    packed: bytes | None = None


_NOT_SENT = ResolvedAddress(None, "a trusted proxy sent no X-Forwarded-For")


class SecretCheck(Enum):
    """Whether a request has the origin secret."""

    NOT_CONFIGURED = auto()
    RIGHT = auto()
    ABSENT = auto()
    WRONG = auto()


NOT_CONFIGURED: Final = SecretCheck.NOT_CONFIGURED
WRONG: Final = SecretCheck.WRONG
"""As plain names because members of an Enum are slow in Python 3.11."""


@dataclass(frozen=True, slots=True)
class Trust:
    """The ``client_address`` setting, compiled once per configuration and list of prefixes.

    Attributes:
        source: ``peer`` or the lower-case name of the header that carries the address.
        networks: Trusted proxies, or None if hops are counted instead.
        hops: Number of entries at the right of X-Forwarded-For that our own proxies added.
        cdn: CloudFront's origin-facing prefixes. Their region is never looked up: some contain
            blocks labelled EC2, and all clients behind the CDN would be redirected to that region.
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
        """Compile the setting; its word ``cloudfront`` stands for ``cdn``."""
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

    def secret(self, request: Request) -> SecretCheck:
        """Whether the request has the origin secret, compared in constant time."""
        if self.secret_header is None:
            return NOT_CONFIGURED
        shown = request.headers.get(self.secret_header)
        if shown is None:
            return SecretCheck.ABSENT
        right = [hmac.compare_digest(shown, value) for value in self.secret_values]
        return SecretCheck.RIGHT if any(right) else WRONG

    def client(self, request: Request) -> ResolvedAddress:
        """The client's address."""
        peer = _packed_peer(request.peer or "")
        if peer is None:
            return ResolvedAddress(None, "the peer has no IP address")
        only_peer = self._only_peer(request, peer)
        if only_peer is not None:
            return self._peer(peer, only_peer)
        if self.source != "x-forwarded-for":
            return self._single(request)
        return self._forwarded(request, peer)

    def _only_peer(self, request: Request, peer: bytes) -> str | None:
        """Why the header is not used and the peer counts, or None when the header is used."""
        if self.source == "peer":
            return "the socket's peer"
        if self.secret_header is not None and self.secret_header not in request.headers:
            header = self.secret_header.decode()
            return f"the socket's peer; {self.source} is ignored without {header}"
        if self.networks is None or self._is_proxy(peer):
            return None
        return "the socket's peer, which is not a trusted proxy"

    def _peer(self, peer: bytes, how: str) -> ResolvedAddress:
        if self.cdn.holds_packed(peer):
            return ResolvedAddress(None, f"{how}: it is an address of CloudFront")
        if self.source != "peer" and self._is_proxy(peer):
            return ResolvedAddress(None, f"{how}: it is a trusted proxy, not a client")
        return ResolvedAddress(address_text(peer), how, peer)

    @property
    def reads(self) -> frozenset[bytes]:
        """Lower-case names of the header fields that are read."""
        names = {self.secret_header} if self.secret_header else set()
        return frozenset(names if self.source == "peer" else names | {self.source.encode()})

    def _is_proxy(self, packed: bytes) -> bool:
        if self.networks is None:
            return False
        return self.networks.holds_packed(packed) or (
            self.cdn_is_proxy and self.cdn.holds_packed(packed)
        )

    def _forwarded(self, request: Request, peer: bytes) -> ResolvedAddress:
        """Read X-Forwarded-For from the right: the client may have written what is at its left."""
        value = request.headers.get(FORWARDED_FOR, b"").decode("latin-1")
        if not value.strip():
            return _NOT_SENT
        entries = value.split(",")
        if self.networks is not None:
            return self._walk(entries, peer)
        hops = self.hops or 1
        if len(entries) < hops:
            return ResolvedAddress(None, f"X-Forwarded-For has fewer than {hops} entries")
        return self._entry(entries, hops)

    def _walk(self, entries: list[str], peer: bytes) -> ResolvedAddress:
        """The first address from the right that is not a trusted proxy.

        If all are trusted, the leftmost: a client in the private network.
        """
        found = _NOT_SENT
        for number in range(1, len(entries) + 1):
            found = self._entry(entries, number)
            if found.packed is None or not self._is_proxy(found.packed):
                return found
        if found.packed == peer or (self.cdn_is_proxy and self.cdn.holds(found.address or "")):
            return ResolvedAddress(None, f"{found.how}: all entries are trusted proxies")
        return found

    def _entry(self, entries: list[str], number: int) -> ResolvedAddress:
        """The address in an entry, counted from the right.

        An address of CloudFront with another entry to its left is not a client: that entry is the
        viewer, which CloudFront wrote.
        """
        packed = _with_port(entries[-number])
        entry = _entry_name(number)
        if packed is None:
            return ResolvedAddress(None, f"{entry} is not an address")
        has_viewer = number < len(entries) and not self.cdn_is_proxy
        if has_viewer and self.cdn.holds_packed(packed):
            why = f"{entry} is an address of CloudFront; add cloudfront or a hop to the setting"
            return ResolvedAddress(None, why)
        return ResolvedAddress(address_text(packed), entry, packed)

    def _single(self, request: Request) -> ResolvedAddress:
        """A header that holds one address. Two such headers arrive joined, and are not usable."""
        value = request.headers.get(self.source.encode(), b"").decode("latin-1").strip()
        if self.source.encode() == VIEWER_ADDRESS:
            # IPv6 has no brackets here, so the port is what follows the last colon
            host, _, port = value.rpartition(":")
            usable = port.isascii() and port.isdigit()
            packed = packed_address(host.removeprefix("[").removesuffix("]")) if usable else None
        else:
            packed = _with_port(value)
        if packed is None:
            return ResolvedAddress(None, f"{self.source} has no address")
        return ResolvedAddress(address_text(packed), self.source, packed)


def _with_port(text: str) -> bytes | None:
    """An address with or without port: ``1.2.3.4:5``, ``[2001:db8::1]:5``, ``"[2001:db8::1]"``."""
    text = text.strip()
    packed = packed_address(text)  # most have no port
    if packed is None and (found := _WITH_PORT.fullmatch(text.strip('"'))) is not None:
        packed = packed_address(found[1] if found[1] is not None else found[2])
    return packed


def plain_address(text: str) -> str | None:
    """Canonical text of an address, IPv4-mapped IPv6 as IPv4; None if it is not an address."""
    packed = packed_address(text)
    return None if packed is None else address_text(packed)


def client_network(address: str | None) -> bytes:
    """The network that counts as one client: an IPv4 /24, or an IPv6 /56; empty if not known.

    A provider assigns a /56 or more to one customer (RFC 6177), who can use any address in it.
    """
    packed = packed_address(address or "") or b""
    return packed[:3] if len(packed) == _PACKED4 else packed[:7]
