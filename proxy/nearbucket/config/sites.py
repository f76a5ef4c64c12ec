"""The settings of a site: its origin, its targets, and the rules for redirects."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from nearbucket.config.aws_endpoints import partition_of, unknown_region
from nearbucket.config.buckets import Bucket, Origin, Target, plain_url
from nearbucket.config.patterns import KeyPatterns, Patterns
from nearbucket.config.value_types import (
    Duration,
    DurationOrOff,
    Network,
    Percent,
    Section,
    SettingError,
    Size,
    like,
    number,
    switch,
)

_MODES = ("on", "shadow", "off")
_SIGNED = 60, 7 * 86400
_OBJECT_NAME = r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$"
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\]")


def _signable(seconds: float) -> float:
    if not _SIGNED[0] <= seconds <= _SIGNED[1]:
        raise ValueError("is not a time from 1m to 7d, for which URLs are signed; write 15m")
    return seconds


class Redirect(Section):
    """Which requests are redirected, and how."""

    mode: Annotated[Literal["on", "shadow", "off"], BeforeValidator(switch)] = "on"
    """``shadow`` counts what would be redirected, but streams it. ``off`` and ``shadow`` redirect
    nothing, not to ``bypass.to`` either."""
    percent: Percent = 100.0
    """Share of requests that are redirected, also to ``bypass.to``, chosen by a stable hash of
    client and path; the others are streamed."""
    paths: KeyPatterns = ("*.tar.*z*",)
    """Shell patterns for object keys that may be redirected; ``*`` matches slashes too."""
    exclude: KeyPatterns = ("*.sha256", "*.sha512", "*.md5", "*.asc", "*.sig")
    """Shell patterns for object keys that are never redirected, even if ``paths`` matches; by
    default the checksums and signatures of archives."""
    mutable: KeyPatterns = ()
    """Shell patterns for object keys that are always streamed from the origin, because they are
    overwritten often, such as ``latest/*``."""
    cookies: Patterns = ("*",)
    """Shell patterns for the names of cookies that count as credentials: a request with one is
    streamed. ``[]``: none. Cookies of analytics tools, such as ``_ga``, are set for all hosts of a
    domain, and so for this one."""
    min_size: Size = 0
    """Smaller objects, e.g. than 1MiB, are neither redirected nor copied by ``sync``."""
    verify: Literal["none", "exists", "match"] = "match"
    """What is checked before a redirect: that the target has the object (``exists``), also with the
    origin's size and ETag (``match``), or nothing (``none``)."""
    verify_ttl: Duration = 600.0
    """How long a positive check is valid at most. It is valid for a tenth of the object's age, but
    at least for 2 s; a negative one for as long as the copy was missing, from 2 s to 30 s."""
    came_back: DurationOrOff = 300.0
    """A client that repeats a request within this time after a redirect, twice in a row, is taken
    for one whose redirects fail: everything is streamed to it for an hour. ``off``: never."""
    watch: bool = True
    """Whether targets are checked every few seconds, and not used while they fail."""
    client_probe: bool = True
    """Whether an object of each target is requested every 30 s as clients request it, without a
    signature; ``false`` for buckets that allow clients, but not the proxy's network."""
    presign: Annotated[Duration, AfterValidator(_signable)] | None = None
    """Sign the Location, for targets that are not public; valid for 1m to 7d, e.g. 15m."""
    status: Annotated[Literal[301, 302, 303, 307, 308], BeforeValidator(number)] = 301
    """Status of the redirect."""
    head: Literal["stream", "redirect"] = "stream"
    """Whether a HEAD is answered with the object's header fields, or redirected as a GET is. It has
    no bytes to save, and clients that look up a URL with HEAD often fail at a redirect."""
    scheme: Literal["https", "http"] = "https"
    """Scheme of Location; ``http`` only for private networks and tests."""

    @field_validator("paths")
    @classmethod
    def _something_is_redirected(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        if not values:
            raise ValueError('redirects nothing; write ["*"] for all objects, or mode: off')
        return values


class Bypass(Section):
    """The answer to requests that are not redirected to a target."""

    mode: Literal["stream", "redirect"] = "stream"
    """Stream the object from the origin, or redirect to a CDN that has it cached, if
    ``redirect.mode`` is ``on``."""
    to: str | None = None
    """URL for ``mode: redirect``, to which the key is appended, such as https://cdn.example.com."""
    cache_control: Literal["private", "origin"] = "private"
    """Cache-Control of a streamed object that other clients are redirected for. ``private``: as S3
    sends it, but no cache that clients share, such as a CDN, may keep the answer, since it would
    hide the redirects. ``origin``: as S3 sends it."""

    @field_validator("to")
    @classmethod
    def _base_url(cls, value: str | None) -> str | None:
        return None if value is None else plain_url(value, path=True)

    @model_validator(mode="after")
    def _mode_fits_url(self) -> Self:
        if self.mode == "redirect" and self.to is None:
            text = "is required with mode: redirect; write a URL such as https://cdn.example.com"
            raise SettingError(text, "to")
        if self.mode != "redirect" and self.to is not None:
            raise SettingError("is used only with mode: redirect; add that, or remove to", "to")
        return self


class OptOut(Section):
    """Clients and requests that are not to be redirected."""

    query: str | None = "redirect=no"
    """Query argument, compared as it is in the URL."""
    header: str | None = "x-no-redirect"
    """Header field, with any value."""
    user_agents: Patterns = ()
    """Shell patterns for the User-Agent."""
    networks: tuple[Network, ...] = ()
    """Networks of clients."""


class Site(Section):
    """An origin and its targets, with the rules for a set of host names."""

    hosts: Annotated[tuple[str, ...], Field(min_length=1)] = ("*",)
    """Names in the Host field, without port; ``*`` stands for all other names."""
    origin: Origin
    """The bucket with all objects of the site."""
    failover: tuple[Bucket, ...] = ()
    """Further buckets with the same objects, asked in this order when the origin fails: no
    connection, no response in time, 5xx or throttling. Never for an object that the origin does not
    have."""
    targets: dict[str, Target] = Field(default_factory=dict)
    """The bucket to which clients in an AWS region are redirected."""
    redirect: Redirect = Redirect()
    """Which requests are redirected, and how."""
    bypass: Bypass = Bypass()
    """The answer to requests that are not redirected to a target."""
    opt_out: OptOut = OptOut()
    """Clients and requests that are not to be redirected."""
    index: (
        Annotated[
            str,
            Field(pattern=_OBJECT_NAME),
            like(_OBJECT_NAME, "a name without a folder, such as index.html"),
        ]
        | None
    ) = None
    """Name of the object served for a key that ends in a slash, such as index.html."""

    @property
    def name(self) -> str:
        """The site's name in metrics, logs and ``--site``: its first host."""
        return self.hosts[0]

    @property
    def key(self) -> str:
        """The site's key in messages about what it names; a number says nothing there.

        Messages about what is written in a file have the item's number instead, as variables do.
        """
        return f"sites.{self.name}"

    @property
    def origins(self) -> dict[str, Bucket]:
        """The origin and its failover buckets in order, each by its key in the site."""
        further = {f"failover.{place}": bucket for place, bucket in enumerate(self.failover)}
        return {"origin": self.origin, **further}

    @property
    def sent_to(self) -> list[str]:
        """All hosts of redirects."""
        bases = {
            self.targets[region].location(dualstack=dualstack)
            for region in self.regions_in_use
            for dualstack in (False, True)
        }
        if self.redirect.mode != "off":
            bases.add(self.bypass.to or "")
        return sorted({urlsplit(base).netloc for base in bases if base})

    @property
    def redirects_to_cdn(self) -> bool:
        """Whether clients without a target are redirected to ``bypass.to``, if there is one."""
        return self.redirect.mode == "on" and self.redirect.percent > 0

    def mode_of(self, region: str) -> str:
        """``redirect.mode`` for a target: the site's or its own, whichever redirects less."""
        return max(self.redirect.mode, self.targets[region].mode, key=_MODES.index)

    def bucket_region(self, region: str) -> str:
        """Where clients of ``region`` are sent: the region of the target's bucket, if it is on AWS.

        Their own, if it is on another server, whose regions are mere names.
        """
        target = self.targets[region]
        return target.region if target.on_aws else region

    @property
    def regions_in_use(self) -> list[str]:
        """Regions with a target that is not off."""
        return [region for region in self.targets if self.mode_of(region) != "off"]

    def buckets_to_check(self, region: str) -> list[tuple[str, Bucket]]:
        """The buckets in which an object is checked before a redirect to the target of ``region``.

        Each with its key in the configuration; the target is the last one.
        """
        origin = ("origin", self.origin)
        target = (f"targets.{region}", self.targets[region])
        match self.redirect.verify:
            case "match":
                return [origin, target]
            case "exists":
                return [origin, target] if self.redirect.min_size else [target]
            case "none":
                return [origin] if self.redirect.min_size else []

    @field_validator("hosts")
    @classmethod
    def _host_names(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        names = tuple(value.lower().rstrip(".") for value in values)
        for position, name in enumerate(names):
            if name != "*" and not _HOST.fullmatch(name):
                raise SettingError(f"is not a host name; {_host_cure(name)}", position)
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

    @model_validator(mode="before")
    @classmethod
    def _credentials_of_origin(cls, values: Any) -> Any:
        """The credentials of targets and failover buckets default to those of the origin."""
        if not isinstance(values, dict):
            return values
        match values.get("origin"):
            case {"credentials": credentials}:
                targets, failover = values.get("targets"), values.get("failover")
                if isinstance(targets, dict):
                    filled = {key: _with(credentials, each) for key, each in targets.items()}
                    values = {**values, "targets": filled}
                if isinstance(failover, list | tuple):
                    buckets = [_with(credentials, each) for each in failover]
                    values = {**values, "failover": buckets}
        return values

    @model_validator(mode="after")
    def _failover_is_elsewhere(self) -> Self:
        urls = {self.origin.object_base_url}
        for place, bucket in enumerate(self.failover):
            if bucket.object_base_url in urls:
                text = "is asked before already; write another bucket, or remove it"
                raise SettingError(text, "failover", place, "bucket", value=bucket.bucket)
            urls.add(bucket.object_base_url)
        return self

    @model_validator(mode="after")
    def _presign_has_credentials(self) -> Self:
        for region, target in self.targets.items():
            if self.redirect.presign and target.credentials == "anonymous":
                text = (
                    f"needs credentials, but those of targets.{region} are anonymous; remove "
                    "presign, or set credentials"
                )
                raise SettingError(text, "redirect", "presign")
        return self

    @model_validator(mode="after")
    def _requester_is_known(self) -> Self:
        for region, target in self.targets.items():
            if target.request_payer and self.redirect.presign is None:
                text = (
                    "needs redirect.presign, since a Requester Pays bucket refuses clients without "
                    "a signature; set redirect.presign: 15m"
                )
                raise SettingError(text, "targets", region, "request_payer")
        return self

    @model_validator(mode="after")
    def _targets_are_reachable(self) -> Self:
        for region, target in self.targets.items():
            if target.endpoint is None and partition_of(region) != partition_of(target.region):
                if partition_of(region) is None:
                    raise SettingError(unknown_region(region), "targets", region, value=region)
                text = (
                    f"is in another AWS partition than {region}, whose clients cannot use it; "
                    "write a region of theirs"
                )
                raise SettingError(text, "targets", region, "region", value=target.region)
            found = urlsplit(target.location()).scheme
            if found != self.redirect.scheme:
                raise SettingError(
                    f"would be sent to clients as {found}:, but redirect.scheme is "
                    f"{self.redirect.scheme}; give an {self.redirect.scheme}: public_url, or set "
                    f"redirect.scheme: {found}",
                    *("targets", region, "public_url" if target.public_url else "endpoint"),
                    value=target.location(),
                )
        return self


def _with(credentials: Any, bucket: Any) -> Any:
    """The mapping of a bucket, with these credentials unless it has its own."""
    return {"credentials": credentials, **bucket} if isinstance(bucket, dict) else bucket


def _host_cure(name: str) -> str:
    """What to write instead of what is no host name."""
    if "*" in name:
        return 'a wildcard stands for no part of a name: list each name, or write "*" for all'
    try:
        bare = urlsplit(name if "://" in name else f"//{name}").hostname or ""
    except ValueError:  # brackets
        bare = ""
    if bare != name and _HOST.fullmatch(bare):
        return f"write {bare}, without scheme, port and path"
    try:
        ascii_name = name.encode("idna").decode()
    except UnicodeError:
        ascii_name = ""
    if ascii_name != name and _HOST.fullmatch(ascii_name):
        return f"write {ascii_name}, as browsers send it"
    return "write a name such as downloads.example.com"
