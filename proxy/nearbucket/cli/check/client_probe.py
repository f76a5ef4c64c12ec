"""The finding about the request of an object as redirected clients send it to a target."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nearbucket.cli.check.finding import Finding, Level

if TYPE_CHECKING:
    from nearbucket.s3.client_request import ClientAnswer

_REFUSED = {401, 403}


def target_finding(
    place: str, url: str, size: int, answer: ClientAnswer | Exception, *, signed: bool = False
) -> Finding:
    """Whether a redirected client gets an object of ``size`` bytes.

    ``url`` has no signature, even if the request that got ``answer`` was ``signed``.
    """
    level, fix = Level.WRONG, "correct public_url or the region"
    if isinstance(answer, Exception):
        text = f"{url} cannot be reached from here: {str(answer) or 'no answer in time'}"
        fix = "check that clients in the region can reach it, for example inside their VPC"
        return Finding(Level.WARNING, place, "clients", text, fix)
    status = answer.status
    if status in _REFUSED and signed:
        text = f"{url} answers {status} to a signed request"
        fix = "allow these credentials s3:GetObject, and check public_url and the bucket policy"
    elif status in _REFUSED:
        level, text = Level.WARNING, f"{url} answers {status} to a request without a signature"
        fix = (
            "allow s3:GetObject in the bucket policy, or set redirect.presign; if only clients can "
            "read the bucket, by a VPC endpoint or their address, set redirect.client_probe: false"
        )
    elif not answer.is_readable:
        text = f"{url} answers {status}, but the object is in the bucket"
    elif answer.size not in {None, size}:
        text = f"{url} has {answer.size} bytes, but the object in the bucket has {size}"
    else:
        how = "with a signed URL" if signed else "without a signature"
        level, text, fix = Level.OK, f"{url} can be read {how}", ""
    return Finding(level, place, "clients", text, fix)
