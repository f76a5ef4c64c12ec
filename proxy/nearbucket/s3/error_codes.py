"""The table of S3's error codes: what each means, and what helps.

A response to HEAD has no body, and so no code: its status stands for one.
"""

from __future__ import annotations

from enum import Enum
from typing import Literal


class ErrorKind(Enum):
    """A meaning, and the error codes that have it.

    Attributes:
        codes: S3's codes, and the status of a HEAD.
        subject: What the error is about.
        text: What happened.
        fix: What helps; may be empty.
    """

    def __init__(
        self, codes: str, subject: Literal["bucket", "credentials", "region"], text: str, fix: str
    ) -> None:
        self.codes = codes.split()
        self.subject = subject
        self.text = text
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.text}; {self.fix}" if self.fix else self.text

    # fmt: off
    NOT_ALLOWED = ("AccessDenied 403", "bucket",
        "not allowed", "docs/replication.md lists the permissions that sync needs")
    NO_BUCKET = ("NoSuchBucket", "bucket",
        "there is no such bucket", "create it, or correct the name")
    NO_OBJECT = ("NoSuchKey 404", "bucket",
        "there is no such object", "if it was deleted meanwhile, run the command again")
    REPLACED = ("PreconditionFailed 412", "bucket",
        "it was replaced while it was read", "run sync again")
    NO_UPLOAD = ("NoSuchUpload", "bucket",
        "another run has completed or aborted the upload", "run sync again when that has ended")
    ARCHIVED = ("InvalidObjectState", "bucket",
        "archived at the origin", "restore it there, or exclude it")
    # of codes with many meanings, where the text names the encryption (``kind_of_error``)
    CUSTOMER_KEY = ("", "bucket",
        "encrypted with a customer-provided key", "encrypt it in another way, or exclude it")
    EMPTY = ("InvalidRange", "bucket",
        "it is empty", "")
    TOO_LARGE = ("EntityTooLarge", "bucket",
        "larger than the server copies in one piece", "")
    BUSY = ("SlowDown ServiceUnavailable", "bucket",
        "S3 asks to slow down", "try again later, sync with a smaller --parallel")
    DISABLED = ("AllAccessDisabled", "bucket",
        "S3 has disabled all access to it", "ask AWS Support")
    WRONG_KEYS = ("InvalidAccessKeyId SignatureDoesNotMatch", "credentials",
        "the keys are not accepted", "correct the credentials")
    EXPIRED = ("ExpiredToken", "credentials",
        "the credentials have expired", "renew them")
    WRONG_CLOCK = ("RequestTimeTooSkewed", "credentials",
        "the clock of this machine is wrong", "set the clock")
    OTHER_REGION = ("AuthorizationHeaderMalformed PermanentRedirect", "region",
        "the bucket is in another region", "correct its region")
    # of a server other than AWS's; S3 names the region, and is asked there
    REDIRECTED = ("301 302 303 307 308", "bucket",
        "the server redirects to another URL", "correct the endpoint: curl -I shows that URL")
    # of a region that has to be enabled first (S3 user guide, "Error responses")
    CLOSED_REGION = ("IllegalLocationConstraintException InvalidToken OptInRequired", "region",
        "its region is not enabled for this account, or does not take this kind of session token",
        "enable the region in the account's settings; for roles, use STS's regional endpoints")
    # fmt: on


_KINDS = {code: kind for kind in ErrorKind for code in kind.codes}


def kind_of_code(code: str) -> ErrorKind | None:
    """What a code means; None where it is not in the table."""
    return _KINDS.get(code)


_CUSTOMER_KEY = ("stored using a form of server side encryption", "with customer provided keys")
"""Parts of the texts of AWS and of SeaweedFS."""


def kind_of_error(code: str, text: str) -> ErrorKind | None:
    """What an error means, by its code and, where the code has many meanings, its text."""
    if code in {"InvalidRequest", "InvalidArgument"}:
        words = text.lower().replace("-", " ")
        if any(part in words for part in _CUSTOMER_KEY):
            return ErrorKind.CUSTOMER_KEY
    return kind_of_code(code)
