"""What the light client sends for each operation, and what the response must have.

Arguments and members of responses have the names of the SDK.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote
from xml.etree import ElementTree as ET

from nearbucket.s3.listing.list_page import parse_page
from nearbucket.s3.sdk.sdk_client import PAGE, NoDocumentError, NoMemberError
from nearbucket.s3.sigv4 import PAYER, canonical

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_FIELDS = {
    "ChecksumMode": "x-amz-checksum-mode",
    "CopySourceIfMatch": "x-amz-copy-source-if-match",
    "CopySourceRange": "x-amz-copy-source-range",
    "ExpectedBucketOwner": "x-amz-expected-bucket-owner",
    "ExpectedSourceBucketOwner": "x-amz-source-expected-bucket-owner",
    "IfMatch": "if-match",
    "MetadataDirective": "x-amz-metadata-directive",
    "RequestPayer": PAYER,
    "Tagging": "x-amz-tagging",
    "TaggingDirective": "x-amz-tagging-directive",
}
"""The SDK's names of arguments that are sent as header fields, and these fields."""

_QUERY = {
    "ContinuationToken": "continuation-token",
    "Delimiter": "delimiter",
    "MaxKeys": "max-keys",
    "PartNumber": "partNumber",
    "Prefix": "prefix",
    "UploadId": "uploadId",
}
"""The SDK's names of arguments that are sent in the query, and their names there."""

_MEMBERS = {
    "content-encoding": "ContentEncoding",
    "etag": "ETag",
    "x-amz-checksum-type": "ChecksumType",
    "x-amz-server-side-encryption": "ServerSideEncryption",
    "x-amz-server-side-encryption-customer-algorithm": "SSECustomerAlgorithm",
    "x-amz-storage-class": "StorageClass",
    **{
        f"x-amz-checksum-{name.lower()}": f"Checksum{name}"
        for name in ("CRC64NVME", "CRC32", "CRC32C", "SHA256", "SHA1")
    },
}
"""Header fields of a response to HeadObject, and the SDK's names of them."""

_SAFE = "/~"
_GOOD = 300
_ERROR = re.compile(rb"(?:<\?xml[^>]*>\s*)?<Error\b")
"""The start of an error document; it may come with status 200, if a copy fails after S3 has sent
the response's head."""


class Answer(NamedTuple):
    """A response of S3.

    Attributes:
        status: Of HTTP.
        fields: Header fields, their names in lower case.
        body: Without blanks around it.
        region: The one that was asked, which need not be the bucket's.
    """

    status: int
    fields: dict[str, str]
    body: bytes
    region: str

    @property
    def is_good(self) -> bool:
        """Whether it is no error."""
        return self.status < _GOOD and _ERROR.match(self.body) is None

    def texts(self, name: str) -> list[dict[str, str]]:
        """For each element of this name, its children's texts by name; none if it is no XML."""
        try:
            root = ET.fromstring(self.body)  # noqa: S314  # from the configured server
        except (ET.ParseError, LookupError, ValueError):  # the latter two for encodings
            return []
        return [
            {_local(each): each.text or "" for each in element}
            for element in root.iter()
            if _local(element) == name
        ]

    def document(self, name: str, needed: str = "") -> dict[str, str]:
        """The texts of the first element of this name, by the names of its children.

        Raises:
            ValueError: There is no such element.
            KeyError: It has no child of the name that is needed.
        """
        if not (found := self.texts(name)):
            raise ValueError(f"the response of S3 has no {name}")
        if needed and needed not in found[0]:
            raise KeyError(needed)
        return found[0]

    @property
    def metadata(self) -> dict[str, Any]:
        """``ResponseMetadata``, as in each response of the SDK."""
        return {"ResponseMetadata": {"HTTPStatusCode": self.status, "HTTPHeaders": self.fields}}


def _local(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _described(answer: Answer) -> dict[str, Any]:
    fields = answer.fields
    found: dict[str, Any] = {
        name: fields[field] for field, name in _MEMBERS.items() if field in fields
    }
    found["ContentLength"] = int(fields.get("content-length", 0))
    with suppress(ValueError):  # one that cannot be read is none; of one without a zone it is UTC
        written = parsedate_to_datetime(fields.get("last-modified", ""))
        found["LastModified"] = written.replace(tzinfo=UTC)
    if count := fields.get("x-amz-mp-parts-count"):
        found["PartsCount"] = int(count)
    return found


def _tag_set(answer: Answer) -> dict[str, Any]:
    answer.document("Tagging")
    return {"TagSet": answer.texts("Tag")}


class Operation(NamedTuple):
    """A kind of request.

    Attributes:
        name: S3's.
        method: Of HTTP.
        members: Finds the members of a good response; KeyError or ValueError if it has them not.
        query: What the query of each has.
    """

    name: str
    method: str
    members: Callable[[Answer], dict[str, Any]]
    query: Mapping[str, str] = {}


LIST = Operation(
    "ListObjectsV2",
    "GET",
    lambda answer: {PAGE: parse_page(answer.body)},
    {"list-type": "2", "encoding-type": "url"},
)
COPY = Operation(
    "CopyObject",
    "PUT",
    lambda answer: {"CopyObjectResult": answer.document("CopyObjectResult", "ETag")},
)
COPY_PART = Operation(
    "UploadPartCopy",
    "PUT",
    lambda answer: {"CopyPartResult": answer.document("CopyPartResult", "ETag")},
)
BEGIN = Operation(
    "CreateMultipartUpload",
    "POST",
    lambda answer: answer.document("InitiateMultipartUploadResult", "UploadId"),
    {"uploads": ""},
)
HEAD = Operation("HeadObject", "HEAD", _described)
TAGS = Operation("GetObjectTagging", "GET", _tag_set, {"tagging": ""})


def request_of(
    operation: Operation, asked: Mapping[str, Any], fields: Mapping[str, str]
) -> tuple[tuple[str, str], dict[str, str]]:
    """Path and query of a request, and its header fields."""
    sent = {name: asked[given] for given, name in _FIELDS.items() if given in asked}
    sent.update(fields)
    if source := asked.get("CopySource"):
        sent["x-amz-copy-source"] = quote(f"{source['Bucket']}/{source['Key']}", safe=_SAFE)
    found = [(name, str(asked[given])) for given, name in _QUERY.items() if given in asked]
    path = f"/{quote(asked.get('Key', ''), safe=_SAFE)}"
    return (path, canonical([*operation.query.items(), *found])), sent


def read(operation: Operation, answer: Answer) -> dict[str, Any]:
    """A good response as the SDK has it.

    Raises:
        NoDocumentError: It has no document, for example because it was cut off.
        NoMemberError: The document is whole, and lacks something.
    """
    try:
        return answer.metadata | operation.members(answer)
    except KeyError as error:
        why = f"the response of S3 has no {error}; update the server, or the proxy before it"
        raise NoMemberError(error=why) from error
    except ValueError as error:
        raise NoDocumentError(error=error) from error
