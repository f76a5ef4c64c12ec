"""The sections of the configuration, apart from sites: types, defaults, meanings and checks.

The text below a setting is its description in the documentation and the JSON Schema.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, field_validator, model_validator

from nearbucket.config.aws_endpoints import known_regions, unknown_region
from nearbucket.config.prices import Prices
from nearbucket.config.sites import Site
from nearbucket.config.value_types import (
    NOT_BOOLEAN,
    CertificateFile,
    Duration,
    DurationOrZero,
    KeyFile,
    ListenHost,
    Network,
    Port,
    Rate,
    Section,
    SettingError,
    Size,
    like,
    nearest,
    network,
    switch,
    without_secrets,
)

AWS_LIST = "https://ip-ranges.amazonaws.com/ip-ranges.json"
"""Where AWS publishes its prefixes."""
TRUST_WORDS = ("loopback", "private", "cloudfront")
"""Words that stand for networks in ``client_address.trusted_proxies``."""
_SMALLEST_HEAD, _LARGEST_HEAD = 8 * 1024, 1024 * 1024
"""Bytes of a head of one line of the longest URL, and of one with all fields that are read."""
_HEADER = r"^[A-Za-z0-9-]+$"


class Tls(Section):
    """Certificate of the public port, reloaded when the files change."""

    certificate: CertificateFile
    """PEM file with the certificate and its chain."""
    key: KeyFile
    """PEM file with the private key."""


class Listen(Section):
    """The public port. HTTP/1.1 only, with and without TLS."""

    host: ListenHost = "0.0.0.0"
    """Address to listen on."""
    port: Port = 8080
    """Port to listen on; 0 takes a free one and logs it."""
    workers: Literal["auto"] | Annotated[int, Field(ge=1, le=256), NOT_BOOLEAN] = "auto"
    """Number of worker processes; ``auto`` is one per CPU that this process may use."""
    tls: Tls | None = None
    """Serve HTTPS; plain HTTP when unset."""
    well_known: bool = True
    """Whether ``/.well-known/nearbucket-hosts.json`` lists the hosts of all redirects."""


class Admin(Section):
    """The admin port: metrics, health, explain and dashboard."""

    host: ListenHost = "127.0.0.1"
    """Address to listen on."""
    port: Port = 9090
    """Port to listen on; 0 takes a free one and logs it."""
    hosts: tuple[str, ...] = ()
    """Public host names under which it is asked. Addresses, names without a dot, and private ones
    (.local, .internal, .svc) always work; others are refused, so that no web page can read it
    through an operator's browser (DNS rebinding)."""

    @field_validator("hosts")
    @classmethod
    def _host_names(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        names = tuple(value.lower().rstrip(".") for value in values)
        for position, name in enumerate(names):
            if not name or set("/:*@ ") & set(name):
                text = "is not a host name; write one without scheme, port and *, such as "
                raise SettingError(f"{text}admin.example.com", position)
        return names


class OriginSecret(Section):
    """A secret header that only your own CDN adds."""

    header: Annotated[
        str, Field(pattern=_HEADER), like(_HEADER, "a header name such as x-origin-verify")
    ] = "x-origin-verify"
    """Name of the header."""
    values: Annotated[tuple[str, ...], Field(min_length=1)]
    """Accepted values, two during a rotation. Written as ``file:PATH`` or ``env:NAME``."""


class ClientAddress(Section):
    """Where the client's address is read, and which proxies are trusted."""

    source: Annotated[
        Literal["peer", "x-forwarded-for", "cloudfront-viewer-address", "x-real-ip"],
        Field(alias="from"),
    ] = "peer"
    """The socket's peer, or the header with the client's address."""
    trusted_proxies: tuple[str, ...] = ()
    """Networks of your proxies, or the words loopback, private, cloudfront."""
    trusted_hops: Annotated[int, Field(ge=1, le=16), NOT_BOOLEAN] | None = None
    """Instead of networks: how many entries at the right of the header your own proxies added."""
    origin_secret: OriginSecret | None = None
    """If set, the header is ignored in requests without this secret."""

    @field_validator("trusted_proxies")
    @classmethod
    def _networks_or_words(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_trusted(number, value) for number, value in enumerate(values))

    @model_validator(mode="after")
    def _header_is_trusted(self) -> Self:
        if self.trusted_proxies and self.trusted_hops:
            raise SettingError(
                "is beside trusted_proxies; give trusted_proxies or trusted_hops", "trusted_hops"
            )
        trusted = self.trusted_proxies or self.trusted_hops or self.origin_secret
        if self.source == "peer" and (self.trusted_proxies or self.trusted_hops):
            key = "trusted_proxies" if self.trusted_proxies else "trusted_hops"
            raise SettingError(
                "has no use with from: peer, which reads no header; write from: x-forwarded-for, "
                f"or remove {key}",
                key,
            )
        if self.source != "peer" and not trusted:
            raise SettingError(
                "trusts no proxy yet; add trusted_proxies (networks of your load balancer), "
                "trusted_hops or origin_secret",
                "from",
            )
        return self


class Regions(Section):
    """AWS's published list of IP prefixes."""

    source: str = AWS_LIST
    """URL of ip-ranges.json, or a file. A URL with a user name or password can only be given in the
    environment. With AWS's URL, a built-in list is used until the first fetch, unless ``cache`` has
    a newer one."""
    refresh: Duration = 3600.0
    """Time between two requests to the source."""
    cache: Path = Path("~/.cache/nearbucket/ip-ranges.json")
    """File for the last good copy."""
    services: Annotated[tuple[str, ...], Field(min_length=1)] = ("EC2",)
    """AWS service labels whose prefixes count."""
    overrides: dict[Network, str | None] = Field(default_factory=dict)
    """Region of a network, or ``none``; for VPC, BYOIP and office networks."""
    required: bool = True
    """Whether ``/readyz`` waits for a list. Without one, all clients are UNKNOWN and streamed."""

    @field_validator("source")
    @classmethod
    def _url_or_file(cls, value: str) -> str:
        if "://" in value and not value.startswith(("https://", "http://")):
            raise ValueError("is neither an http(s) URL nor a file; write https://… or a path")
        try:
            url = urlsplit(without_secrets(value))  # a password may hold a slash
            has_host = "://" not in value or (bool(url.hostname) and url.port != 0)
        except ValueError:  # brackets, or a port that is none
            has_host = False
        if not has_host:
            raise ValueError("is a URL without a usable host and port; write https://host/path")
        return value

    @field_validator("overrides")
    @classmethod
    def _none_is_no_region(cls, values: dict[str, str | None]) -> dict[str, str | None]:
        return {network: None if name == "none" else name for network, name in values.items()}


class Catalog(Section):
    """What each worker remembers of the objects in the buckets."""

    entries: Annotated[int, Field(ge=1000, le=10_000_000), NOT_BOOLEAN] = 200_000
    """Number of objects that a worker remembers; about 0.5 KiB each."""
    wait: Duration = 1.0
    """How long a request waits for S3 to say whether the copy is there; then it is streamed."""
    warm_up: Annotated[Literal["list", "off"], BeforeValidator(switch)] = "off"
    """``list`` reads the listings or inventories of the buckets at the start, up to half of
    ``entries``."""


class Limits(Section):
    """Limits for client connections."""

    header_timeout: Duration = 10.0
    """Time for a request head, from its first byte, and for a TLS handshake."""
    header_size: Size = 64 * 1024
    """Largest request head, with its request line, from 8KiB to 1MiB; a larger one gets 431."""
    idle_timeout: Duration = 75.0
    """How long a connection may stay open without a request, or its client take no byte of an
    answer; longer than the load balancer's, and than the window steps of slow clients."""
    max_connections: Annotated[int, Field(ge=1), NOT_BOOLEAN] = 20000
    """Client connections of all workers together, TLS handshakes included; further ones get 503, or
    are closed if ``listen.tls`` is set."""
    per_client: Annotated[int, Field(ge=1), NOT_BOOLEAN] | None = None
    """Streams and checks that may be in progress for one network of clients (IPv4 /24, IPv6 /56) in
    each worker; further requests get 429, unless they are redirected. Unset: no limit. Clients
    behind one NAT gateway are one network."""
    max_streams: Literal["auto"] | Annotated[int, Field(ge=1), NOT_BOOLEAN] = "auto"
    """Objects that each worker streams from one origin at a time; further requests get 503, unless
    they are redirected. ``auto``: as many as the open files and half of the memory allow."""
    min_rate: Rate = 1024
    """Bytes a second that a client has to take on average. One that takes less is disconnected when
    its credit, twice ``idle_timeout``, is used up. 0 for no minimum."""
    drain_grace: DurationOrZero = 5.0
    """How long connections are still accepted after SIGTERM, while ``/readyz`` answers 503, so that
    load balancers notice; part of ``drain_timeout``."""
    drain_timeout: Duration = 25.0
    """Time from SIGTERM until answers that still run are cut; shorter than the container's stop
    timeout."""

    @model_validator(mode="after")
    def _grace_is_part(self) -> Self:
        if "drain_grace" in self.model_fields_set and self.drain_grace >= self.drain_timeout:
            raise SettingError(
                "is not shorter than drain_timeout, of which it is a part; lower it, or raise "
                "drain_timeout",
                "drain_grace",
            )
        return self

    @field_validator("header_size")
    @classmethod
    def _holds_a_line(cls, value: int) -> int:
        if not _SMALLEST_HEAD <= value <= _LARGEST_HEAD:
            raise ValueError("is too small or too large; write a size from 8KiB to 1MiB")
        return value


class Log(Section):
    """The access log on standard output, and the process log on standard error."""

    access: Annotated[Literal["json", "w3c", "off"], BeforeValidator(switch)] = "json"
    """Format of the access log: JSON, CloudFront's W3C fields, or no log."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """Lowest level of the process log."""
    format: Literal["text", "json"] = "text"
    """Format of the process log: text for people, or a JSON object a line."""
    metrics: Annotated[Literal["emf", "off"], BeforeValidator(switch)] = "off"
    """Main figures in the process log each minute, from which CloudWatch makes metrics (embedded
    metric format); for those without Prometheus."""
    reason_header: bool = True
    """Whether answers have the ``X-Nearbucket`` field."""


class Settings(Section):
    """The whole configuration."""

    listen: Listen = Listen()
    """The public port."""
    admin: Admin = Admin()
    """The admin port: metrics, health, explain and dashboard."""
    client_address: ClientAddress = ClientAddress()
    """Where the client's address is read, and which proxies are trusted."""
    regions: Regions = Regions()
    """AWS's published list of IP prefixes."""
    sites: Annotated[tuple[Site, ...], Field(min_length=1)]
    """The sites, by host name."""
    catalog: Catalog = Catalog()
    """What each worker remembers of the objects in the buckets."""
    limits: Limits = Limits()
    """Limits for client connections."""
    log: Log = Log()
    """The access log on standard output, and the process log on standard error."""
    prices: Prices = Prices()
    """Prices in US dollars, for estimates of savings."""

    @model_validator(mode="after")
    def _hosts_are_distinct(self) -> Self:
        seen: set[str] = set()
        for number, site in enumerate(self.sites):
            for position, host in enumerate(site.hosts):
                if host in seen:
                    text = "is listed twice; a host belongs to one site: remove it here or there"
                    raise SettingError(text, "sites", number, "hosts", position)
                seen.add(host)
        return self

    @model_validator(mode="after")
    def _no_loop(self) -> Self:
        own = {host.strip("[]") for site in self.sites for host in site.hosts}
        for number, site in enumerate(self.sites):
            for region, target in site.targets.items():
                name = urlsplit(target.location()).hostname
                if name in own:
                    text = f"leads back to this proxy (loop): {name} is in hosts; remove it there"
                    key = "public_url" if target.public_url else "bucket"
                    raise SettingError(text, "sites", number, "targets", region, key)
            if site.bypass.to and urlsplit(site.bypass.to).hostname in own:
                text = "leads back to this proxy (loop): its host is in hosts; write another"
                raise SettingError(text, "sites", number, "bypass", "to")
        return self

    @property
    def sent_to(self) -> list[str]:
        """All hosts of redirects."""
        return sorted({host for site in self.sites for host in site.sent_to})

    @model_validator(mode="after")
    def _regions_are_known(self) -> Self:
        known = known_regions() | {region for site in self.sites for region in site.targets}
        for network_, region in self.regions.overrides.items():
            if region is not None and region not in known:
                text = f"{unknown_region(region)} (none stands for no region)"
                raise SettingError(text, "regions", "overrides", network_, value=region)
        for region in self.prices.region_per_gb:
            if region not in known:
                path = "prices", "region_per_gb", region
                raise SettingError(unknown_region(region), *path, value=region)
        return self

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        if self.listen.port == self.admin.port != 0:
            section = "listen" if "port" in self.listen.model_fields_set else "admin"
            other = "admin" if section == "listen" else "listen"
            raise SettingError(f"is also {other}.port; write another", section, "port")
        return self


def _trusted(number: int, value: str) -> str:
    """A word, or the canonical text of a network."""
    if value in TRUST_WORDS:
        return value
    if near := nearest(value, TRUST_WORDS):
        raise SettingError(f"is not a network; did you mean {near}?", number)
    try:
        return network(value)
    except ValueError as error:
        raise SettingError(f"{error} ({', '.join(TRUST_WORDS)} stand for some)", number) from None
