"""The types of settings: durations, sizes, networks, ports; and the base of all sections.

The text of an error follows the value that was found, as a predicate, and ends with what to write:
``messages`` puts file, line, key and value before it.
"""

from __future__ import annotations

import ipaddress
import re
from difflib import SequenceMatcher
from os.path import commonprefix, isfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

if TYPE_CHECKING:
    from collections.abc import Collection

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]i?)?B?", re.IGNORECASE)
MASK = "********"
"""Shown instead of a secret."""

_USER = re.compile(r"^(?:[^/?#]*|[^/?#@:]*:(?!\d+[/?#]).*)@")
"""User name and password in a URL; also with a ``/`` or ``?`` that is not encoded."""

_KEY_ITSELF = re.compile(
    r"[A-Za-z0-9+][A-Za-z0-9/+]{39}"
    r"|/(?=(?:.*/)?(?=[^/]*[A-Z])(?=[^/]*[a-z])[^/]*\d)[A-Za-z0-9/+]{39}"
    r"|-----BEGIN.*",
    re.DOTALL,
)
"""AWS's secret access keys, and PEM. Text that begins with / is taken for a key only if a part
between slashes has capitals, small letters and digits: few paths of that length have such a part.
"""
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZES = {
    f"{prefix}{i}B": base**power
    for power, prefix in enumerate("KMGT", 1)
    for i, base in (("i", 1024), ("", 1000))
}
_LONGEST_DURATION = 30 * 86400
_LARGEST_SIZE = 50 * 1000**4
"""S3's largest object (S3 user guide, "Amazon S3 objects overview")."""


class SettingError(ValueError):
    """A wrong value of a setting further inside the section that is checked.

    Attributes:
        path: Its keys, from that section.
        value: The value that was found, where it is not the one at that path.
    """

    def __init__(self, text: str, *path: str | int, value: object = None) -> None:
        super().__init__(text)
        self.path = path
        self.value = value


def nearest(word: str, words: Collection[str], cutoff: float = 0.6) -> str | None:
    """The most similar of some words, if one is similar: exchanged letters before others.

    Of equally similar ones it is the one that begins alike: first letters are seldom wrong.
    """
    plain = {_plain(each): each for each in words}
    name = _plain(word)
    alike = {each: _likeness(each, name) for each in plain}
    near = [each for each in plain if alike[each][0] >= cutoff]
    near.sort(key=alike.__getitem__, reverse=True)
    exchanged = [each for each in near if sorted(each) == sorted(name)]
    begun = [each for each in plain if len(name) > len("abc") and each.startswith(name)]
    return next((plain[each] for each in exchanged + begun + near), None)


def _likeness(word: str, other: str) -> tuple[float, int]:
    """How much of two words is equal, of 1, and how many of their first letters."""
    begin_alike = commonprefix((word, other))  # noqa: RUF071  # they are no paths
    return SequenceMatcher(None, word, other).ratio(), len(begin_alike)


def _plain(word: str) -> str:
    """A word without what is written in different ways: ``minSize`` and ``MIN-SIZE``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|[-\s]", "_", word).lower()


def _seconds(value: object) -> float:
    """``10s``, ``1.5h`` or a plain number, in seconds; a variable gives the number as text."""
    seconds: float | None = None
    if isinstance(value, str):
        found = _DURATION.fullmatch(value.strip())
        seconds = _rounded(float(found[1]) * _SECONDS[found[2] or "s"]) if found else None
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = value
    if seconds is None:
        raise ValueError("is not a duration; write one such as 500ms, 10s, 5m, 1h or 1d")
    if not 0 < seconds <= _LONGEST_DURATION:
        raise ValueError("is too short or too long; write a duration over 0 and up to 30d")
    return seconds


def _rounded(seconds: float) -> float:
    """Without the error of a product in binary: 1.1 h is 3960.0000000000005 s."""
    return round(seconds, 6)


def _seconds_or_zero(value: object) -> float:
    """As a duration; 0, with and without a unit, stands for none."""
    zero = value if isinstance(value, int | float) else str(value).strip().removesuffix("s")
    return 0.0 if zero in {0, "0"} and value is not False else _seconds(value)


def size_in_bytes(value: object) -> int:
    """``1MiB``, ``1.5GB`` or a plain number, in bytes; Ki, Mi, Gi and Ti count in 1,024s.

    Raises:
        ValueError: It is none, or out of bounds.
    """
    size: float | None = None
    if isinstance(value, str) and (found := _SIZE.fullmatch(value.strip())):
        unit = (found[2] or "").lower()
        base = 1024 if unit.endswith("i") else 1000
        size = float(found[1]) * base ** " kmgt".index(unit[:1] or " ")
    elif isinstance(value, int) and not isinstance(value, bool):
        size = value
    if size is None:
        raise ValueError("is not a size; write one such as 4096, 64KiB, 1MiB or 2GB")
    if not 0 <= size <= _LARGEST_SIZE:
        raise ValueError(
            "is too small or too large; write a size from 0 to 50TB (S3's largest object)"
        )
    return int(size)


def _bytes_a_second(value: object) -> int:
    """``1KiB/s``, ``64KB/s`` or a plain number, in bytes a second."""
    size = value.strip().removesuffix("/s") if isinstance(value, str) else value
    try:
        return size_in_bytes(size)
    except ValueError:
        raise ValueError(
            "is not a rate; write bytes a second such as 1KiB/s or 64KiB/s, or 0 for none"
        ) from None


def written_duration(seconds: float) -> str | float:
    """A duration as it is written: in the largest unit of which it is a whole number.

    >>> written_duration(5400.0)
    '90m'
    """
    if not seconds:
        return "0s"
    for unit, size in reversed(_SECONDS.items()):
        if _rounded((count := round(seconds / size)) * size) == seconds:
            return f"{count}{unit}"
    return seconds


def written_size(size: int) -> str | int:
    """A size as it is written: in the unit of which it is the smallest whole number.

    >>> written_size(16777216)
    '16MiB'
    """
    whole = [(size // unit, name) for name, unit in _SIZES.items() if size and size % unit == 0]
    return "{}{}".format(*min(whole)) if whole else size


def _written_rate(rate: int) -> str | int:
    size = written_size(rate)
    return f"{size}/s" if isinstance(size, str) else size


def switch(value: object) -> object:
    """The words ``on`` and ``off`` for booleans, as other readers of YAML write them."""
    return {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value


def _unless_off(value: object) -> object:
    """None for ``off`` and false."""
    return None if value is False or value == "off" else value


def number(value: object) -> object:
    """The number, if an environment variable gave it as text."""
    return int(value) if isinstance(value, str) and value.isdigit() else value


def without_secrets(source: str) -> str:
    """A URL, or the name of a file, with asterisks for user name, password and query."""
    scheme, slashes, rest = source.partition("://")
    if not slashes:
        return source
    found = scheme + slashes + _USER.sub(f"{MASK}@", rest)
    return re.sub(r"\?.+", f"?{MASK}", found)


def _no_key(value: object) -> object:
    """The path of a file with a key. A key in its place is refused: messages show paths.

    A file that is there is no key, even if its path looks like one.
    """
    text = str(value).strip()  # a ``Path`` would have lost a part of //
    if _KEY_ITSELF.fullmatch(text) and not isfile(text):  # noqa: PTH113  # never raises
        raise ValueError(
            "is a secret, which does not belong in the file; write the path of a file that has it"
        )
    return value


def _no_pem(value: object) -> object:
    """The path of a file with a certificate; its text is refused."""
    if str(value).lstrip().startswith("-----BEGIN"):
        raise ValueError("is a certificate, not a path; write the path of a file that has it")
    return value


def _bindable(value: str) -> str:
    """An address or name to listen on, without the port and the brackets that URLs have."""
    host, _, port = value.rpartition(":")
    if port.isdecimal() and host and (":" not in host or host.endswith("]")):
        raise ValueError(f"has a port; write it as port: {port}")
    if not value or set("[]/* ") & set(value):
        text = "is not an address or name of this machine; write one such as 0.0.0.0, or :: without"
        raise ValueError(f"{text} brackets")
    return value


def network(value: object) -> str:
    """Canonical CIDR text of a network or address."""
    text = str(value).strip()
    if "%" in text:
        raise ValueError("has a zone; write a network such as fe80::/10")
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        pass
    try:
        whole = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError("is not a network; write one such as 10.0.0.0/8, or an address") from None
    raise ValueError(
        f"is an address inside a network; write {whole} for the network, or "
        f"{text.partition('/')[0]} for the address alone"
    )


def like(pattern: str, what: str) -> Any:
    """A check that text has the form of a pattern, which the schema shows too.

    Args:
        pattern: Regular expression for the whole text.
        what: What to write, with an example.
    """

    def check(value: object) -> object:
        if isinstance(value, str) and not re.search(pattern, value):
            raise ValueError(f"cannot be used here; write {what}")
        return value

    return BeforeValidator(check)


NOT_BOOLEAN = BeforeValidator(
    lambda value: str(value).lower() if isinstance(value, bool) else value
)
"""For numbers: makes text of a boolean, which pydantic would take for 0 or 1."""
WHOLE = PlainSerializer(
    lambda value: int(value) if value == int(value) else value, when_used="json"
)
"""Shows a whole number without ``.0``."""

Duration = Annotated[
    float,
    BeforeValidator(_seconds, json_schema_input_type=str | float),
    PlainSerializer(written_duration, when_used="json"),
    Field(examples=["500ms", "10s", "1.5h"]),
]
"""Seconds; over 0, and up to 30 days."""
DurationOrZero = Annotated[
    float,
    BeforeValidator(_seconds_or_zero, json_schema_input_type=str | float),
    PlainSerializer(written_duration, when_used="json"),
    Field(examples=["500ms", "10s", "1.5h"]),
]
"""Seconds; 0, and up to 30 days."""
DurationOrOff = Annotated[
    Duration | None,
    BeforeValidator(_unless_off),
    PlainSerializer(lambda value: written_duration(value) if value else "off", when_used="json"),
]
"""Seconds, or None for ``off``."""
Size = Annotated[
    int,
    BeforeValidator(size_in_bytes, json_schema_input_type=str | int),
    PlainSerializer(written_size, when_used="json"),
    Field(examples=["64KiB", "1MiB", "2GB"]),
]
"""Bytes, up to the 50 TB of S3's largest object."""
Rate = Annotated[
    int,
    BeforeValidator(_bytes_a_second, json_schema_input_type=str | int),
    PlainSerializer(_written_rate, when_used="json"),
    Field(examples=["1KiB/s", "64KiB/s"]),
]
"""Bytes a second."""
ListenHost = Annotated[str, AfterValidator(_bindable)]
"""Address or name to listen on."""
KeyFile = Annotated[Path, BeforeValidator(_no_key)]
"""Path of a file with a secret key."""
CertificateFile = Annotated[Path, BeforeValidator(_no_pem)]
"""Path of a file with a certificate."""
Network = Annotated[str, BeforeValidator(network)]
Percent = Annotated[float, Field(ge=0, le=100), NOT_BOOLEAN, WHOLE]
Port = Annotated[int, Field(ge=0, le=65535), NOT_BOOLEAN]


class Section(BaseModel):
    """Base of every section: immutable, and unknown keys are errors."""

    # use_attribute_docstrings would read the source at each start: ``json_schema.schema`` does
    model_config = ConfigDict(frozen=True, extra="forbid")
