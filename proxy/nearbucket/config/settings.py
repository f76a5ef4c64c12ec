"""Every setting once: its type, default, help and check.

In: the merged mapping of file and environment. Out: one frozen ``Settings``. Refuses to
know where a value came from, and accepts no key that nothing in the product obeys.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, field_validator, model_validator

from nearbucket.config.aws_endpoints import known_regions
from nearbucket.config.buckets import unknown_region
from nearbucket.config.prices import Prices
from nearbucket.config.sites import Site
from nearbucket.config.value_types import Duration, Network, Port, Section, network, switch

TRUST_WORDS = ("loopback", "private", "cloudfront")
"""Names for networks in ``client_address.trusted_proxies``."""


class Tls(Section):
    """Certificate of the public port, read again when the files change."""

    certificate: Path
    """PEM file with the certificate and its chain."""
    key: Path
    """PEM file with the private key."""


class Listen(Section):
    """The public port. HTTP/1.1 only, with and without TLS."""

    host: str = "0.0.0.0"
    """Address to listen on."""
    port: Port = 8080
    """Port to listen on; 0 takes a free one and logs it."""
    workers: Literal["auto"] | Annotated[int, Field(ge=1, le=256)] = "auto"
    """Processes sharing the port; ``auto`` is one per CPU this process may use."""
    tls: Tls | None = None
    """Serve HTTPS; plain HTTP when unset."""
    well_known: bool = True
    """Whether ``/.well-known/nearbucket-hosts.json`` lists the hosts clients may be sent to."""


class Admin(Section):
    """Metrics, health, explain and dashboard: never on the public port."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: Port = 9090
    """Port to listen on; 0 takes a free one and logs it."""


class OriginSecret(Section):
    """A header that only our own CDN adds."""

    header: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")] = "x-origin-verify"
    """Name of the header."""
    values: Annotated[tuple[str, ...], Field(min_length=1)]
    """Accepted values, two while rotating. In the file: ``file:PATH`` or ``env:NAME``."""


class ClientAddress(Section):
    """Where the client's address is read, and whom to believe."""

    source: Annotated[
        Literal["peer", "x-forwarded-for", "cloudfront-viewer-address", "x-real-ip"],
        Field(alias="from"),
    ] = "peer"
    """The socket's peer, or the header that carries the client's address."""
    trusted_proxies: tuple[str, ...] = ()
    """Networks, and the words loopback, private, cloudfront; read from the right."""
    trusted_hops: Annotated[int, Field(ge=1, le=16)] | None = None
    """Instead of networks: how many entries from the right our own hops added."""
    origin_secret: OriginSecret | None = None
    """When set, forwarded headers of requests without the secret are ignored."""

    @field_validator("trusted_proxies")
    @classmethod
    def _networks_or_words(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(value if value in TRUST_WORDS else network(value) for value in values)

    @model_validator(mode="after")
    def _somebody_is_trusted(self) -> Self:
        if self.trusted_proxies and self.trusted_hops:
            raise ValueError("give trusted_proxies or trusted_hops, not both")
        trusted = self.trusted_proxies or self.trusted_hops or self.origin_secret
        if self.source == "peer" and (self.trusted_proxies or self.trusted_hops):
            raise ValueError("from: peer reads no header, so nobody is to be trusted with one")
        if self.source != "peer" and not trusted:
            raise ValueError(
                f"from: {self.source} believes nobody yet; add trusted_proxies (networks of your "
                "load balancer), trusted_hops or origin_secret"
            )
        return self


class Regions(Section):
    """AWS's published prefixes."""

    source: str = "https://ip-ranges.amazonaws.com/ip-ranges.json"
    """URL of ip-ranges.json, or a file."""
    refresh: Duration = 3600.0
    """How often the source is asked."""
    cache: Path = Path("~/.cache/nearbucket/ip-ranges.json")
    """Where the last good copy is kept."""
    services: Annotated[tuple[str, ...], Field(min_length=1)] = ("EC2",)
    """AWS service labels that count as a machine in the region."""
    overrides: dict[Network, str | None] = Field(default_factory=dict)
    """Network to region, or to ``none``; for VPC, BYOIP and office ranges."""
    required: bool = True
    """Whether ``/readyz`` waits for a list; without one every client is UNKNOWN and streamed."""

    @field_validator("source")
    @classmethod
    def _url_or_file(cls, value: str) -> str:
        if "://" in value and not value.startswith(("https://", "http://")):
            raise ValueError(f"{value!r} is neither an http(s) URL nor a file")
        return value

    @field_validator("overrides")
    @classmethod
    def _none_is_no_region(cls, values: dict[str, str | None]) -> dict[str, str | None]:
        return {network: None if name == "none" else name for network, name in values.items()}


class Catalog(Section):
    """What is known of the objects that clients are redirected to."""

    entries: Annotated[int, Field(ge=1000, le=10_000_000)] = 200_000
    """Objects of all buckets that one worker knows about; about 0.5 KiB each."""
    wait: Duration = 0.25
    """How long a request may wait for S3 to say what it holds; then it is streamed."""
    warm_up: Annotated[Literal["list", "off"], BeforeValidator(switch)] = "off"
    """``list`` learns at the start what the buckets hold, from their listings or inventories, as
    much as half of ``entries``."""


class Limits(Section):
    """Bounds on what clients can hold."""

    header_timeout: Duration = 10.0
    """How long a request head may take from its first byte."""
    idle_timeout: Duration = 75.0
    """How long a connection may stay open without a request; above the load balancer's own."""
    max_connections: Annotated[int, Field(ge=1)] = 20000
    """Client connections over all workers; one more gets 503."""
    drain_timeout: Duration = 25.0
    """How long running answers may take after SIGTERM; below the task's stop timeout."""


class Log(Section):
    """What is written to standard output, and how much of it."""

    access: Annotated[Literal["json", "w3c", "off"], BeforeValidator(switch)] = "json"
    """Access log: JSON lines, CloudFront's own field names, or none."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """Lowest level of the log on standard error."""
    reason_header: bool = True
    """Whether answers carry ``X-Nearbucket``."""


class Settings(Section):
    """The whole configuration."""

    listen: Listen = Listen()
    """The public port."""
    admin: Admin = Admin()
    """Metrics, health, explain and dashboard."""
    client_address: ClientAddress = ClientAddress()
    """Where the client's address is read, and whom to believe."""
    regions: Regions = Regions()
    """AWS's published prefixes."""
    sites: Annotated[tuple[Site, ...], Field(min_length=1)]
    """What is served, by host name."""
    catalog: Catalog = Catalog()
    """What is known of the objects that clients are redirected to."""
    limits: Limits = Limits()
    """Bounds on what clients can hold."""
    log: Log = Log()
    """What is written to standard output."""
    prices: Prices = Prices()
    """What traffic costs, for figures about savings."""

    @model_validator(mode="after")
    def _hosts_are_distinct(self) -> Self:
        hosts = [host for site in self.sites for host in site.hosts]
        for host in hosts:
            if hosts.count(host) > 1:
                raise ValueError(f"sites: host {host!r} is listed twice")
        own = {host.strip("[]") for host in hosts}
        for site in self.sites:
            for region, target in site.targets.items():
                name = urlsplit(target.location()).hostname
                if name in own:
                    raise ValueError(f"sites: targets.{region}: {name} is our own host (loop)")
            if site.bypass.to and urlsplit(site.bypass.to).hostname in own:
                raise ValueError(f"sites: bypass.to: {site.bypass.to} is our own host (loop)")
        return self

    @property
    def sent_to(self) -> list[str]:
        """Every host that a client may be sent to."""
        return sorted({host for site in self.sites for host in site.sent_to})

    @model_validator(mode="after")
    def _regions_are_known(self) -> Self:
        known = known_regions() | {region for site in self.sites for region in site.targets}
        for network_, region in self.regions.overrides.items():
            if region is not None and region not in known:
                raise ValueError(f"regions.overrides: {network_}: {unknown_region(region)}")
        for region in self.prices.region_per_gb:
            if region not in known:
                raise ValueError(f"prices.region_per_gb: {unknown_region(region)}")
        return self

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        if self.listen.port == self.admin.port != 0:
            raise ValueError(
                f"admin.port: {self.admin.port} is listen.port too; clients would reach the "
                "admin port"
            )
        return self
