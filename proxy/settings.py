"""Every setting once: its type, default, help and check.

In: the merged mapping of file and environment. Out: one frozen ``Settings``. Refuses to
know where a value came from, and accepts no key that nothing in the product obeys.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, field_validator, model_validator

from proxy.buckets import Origin, Target, unknown_region
from proxy.endpoints import partition_of
from proxy.fields import Duration, Network, Port, Section, network, switch

_HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\]")

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

    @field_validator("overrides")
    @classmethod
    def _none_is_no_region(cls, values: dict[str, str | None]) -> dict[str, str | None]:
        return {network: None if name == "none" else name for network, name in values.items()}


class Redirect(Section):
    """Which requests are redirected, and how."""

    mode: Annotated[Literal["on", "shadow", "off"], BeforeValidator(switch)] = "on"
    """``shadow`` counts what would be redirected, and streams it."""
    percent: Annotated[float, Field(ge=0, le=100)] = 100.0
    """Share of eligible requests, chosen by a stable hash of client and path."""
    paths: tuple[str, ...] = ("*.tar.*z*",)
    """Shell patterns on the object key; ``*`` matches slashes too."""
    exclude: tuple[str, ...] = ()
    """Shell patterns that are never redirected; they win over ``paths``."""
    status: Literal[301, 302, 303, 307, 308] = 301
    """Status of the redirect."""
    scheme: Literal["https", "http"] = "https"
    """Scheme of Location; ``http`` only for private networks and tests."""


class Bypass(Section):
    """What a request that is not redirected gets."""

    mode: Literal["stream"] = "stream"
    """``stream``: the object, from the origin, through the proxy."""


class OptOut(Section):
    """How a client says that it cannot follow redirects."""

    query: str | None = "redirect=no"
    """Query argument, compared as it stands in the URL."""
    header: str | None = "x-no-redirect"
    """Header whose presence is enough."""
    user_agents: tuple[str, ...] = ()
    """Shell patterns on the User-Agent."""
    networks: tuple[Network, ...] = ()
    """Networks whose clients are never redirected."""


class Site(Section):
    """One origin, its targets and the rules for a set of host names."""

    hosts: Annotated[tuple[str, ...], Field(min_length=1)] = ("*",)
    """Names in the Host header, without port; ``*`` serves every name."""
    origin: Origin
    """The bucket that holds every object."""
    targets: dict[str, Target] = Field(default_factory=dict)
    """Client region to the bucket its clients are sent to."""
    redirect: Redirect = Redirect()
    """Which requests are redirected, and how."""
    bypass: Bypass = Bypass()
    """What a request that is not redirected gets."""
    opt_out: OptOut = OptOut()
    """How a client says that it cannot follow redirects."""

    index: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$")] | None = None
    """Object served for keys that end in a slash, such as index.html."""

    @property
    def name(self) -> str:
        """The site in metrics, logs and ``--site``: its first host."""
        return self.hosts[0]

    @field_validator("hosts")
    @classmethod
    def _host_names(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        names = tuple(value.lower().rstrip(".") for value in values)
        for name in names:
            if name != "*" and not _HOST.fullmatch(name):
                raise ValueError(f"{name!r} is not a host name (no port, no scheme; or *)")
        return names

    @field_validator("targets", mode="before")
    @classmethod
    def _region_from_key(cls, values: Any) -> Any:
        """A target's ``region`` defaults to the client region it is listed under."""
        if not isinstance(values, dict):
            return values
        return {
            key: {"region": key, **value} if isinstance(value, dict) else value
            for key, value in values.items()
        }

    @model_validator(mode="after")
    def _targets_are_reachable(self) -> Self:
        for region, target in self.targets.items():
            if target.endpoint is None and partition_of(region) != partition_of(target.region):
                raise ValueError(
                    f"targets.{region}: clients there cannot use a bucket of {target.region}, "
                    "another AWS partition"
                    if partition_of(region)
                    else f"targets: {unknown_region(region)}"
                )
            url = urlsplit(target.location())
            if url.scheme != self.redirect.scheme:
                raise ValueError(
                    f"targets.{region}: Location would be {url.scheme}:, but redirect.scheme is "
                    f"{self.redirect.scheme}; give an {self.redirect.scheme}: public_url, or set "
                    f"redirect.scheme: {url.scheme}"
                )
            if url.hostname in self.hosts:
                raise ValueError(f"targets.{region}: {url.hostname} is this site's own host (loop)")
        return self


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
    limits: Limits = Limits()
    """Bounds on what clients can hold."""
    log: Log = Log()
    """What is written to standard output."""

    @model_validator(mode="after")
    def _hosts_are_distinct(self) -> Self:
        hosts = [host for site in self.sites for host in site.hosts]
        for host in hosts:
            if hosts.count(host) > 1:
                raise ValueError(f"sites: host {host!r} is listed twice")
        return self
