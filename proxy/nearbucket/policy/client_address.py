"""Whose request it is: socket peer, headers and trust in, the client's address out.

In: a ``Request`` and the operator's words about who may be believed. Out: one address,
or None where a trusted hop gives no usable one. Refuses to know what region an address
is in, and to believe anything that a client could have written itself.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple

from nearbucket.regions.prefixes import address_text, packed_address
from nearbucket.regions.region_table import NetworkSet, network_set

if TYPE_CHECKING:
    from nearbucket.config.settings import ClientAddress
    from nearbucket.policy.model import Request

_LOOPBACK = ("127.0.0.0/8", "::1/128")
_PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
_WITH_PORT = re.compile(r"(?:\[([^\]]*)\]|([^:]*))(?::\d{1,5})?")

FORWARDED_FOR = b"x-forwarded-for"
VIEWER_ADDRESS = b"cloudfront-viewer-address"


class ResolvedAddress(NamedTuple):
    """The client's address, None when nobody can say it, and where that was read.

    Attributes:
        address: Canonical text.
        how: For people.
        packed: The address for lookups, as ``packed_address`` gives it.
    """

    address: str | None
    how: str
    packed: bytes | None = None


class SecretCheck(Enum):
    """What a request shows of the origin secret."""

    NOT_CONFIGURED = auto()
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

    def secret(self, request: Request) -> SecretCheck:
        """Whether the request shows the origin secret; compared in constant time."""
        if self.secret_header is None:
            return SecretCheck.NOT_CONFIGURED
        shown = request.headers.get(self.secret_header)
        if shown is None:
            return SecretCheck.ABSENT
        right = [hmac.compare_digest(shown, value) for value in self.secret_values]
        return SecretCheck.RIGHT if any(right) else SecretCheck.WRONG

    def client(self, request: Request) -> ResolvedAddress:
        """The client's address, as far as trusted hops vouch for it."""
        peer = packed_address(request.peer or "")
        if peer is None:
            return ResolvedAddress(None, "the peer has no IP address")
        doubt = self._doubt(request, peer)
        if doubt is not None:
            return self._peer(peer, doubt)
        if self.source != "x-forwarded-for":
            return self._single(request)
        return self._forwarded(request, peer)

    def _doubt(self, request: Request, peer: bytes) -> str | None:
        """Why only the peer counts, or None when its forwarded header does."""
        if self.source == "peer":
            return "the socket's peer"
        if self.secret_header is not None and self.secret_header not in request.headers:
            header = self.secret_header.decode()
            return f"the socket's peer, for without {header} no forwarded header counts"
        if self.networks is None or self._is_proxy(peer):
            return None
        return "the socket's peer, which is no trusted proxy"

    def _peer(self, peer: bytes, doubt: str) -> ResolvedAddress:
        """The peer itself, where it may be a client at all."""
        if self.cdn.holds_packed(peer):
            return ResolvedAddress(None, f"{doubt}: that is CloudFront's own address")
        if self.source != "peer" and self._is_proxy(peer):
            return ResolvedAddress(None, f"{doubt}: that is a trusted proxy, not a client")
        return ResolvedAddress(address_text(peer), doubt, peer)

    @property
    def reads(self) -> frozenset[bytes]:
        """Lower-case names of the fields that trust depends on."""
        names = {self.secret_header} if self.secret_header else set()
        return frozenset(names if self.source == "peer" else names | {self.source.encode()})

    def _is_proxy(self, packed: bytes) -> bool:
        if self.networks is None:
            return False
        return self.networks.holds_packed(packed) or (
            self.cdn_is_proxy and self.cdn.holds_packed(packed)
        )

    def _forwarded(self, request: Request, peer: bytes) -> ResolvedAddress:
        """X-Forwarded-For, read from the right: the left end is the client's own words."""
        value = request.headers.get(FORWARDED_FOR, b"").decode("latin-1")
        if not value.strip():
            return ResolvedAddress(None, "a trusted proxy sent no X-Forwarded-For")
        entries = value.split(",")
        if self.networks is not None:
            return self._walk(entries, peer)
        hops = self.hops or 1
        if len(entries) < hops:
            return ResolvedAddress(None, f"X-Forwarded-For has fewer than {hops} entries")
        return self._entry(entries, hops)

    def _walk(self, entries: list[str], peer: bytes) -> ResolvedAddress:
        """Pass trusted proxies from the right; the first other address is the client.

        Where all are trusted, the last is: a client in the private network.
        """
        found = ResolvedAddress(None, "X-Forwarded-For")
        for number in range(1, len(entries) + 1):
            found = self._entry(entries, number)
            if found.packed is None or not self._is_proxy(found.packed):
                return found
        if found.packed == peer or (self.cdn_is_proxy and self.cdn.holds(found.address or "")):
            return ResolvedAddress(None, f"{found.how}: trusted proxies, and nobody behind them")
        return found

    def _entry(self, entries: list[str], number: int) -> ResolvedAddress:
        """The address at a place from the right.

        CloudFront's own is no client where something stands to its left: there CloudFront
        wrote the viewer, and looking its edge up would redirect everybody behind it.
        """
        packed = _with_port(entries[-number])
        place = f"entry {number} from the right of X-Forwarded-For"
        if packed is None:
            return ResolvedAddress(None, f"{place} is not an address")
        between = number < len(entries) and not self.cdn_is_proxy
        if between and self.cdn.holds_packed(packed):
            return ResolvedAddress(
                None, f"{place} is CloudFront's own address; is a hop uncounted?"
            )
        return ResolvedAddress(address_text(packed), place, packed)

    def _single(self, request: Request) -> ResolvedAddress:
        """A header with one address in it; two of them arrive joined and are not usable."""
        value = request.headers.get(self.source.encode(), b"").decode("latin-1").strip()
        if self.source.encode() == VIEWER_ADDRESS:
            # IPv6 stands there without brackets, so the port is what follows the last colon.
            host, _, port = value.rpartition(":")
            usable = port.isascii() and port.isdigit()
            packed = packed_address(host.removeprefix("[").removesuffix("]")) if usable else None
        else:
            packed = _with_port(value)
        if packed is None:
            return ResolvedAddress(None, f"{self.source} holds no address")
        return ResolvedAddress(address_text(packed), self.source, packed)


def _with_port(text: str) -> bytes | None:
    """The address in ``1.2.3.4:5``, ``[2001:db8::1]:5``, ``"[2001:db8::1]"`` or bare."""
    text = text.strip()
    packed = packed_address(text)  # most are bare
    if packed is None and (found := _WITH_PORT.fullmatch(text.strip('"'))) is not None:
        packed = packed_address(found[1] if found[1] is not None else found[2])
    return packed


def plain_address(text: str) -> str | None:
    """Canonical text of an address, IPv4-mapped IPv6 as IPv4; None for anything else."""
    packed = packed_address(text)
    return None if packed is None else address_text(packed)
