"""The settings of a bucket: where it is, and with which credentials it is used."""

from __future__ import annotations

import re
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, field_validator, model_validator
from yarl import URL

from nearbucket.config.aws_endpoints import bucket_url, known_regions, partition_of
from nearbucket.config.value_types import Section, switch

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")

QueryName = Literal[
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "versionId",
]
"""Query arguments of GetObject; the other arguments of S3 list, describe or authorise."""


class KeyFiles(Section):
    """Static credentials, read from files (a mounted secret)."""

    access_key_file: Path
    """File with the access key id."""
    secret_key_file: Path
    """File with the secret access key."""


class Bucket(Section):
    """Where a bucket is, and with which credentials it is used."""

    bucket: str
    """Bucket name."""
    region: str
    """Region of the bucket."""
    prefix: str = ""
    """Folder inside the bucket that contains the site's keys."""
    endpoint: str | None = None
    """``scheme://host[:port]`` of an S3-compatible server; unset for AWS."""
    path_style: bool | None = None
    """Whether the bucket's name is in the path of the URL instead of its host; by default with an
    endpoint, and for names with dots."""
    credentials: Literal["ambient", "anonymous"] | KeyFiles = "ambient"
    """``ambient`` uses the AWS SDK's credential chain (environment, profile, task role);
    ``anonymous`` does not sign requests. A target's default is its origin's value."""
    expected_owner: Annotated[str, Field(pattern=r"^\d{12}$")] | None = None
    """Id of the account that owns the bucket; S3 refuses requests if another one does."""
    inventory: str | None = None
    """S3 Inventory report in CSV that ``catalog.warm_up`` reads instead of listing the bucket: its
    manifest, ``s3://bucket/path/manifest.json`` or a file; or the folder of its configuration,
    ``s3://bucket/path/``, for the newest report."""

    @field_validator("bucket")
    @classmethod
    def _legal_name(cls, value: str) -> str:
        if not _BUCKET.fullmatch(value):
            raise ValueError(f"{value!r} is not a bucket name (3 to 63 of a-z, 0-9, dot, hyphen)")
        return value

    @field_validator("prefix")
    @classmethod
    def _folder(cls, value: str) -> str:
        return value.strip("/") + "/" if value.strip("/") else ""

    @field_validator("endpoint")
    @classmethod
    def _base_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        return plain_url(value, path=False)

    @model_validator(mode="after")
    def _aws_has_region(self) -> Self:
        if self.endpoint is None and partition_of(self.region) is None:
            raise ValueError(unknown_region(self.region))
        try:
            URL(self.url())  # the HTTP client reads it this way
        except ValueError as error:
            raise ValueError(
                f"{self.url()} is not a URL: {error}; correct endpoint, or set path_style: true"
            ) from None
        return self

    @property
    def object_base_url(self) -> str:
        """URL of bucket and folder; equal for two entries that have the same objects."""
        return f"{self.url()}/{self.prefix}"

    def url(self, *, dualstack: bool = False) -> str:
        """Base URL of the bucket at its endpoint, without a trailing slash."""
        return bucket_url(
            self.bucket,
            self.region,
            endpoint=self.endpoint,
            path_style=self.path_style,
            dualstack=dualstack,
        )


class Origin(Bucket):
    """The bucket with all objects of the site."""

    query: tuple[QueryName, ...] = ()
    """Query arguments that are passed on to S3, signed; requests with one are always streamed."""


class Target(Bucket):
    """A regional copy of the origin, to which clients are redirected."""

    region: str = ""
    """Region of the bucket; by default the client region it is listed under."""
    public_url: str | None = None
    """URL of the bucket for clients, if it is not that of the endpoint."""
    mode: Annotated[Literal["on", "shadow", "off"], BeforeValidator(switch)] = "on"
    """``redirect.mode`` of this target; of the two, the one that redirects less applies."""

    @field_validator("public_url")
    @classmethod
    def _public_url(cls, value: str | None) -> str | None:
        return None if value is None else plain_url(value, path=True)

    def location(self, *, dualstack: bool = False) -> str:
        """Base URL for Location, without a trailing slash."""
        return self.public_url or self.url(dualstack=dualstack)


def plain_url(value: str, *, path: bool) -> str:
    """Check that a URL is http(s) with a host and, if ``path``, a path, and has nothing else."""
    url = urlsplit(value)
    try:
        port_is_wrong = url.port == 0
    except ValueError:  # not a number, or over 65535
        port_is_wrong = True
    wrong = (
        port_is_wrong
        or url.scheme not in {"http", "https"}
        or not url.hostname
        or url.username is not None
        or url.query
        or url.fragment
        or not value.isascii()
        or any(character.isspace() for character in value)
        or (not path and url.path.strip("/"))
    )
    if wrong:
        shape = "http(s)://host[:port]" + ("/path" if path else "")
        named = value if url.username is None else "a URL with a user name"
        raise ValueError(f"{named!r} is not a URL of the form {shape}")
    return value.rstrip("/")


def unknown_region(name: str) -> str:
    """Error text that proposes similar names."""
    near = get_close_matches(name, sorted(known_regions()))
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"{name!r} is not an AWS region{hint} (with an endpoint any name is allowed)"
