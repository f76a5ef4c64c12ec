"""The types of settings: durations, sizes, networks, ports; and the base of all sections."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]i?)?B?", re.IGNORECASE)
MASK = "********"
"""Shown instead of a secret."""

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def _seconds(value: object) -> object:
    """``10s``, ``1.5h`` or a plain number, in seconds."""
    if isinstance(value, str):
        found = _DURATION.fullmatch(value.strip())
        if found is None:
            raise ValueError(f"{value!r} is not a duration such as 500ms, 10s, 5m, 1h or 1d")
        return float(found[1]) * _SECONDS[found[2]]
    return value


def _bytes(value: object) -> object:
    """``1MiB``, ``1.5GB`` or a plain number, in bytes; Ki, Mi, Gi and Ti count in 1,024s."""
    if isinstance(value, str):
        found = _SIZE.fullmatch(value.strip())
        if found is None:
            raise ValueError(f"{value!r} is not a size such as 4096, 64KiB, 1MiB or 2GB")
        unit = (found[2] or "").lower()
        base = 1024 if unit.endswith("i") else 1000
        return int(float(found[1]) * base ** " kmgt".index(unit[:1] or " "))
    return value


def switch(value: object) -> object:
    """The words ``on`` and ``off``, which YAML 1.1 reads as booleans."""
    return {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value


def unless_off(value: object) -> object:
    """None for ``off``, also as the boolean that YAML 1.1 makes of it."""
    return None if value is False or value == "off" else value


def number(value: object) -> object:
    """The number, if an environment variable gave it as text."""
    return int(value) if isinstance(value, str) and value.isdigit() else value


def without_secrets(source: str) -> str:
    """A URL, or the name of a file, with asterisks for user name, password and query."""
    scheme, slashes, rest = source.partition("://")
    if not slashes:
        return source
    found = scheme + slashes + re.sub(r".*@", f"{MASK}@", rest)
    return re.sub(r"\?.+", f"?{MASK}", found)


def network(value: object) -> str:
    """Canonical CIDR text of a network or address."""
    text = str(value).strip()
    if "%" in text:
        raise ValueError(f"{text!r} has a zone; write a network such as fe80::/10")
    return str(ipaddress.ip_network(text))


Duration = Annotated[
    float,
    BeforeValidator(_seconds, json_schema_input_type=str | float),
    Field(gt=0, le=30 * 86400),
]
Size = Annotated[
    int, BeforeValidator(_bytes, json_schema_input_type=str | int), Field(ge=0, le=50 * 1000**4)
]
"""Bytes, up to the 50 TB of S3's largest object (S3 user guide, "Amazon S3 objects overview")."""
Network = Annotated[str, BeforeValidator(network)]
Port = Annotated[int, Field(ge=0, le=65535)]


class Section(BaseModel):
    """Base of every section: immutable, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
