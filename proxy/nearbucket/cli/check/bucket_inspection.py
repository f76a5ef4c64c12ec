"""The checks of one bucket: existence, owner, region, rights and CORS rules."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import (
    ClientError,
    ConnectionError,  # noqa: A004  # botocore's own class
    HTTPClientError,
    NoCredentialsError,
    ProfileNotFound,
    SSLError,
)

from nearbucket.cli.check.finding import Finding, Level
from nearbucket.s3.credentials import GIVE_KEYS, OR_CONFIGURE
from nearbucket.s3.error_codes import ErrorKind
from nearbucket.s3.sdk.sdk_client import (
    FAULTS,
    NoMemberError,
    code_of,
    kind_of,
    meaning,
    no_tls,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nearbucket.s3.bucket_location import BucketLocation

SECONDS = 20.0
"""Time limit of one request, with a second attempt."""

ALLOW_READING = "allow these credentials s3:GetObject (with KMS kms:Decrypt too)"
"""What helps where an object cannot be read."""

_SERVER_ERROR = 500


@dataclass(frozen=True, slots=True)
class BucketInquiry:
    """A bucket and its client. Errors are returned, not raised.

    Attributes:
        location: The bucket.
        client: From ``sdk_client.opened``.
        seconds: Time limit of one request.
    """

    location: BucketLocation
    client: Any
    seconds: float = SECONDS

    async def ask(self, operation: str, key: str | None = None, **more: Any) -> Any | Exception:
        """S3's answer to an operation on the bucket or one of its objects, or the error."""
        return await self._ask(operation, **self.location.arguments(key), **more)

    async def read_error(self, key: str) -> Exception | None:
        """Why the first byte of an object cannot be read; None if it can."""
        answer = await self.ask("get_object", key, Range="bytes=0-0")
        if isinstance(answer, Exception):
            return answer
        answer["Body"].close()
        return None

    async def exists_in_any_account(self) -> bool:
        """Whether the bucket exists, whichever account owns it."""
        answer = await self._ask("head_bucket", Bucket=self.location.entry.bucket)
        return not isinstance(answer, Exception)

    async def _ask(self, operation: str, **arguments: Any) -> Any | Exception:
        try:
            async with asyncio.timeout(self.seconds):
                return await getattr(self.client, operation)(**arguments)
        # the last three come from credential files and processes, through botocore
        except (*FAULTS, OSError, ValueError, RuntimeError) as error:
            return error


@dataclass(frozen=True, slots=True)
class InspectedBucket:
    """A bucket and its findings.

    Attributes:
        inquiry: The bucket; None if it cannot be used.
        findings: The results of its checks.
        listable: Whether it can be listed.
        cors: Answer of GetBucketCors, or the error.
    """

    inquiry: BucketInquiry | None
    findings: Sequence[Finding]
    listable: bool = False
    cors: Any | Exception = field(default_factory=dict)


async def inspect(inquiry: BucketInquiry, also: Sequence[str] = ()) -> InspectedBucket:
    """Check a bucket; ``also`` names other keys of the configuration with the same bucket."""
    head = await inquiry.ask("head_bucket")
    found = _elsewhere(head, inquiry.location)
    if isinstance(head, Exception) and (found or _is_final(head)):
        return InspectedBucket(None, found or [trouble(head, inquiry.location)])
    # the answer to a HEAD has no body, so the listing's tells why access is refused
    listing = await inquiry.ask("list_objects_v2", Prefix=inquiry.location.entry.prefix, MaxKeys=1)
    if not isinstance(listing, Exception):
        found.append(_good(inquiry.location, head, also))
        return InspectedBucket(inquiry, found, True, await inquiry.ask("get_bucket_cors"))  # noqa: FBT003  # listable
    if kind_of(listing) is not ErrorKind.NOT_ALLOWED:
        return InspectedBucket(None, [*found, trouble(listing, inquiry.location)])
    refused = await _requester_pays(inquiry) or await _refused(inquiry)
    if refused.level is Level.WRONG:
        return InspectedBucket(None, [*found, refused])
    return InspectedBucket(inquiry, [*found, refused], cors=await inquiry.ask("get_bucket_cors"))


def _is_final(error: Exception) -> bool:
    """Whether a listing would fail in the same way."""
    return (
        not isinstance(error, ClientError)
        or not_reached(error)
        or kind_of(error) is ErrorKind.NO_BUCKET
    )


def _elsewhere(head: Any | Exception, location: BucketLocation) -> list[Finding]:
    """A finding if S3 names another region, which it does in errors too."""
    region = _headers(head).get("x-amz-bucket-region", location.entry.region)
    if region == location.entry.region:
        return []
    text = f"bucket {location.entry.bucket} is in {region}, not in {location.entry.region}"
    return [Finding(Level.WRONG, location.name, "region", text, f"set region: {region}")]


def _good(location: BucketLocation, head: Any | Exception, also: Sequence[str]) -> Finding:
    region = _headers(head).get("x-amz-bucket-region")
    where = f" in {region}" if region else ""
    owner = f", belongs to {location.owner}" if location.owner else ""
    others = f" (also {', '.join(also)})" if also else ""
    text = f"bucket {location.entry.bucket} exists{where}{owner}, and can be listed{others}"
    return Finding(Level.OK, location.name, "bucket", text)


async def _requester_pays(inquiry: BucketInquiry) -> Finding | None:
    """A finding if the bucket can be listed by a requester who agrees to pay."""
    location = inquiry.location
    if location.entry.request_payer or location.credentials == "anonymous":
        return None
    prefix = location.entry.prefix
    paid = await inquiry.ask("list_objects_v2", Prefix=prefix, MaxKeys=1, RequestPayer="requester")
    if isinstance(paid, Exception):
        return None
    text = f"bucket {location.entry.bucket} is a Requester Pays bucket: it refuses every request"
    fix = "set request_payer: true, and for a target redirect.presign too"
    return Finding(Level.WRONG, location.name, "bucket", text, fix)


async def _refused(inquiry: BucketInquiry) -> Finding:
    """The finding for a bucket that cannot be listed."""
    location = inquiry.location
    name = f"bucket {location.entry.bucket}"
    if location.owner and await inquiry.exists_in_any_account():
        text = f"{name} does not belong to account {location.owner}"
        fix = "correct expected_owner, or the bucket's name"
        return Finding(Level.WRONG, location.name, "owner", text, fix)
    doubt = f", or it does not belong to account {location.owner}" if location.owner else ""
    text = (
        f"{name} cannot be listed{doubt}: S3 then answers 403 for missing keys too, as if access "
        "were denied"
    )
    user = "everyone" if location.credentials == "anonymous" else "these credentials"
    return Finding(Level.WARNING, location.name, "list", text, f"allow {user} s3:ListBucket on it")


def not_reached(error: Exception) -> bool:
    """Whether there was no answer, or a server error."""
    if isinstance(error, ClientError):
        return _status(error) >= _SERVER_ERROR
    return isinstance(error, HTTPClientError | ConnectionError | TimeoutError)


def trouble(error: Exception, location: BucketLocation) -> Finding:
    """The finding for an error that prevents the use of a bucket."""
    name = f"bucket {location.entry.bucket}"
    if isinstance(error, SSLError):
        text, _, fix = f"{name}: {no_tls(error)}".rpartition("; ")
        return Finding(Level.WRONG, location.name, "bucket", text, fix, reached=False)
    if not_reached(error):
        text = f"{name} cannot be reached: {meaning(error) or 'no answer in time'}"
        fix = "check the endpoint, and the network from here"
        if isinstance(error, NoMemberError):
            text, fix = f"{name}: {meaning(error)}", "correct the endpoint, or update its server"
        return Finding(Level.WRONG, location.name, "bucket", text, fix, reached=False)
    if kind := kind_of(error):
        text = f"{name}: {kind.text} ({code_of(error)})"
        return Finding(Level.WRONG, location.name, kind.subject, text, kind.fix)
    if isinstance(error, ClientError):
        return Finding(Level.WRONG, location.name, "bucket", f"{name}: {meaning(error)}")
    text, fix = meaning(error), GIVE_KEYS
    if isinstance(error, NoCredentialsError | ProfileNotFound):
        text, _, fix = text.partition("; ")
    text, fix = f"{name}: {text}", f"{fix}, {OR_CONFIGURE}"
    return Finding(Level.WRONG, location.name, "credentials", text, fix)


def cannot_read(location: BucketLocation, key: str) -> Finding:
    """The finding for an object that the credentials may not read."""
    text = f"{key} cannot be read"
    return Finding(Level.WRONG, location.name, "bucket", text, ALLOW_READING, (key,))


def _headers(answer: Any | Exception) -> dict[str, str]:
    if isinstance(answer, ClientError):
        answer = answer.response
    if isinstance(answer, Exception):
        return {}
    found: dict[str, str] = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return found


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def cors_finding(origin: InspectedBucket, target: InspectedBucket, place: str) -> Finding | None:
    """Whether scripts that can read the origin's objects can follow a redirect to the target.

    After a redirect to another host browsers send ``Origin: null`` (Fetch standard,
    "redirect-tainted origin"), so only a rule for all origins matches.
    """
    needed = _methods(origin.cors, ())
    if not needed:
        return None
    if isinstance(target.cors, Exception) and code_of(target.cors) != _NO_RULES:
        text = f"its CORS rules cannot be read: {code_of(target.cors)}"
        return Finding(Level.NOTE, place, "cors", text, "allow s3:GetBucketCORS")
    if needed <= _methods(target.cors, ("*", "null")):
        return Finding(Level.OK, place, "cors", "its CORS rules let browsers follow redirects")
    text = (
        f"the origin has CORS rules, but no rule here allows {' and '.join(sorted(needed))} from "
        "all origins: scripts of web pages cannot follow a redirect to it"
    )
    fix = "add a CORS rule with AllowedOrigins *, since browsers send Origin: null after a redirect"
    return Finding(Level.WARNING, place, "cors", text, fix)


_NO_RULES = "NoSuchCORSConfiguration"


def _methods(cors: Any | Exception, origins: tuple[str, ...]) -> set[str]:
    """GET and HEAD, if allowed by rules for one of these origins, or by any rule."""
    rules = [] if isinstance(cors, Exception) else cors.get("CORSRules", [])
    fitting = (rule for rule in rules if not origins or {*origins} & {*rule["AllowedOrigins"]})
    return {"GET", "HEAD"} & {method for rule in fitting for method in rule["AllowedMethods"]}
