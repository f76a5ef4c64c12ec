"""The settings of a bucket: where it is, and with which credentials it is used."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, field_validator, model_validator
from yarl import URL

from nearbucket.config.aws_endpoints import bucket_url, partition_of, unknown_region
from nearbucket.config.value_types import KeyFile, Section, SettingError, like, switch

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ACCOUNT = r"^\d{12}$"

S3_SCHEME = "s3://"
"""How URLs of buckets and their objects begin, in settings and on the command line."""
_BEFORE_NAME = re.compile(rf"^(?:{S3_SCHEME}|arn:aws[a-z-]*:s3:::)")
"""What is before the name in the URL and in the ARN of a bucket."""

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

    access_key_file: KeyFile
    """File with the access key id."""
    secret_key_file: KeyFile
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
    ``anonymous`` does not sign requests. By default targets and failover buckets have those of
    their origin."""
    expected_owner: (
        Annotated[
            str,
            Field(pattern=_ACCOUNT),
            like(_ACCOUNT, 'the 12 digits of an account id in quotes: "111122223333"'),
        ]
        | None
    ) = None
    """Id of the account that owns the bucket; S3 refuses requests if another one does."""
    request_payer: bool = False
    """Whether the account of the credentials pays for requests, as a Requester Pays bucket demands.
    Such a target needs ``redirect.presign``, and clients' downloads are billed to that account."""
    inventory: str | None = None
    """S3 Inventory report in CSV that ``catalog.warm_up`` reads instead of listing the bucket: its
    manifest, ``s3://bucket/path/manifest.json`` or a file; or the folder of its configuration,
    ``s3://bucket/path/``, for the newest report."""

    @field_validator("bucket")
    @classmethod
    def _legal_name(cls, value: str) -> str:
        if not _BUCKET.fullmatch(value):
            name = _BEFORE_NAME.sub("", value).partition("/")[0]
            if name != value and _BUCKET.fullmatch(name):
                raise ValueError(f"is not a bucket name; write {name}, and a folder as prefix:")
            raise ValueError("is not a bucket name; write 3 to 63 of a-z, 0-9, dot and hyphen")
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
            hint = " (a server that is not AWS needs endpoint:)"
            raise SettingError(unknown_region(self.region) + hint, "region", value=self.region)
        try:
            URL(self.url())  # the HTTP client reads it this way
        except ValueError as error:
            raise SettingError(
                f"makes the URL {self.url()}: {error}; correct it, or set path_style: true",
                "endpoint",
            ) from None
        return self

    @model_validator(mode="after")
    def _endpoint_is_of_no_bucket(self) -> Self:
        host = urlsplit(self.endpoint or "").hostname or ""
        if host.startswith(f"{self.bucket}.s3") and ".amazonaws." in host:
            raise SettingError(
                "has the bucket in its host, so that URLs of objects would have it twice; remove "
                "the setting: a bucket on AWS needs none",
                "endpoint",
            )
        return self

    @model_validator(mode="after")
    def _payer_is_known(self) -> Self:
        if self.request_payer and self.credentials == "anonymous":
            raise SettingError(
                "needs credentials, so that S3 knows which account pays; set credentials",
                "request_payer",
            )
        return self

    @property
    def request_fields(self) -> dict[str, str]:
        """Header fields of every request to the bucket."""
        owner, payer = self.expected_owner, self.request_payer
        return ({"x-amz-expected-bucket-owner": owner} if owner else {}) | (
            {"x-amz-request-payer": "requester"} if payer else {}
        )

    @property
    def on_aws(self) -> bool:
        """Whether the server is AWS's own S3, perhaps by an endpoint of a VPC."""
        endpoint = self.endpoint
        return endpoint is None or ".amazonaws." in f"{urlsplit(endpoint).hostname}."

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
    shape = "http(s)://host[:port]" + ("/path" if path else "")
    try:
        url = urlsplit(value)
    except ValueError:  # brackets
        raise ValueError(f"is not a URL; write {shape}") from None
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
    )
    if wrong:
        hint = ", without credentials" if url.username is not None else ""
        raise ValueError(f"is not a URL; write {shape}{hint}")
    if not path and url.path.strip("/"):
        raise ValueError(f"has a path; write {shape}")
    return value.rstrip("/")
