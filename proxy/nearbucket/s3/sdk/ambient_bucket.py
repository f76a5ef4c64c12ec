"""A bucket that no configuration describes: that of an ``s3://`` URL on the command line.

Its credentials are those that the AWS SDK finds, and its region and server are those of the SDK's
variables: there is no setting for them.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pydantic import ValidationError

from nearbucket.config.buckets import S3_SCHEME, Bucket
from nearbucket.errors import ConfigError, OriginError
from nearbucket.s3.bucket_location import BucketLocation
from nearbucket.s3.error_codes import ErrorKind
from nearbucket.s3.sdk.sdk_client import as_ours, code_of, is_unreachable, kind_of, meaning

if TYPE_CHECKING:
    from nearbucket.errors import ProxyError

_REGION = "us-east-1"
"""Where S3 is asked; it says if a bucket is elsewhere, and the SDK follows."""
_TEXTS = {
    ErrorKind.NOT_ALLOWED: "not allowed; the credentials need s3:ListBucket on the bucket and "
    "s3:GetObject on its objects, and kms:Decrypt where KMS encrypts them",
    ErrorKind.ARCHIVED: "archived; restore it, or leave it out",
    ErrorKind.BUSY: "S3 asks to slow down; try again later",
}
"""What helps where the fix in the table of errors is one for ``sync``."""


def ambient_bucket(name: str) -> BucketLocation:
    """Where a bucket is.

    That is told by ``AWS_REGION``, ``AWS_DEFAULT_REGION``, ``AWS_ENDPOINT_URL_S3`` and
    ``AWS_ENDPOINT_URL``, as the AWS SDK reads them.

    Raises:
        ConfigError: It is no name of a bucket, or a variable has a wrong value.
    """
    environ = os.environ
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or _REGION
    endpoint = environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL")
    try:
        entry = Bucket(bucket=name, region=region, endpoint=endpoint)
    except ValidationError as error:
        found = error.errors()[0]
        why = found["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{S3_SCHEME}{name}: {found['loc'][0]} {why}") from None
    return BucketLocation(f"{S3_SCHEME}{name}", entry, "ambient")


def ambient_meaning(error: Exception) -> str:
    """What an error means for one who reads such a bucket, and what helps, in one line."""
    if (kind := kind_of(error)) in _TEXTS:
        return f"{code_of(error)}: {_TEXTS[kind]}"
    return meaning(error) or type(error).__name__


def ambient_error(error: Exception, location: BucketLocation, name: str = "") -> ProxyError:
    """The error of such a bucket, without the words about a configuration.

    Args:
        error: What the SDK's client raised.
        location: The bucket.
        name: What was asked for; by default the bucket.
    """
    found = as_ours(error, location)
    text = f"{name or location.name}: {ambient_meaning(error)}"
    if is_unreachable(error):
        variable = "AWS_ENDPOINT_URL_S3" if location.entry.endpoint else "AWS_REGION"
        text += f"; is {variable} right, and S3 reachable from here?"
    return OriginError(503, text) if isinstance(found, OriginError) else ConfigError(text)
