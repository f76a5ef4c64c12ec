"""The client's answer to an error response of S3, the same in all lanes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nearbucket.errors import OriginError
from nearbucket.origin.error_response import UNREADABLE
from nearbucket.origin.object_response import ObjectResponse
from nearbucket.origin.response_headers import cors_fields
from nearbucket.s3.error_codes import ErrorKind

if TYPE_CHECKING:
    from nearbucket.config.buckets import Bucket
    from nearbucket.origin.error_response import ErrorResponse

_SIZE = re.compile(rb"<ActualObjectSize>([0-9]{1,19})</ActualObjectSize>")
_UNSATISFIED = re.compile(r"bytes \*/([0-9]{1,19})")


def response_to(error: ErrorResponse, query: str, bucket: Bucket) -> ObjectResponse:
    """The client's 403, 404 or 416 for an error of S3; 403 if no request can read the object.

    Args:
        error: S3's response.
        query: Query of the request to S3.
        bucket: The bucket that was asked.

    Raises:
        OriginError: The error is none of the client's; 502, or 503 if S3 is busy.
    """
    headers = error.headers
    if error.status == 416:  # noqa: PLR2004  # Range Not Satisfiable
        size = _UNSATISFIED.fullmatch(headers.get("Content-Range", "")) or _SIZE.search(
            error.document
        )
        answer = ObjectResponse(416, cors_fields(headers))
        if size is not None:
            answer.total = int(size[1])
            answer.headers.insert(0, ("Content-Range", f"bytes */{answer.total}"))
        return answer
    if _is_missing(error, query):
        return ObjectResponse(404, cors_fields(headers))
    if error.kind in UNREADABLE:
        return ObjectResponse(403, cors_fields(headers))
    status = 503 if error.status in {429, 503} or error.kind is ErrorKind.BUSY else 502
    region, more = headers.get("x-amz-bucket-region"), ""
    if region and region != bucket.region:
        more = f"; it is in {region}"
    elif "Location" in headers and not error.code:
        more = "; it redirects to another URL: correct the endpoint"
    raise OriginError(
        status,
        f"S3 answered {error.status} {error.code or '(no code)'} for bucket "
        f"{bucket.bucket} in {bucket.region}{more}",
    )


def _is_missing(error: ErrorResponse, query: str) -> bool:
    """Whether the error means that there is no such object."""
    match error.status:
        case 404:
            return error.kind is not ErrorKind.NO_BUCKET
        case 403:
            # S3's response for a missing key if the bucket may not be listed (GetObject, "403")
            return error.kind is ErrorKind.NOT_ALLOWED
        case 405:  # versionId names a delete marker (S3 user guide, "Delete markers")
            return "x-amz-delete-marker" in error.headers
        case 400:  # no such version, or no such argument
            return bool(query) and error.kind not in UNREADABLE
        case _:
            return False
