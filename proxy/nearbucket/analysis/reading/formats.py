"""The columns of access logs, whatever a format calls them, and what their values mean.

Readers give every line as these columns, encoded as in CloudFront's W3C files: the bytes of the
file, ``-`` for "nothing". The functions here decode them.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote

from nearbucket.errors import ConfigError, RequestError
from nearbucket.policy.engine import host_name
from nearbucket.policy.object_keys import encode_key, object_key

if TYPE_CHECKING:
    from collections.abc import Sequence

TEXTS = (
    "timestamp", "timestamp_ms", "x_edge_location", "c_ip", "cs_method", "cs_host",
    "x_host_header", "cs_uri_stem", "cs_uri_query", "cs_user_agent", "cs_cookie",
    "x_edge_result_type", "asn", "x_nearbucket_action", "x_nearbucket_reason", "x_edge_request_id",
)  # fmt: skip
"""Columns of text."""
NUMBERS = ("sc_bytes", "sc_status", "sc_content_len", "sc_range_start", "sc_range_end")
"""Columns of whole numbers, or ``-``."""
TIMES = ("date", "time")
"""Columns of a day and of a time of day, UTC."""
COLUMNS = (*TEXTS, *TIMES, *NUMBERS)
NEEDED = ("sc_bytes", "cs_uri_stem", "sc_status")
"""Columns without which a file cannot be counted."""
OWN = "x_nearbucket_reason"
"""The column that only nearbucket's own log has."""
S3_LOG = "s3"
"""The kind of S3 server access logs (``TableReader.kind``)."""
REDIRECTS = frozenset({301, 302, 303, 307, 308})
"""Statuses of redirects."""
TO_HTTPS = "Redirect"
"""CloudFront's result of its own redirect from http to https; the client comes again."""

STANDARD = (  # noqa: SIM905  # as in the file
    "date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(Referer) "
    "cs(User-Agent) cs-uri-query cs(Cookie) x-edge-result-type x-edge-request-id x-host-header "
    "cs-protocol cs-bytes time-taken x-forwarded-for ssl-protocol ssl-cipher "
    "x-edge-response-result-type cs-protocol-version fle-status fle-encrypted-fields c-port "
    "time-to-first-byte x-edge-detailed-result-type sc-content-type sc-content-len sc-range-start "
    "sc-range-end"
).split()
"""CloudFront's standard fields (developer guide, "Standard log file fields"). They were added at
the end over the years, so a file of 2010 has the first 12."""
_LENGTHS = (33, 26, 24, 23, 19, 18, 15, 12)

NUMBER = re.compile(rb"[0-9]{1,15}")
BOUNDS = dict.fromkeys(NUMBERS, 10**15) | {"sc_status": 1000}
"""What numbers are below: their sums fit into 64 bits, whatever one line says."""
_DATE = re.compile(rb"\d{4}-\d\d-\d\d")
_TIME = re.compile(rb"\d\d:\d\d:\d\d")
_STATUS = re.compile(rb"[0-9]{3}")
_NOT_IN_A_URL = re.compile(r"[^!-~]")
PLAIN_PATH = r"^(?:/[A-Za-z0-9_~-][A-Za-z0-9_~.-]*)+$"
"""Paths of which ``sent_key`` only takes the first slash off; also in RE2's grammar."""
_PLAIN = re.compile(PLAIN_PATH)


@lru_cache(4096)
def column_of(name: str) -> str | None:
    """Our column for the name of a field; None if no answer depends on it.

    Formats write the same name as ``cs(User-Agent)``, ``cs-user-agent`` or ``cs_User_Agent``.
    """
    column = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    return column if column in COLUMNS else None


def columns_of(names: Sequence[str]) -> list[str | None]:
    """Our column for each field of a file; None for the others.

    Raises:
        ValueError: A column is missing that is always needed.
    """
    columns: list[str | None] = []
    for name in names:
        column = column_of(name)
        columns.append(None if column in columns else column)
    missing = [name.replace("_", "-") for name in NEEDED if name not in columns]
    if missing:
        raise ValueError(f"#Fields has no {', '.join(missing)}")
    return columns


def field_list(text: str) -> tuple[str, ...]:
    """The names in ``--fields``.

    Raises:
        ConfigError: A needed one is missing.
    """
    names = tuple(name for name in re.split(r"[\s,]+", text) if name)
    try:
        columns_of(names)
    except ValueError as error:
        raise ConfigError(f"--fields: {str(error).removeprefix('#Fields ')}") from None
    return names


def standard_fields(values: Sequence[bytes]) -> list[str] | None:
    """The fields of a line without a header, if it looks like one of CloudFront's standard log."""
    fits = (
        len(values) in _LENGTHS
        and _DATE.fullmatch(values[0])
        and _TIME.fullmatch(values[1])
        and (values[3] == b"-" or NUMBER.fullmatch(values[3]))
        and _STATUS.fullmatch(values[8])
    )
    return STANDARD[: len(values)] if fits else None


def text_of(raw: bytes) -> str:
    """A value, decoded once; empty for ``-``."""
    if raw in {b"-", b""}:
        return ""
    text = raw.decode("utf-8", "replace")
    return unquote(text) if "%" in text else text


def agent_of(raw: bytes, *, own: bool) -> str:
    """A User-Agent; CloudFront has encoded it once or twice, nearbucket once."""
    text = text_of(raw)
    return text if own or "%" not in text else unquote(text)


def host_of(raw: bytes) -> str:
    """A host as sites name it: in lower case, without a port and a dot at its end."""
    text = text_of(raw)
    return host_name(text) or text.lower()


def sent_text(raw: bytes, *, own: bool) -> str:
    """Path or query as sent: CloudFront encodes once more what the client encoded.

    Some tools undo that when they copy a log: what does not decode to a URL is left as it is.
    """
    text = raw.decode("utf-8", "replace")
    if "%" not in text:
        return text
    decoded = unquote(text)
    return decoded if own or not _NOT_IN_A_URL.search(decoded) else text


def sent_target(stem: bytes, query: bytes, *, own: bool) -> str:
    """Path and query as sent; ``query`` is ``-`` if there is none."""
    target = sent_text(stem, own=own)
    return target if query == b"-" else f"{target}?{sent_text(query, own=own)}"


@lru_cache(1 << 15)
def sent_key(raw: bytes, *, own: bool) -> str:
    """The path as sent, without its first slash and the query of a real-time log.

    Different encodings of one object key give the same text; a path that is no key stays as it is.
    """
    path = sent_text(raw.partition(b"?")[0], own=own)
    if _PLAIN.match(path):
        return path[1:]
    try:
        return encode_key(object_key(path))
    except RequestError:
        return path.removeprefix("/")


def shown_key(sent: str) -> str:
    """The object key of a path as ``sent_key`` gives it."""
    if "%" not in sent:
        return sent
    try:
        return object_key("/" + sent)
    except RequestError:
        return sent
