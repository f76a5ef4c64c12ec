"""What a finding is: the result of one check."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Level(StrEnum):
    """The level of a finding; ``note`` stands for a check that could not be made."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    WRONG = "wrong"


Subject = Literal[
    "admin", "bucket", "bypass", "certificate", "clients", "cors", "credentials", "drain", "front",
    "list", "owner", "paths", "ranges", "region", "sample", "trust",
]  # fmt: skip
"""What a finding is about."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    Attributes:
        level: How much it matters.
        place: Key in the configuration, such as ``sites.HOST.targets.us-west-2``, or ``front``.
        about: What was checked.
        text: What was found.
        fix: How to fix it; empty if there is nothing to fix.
        objects: Keys of the objects concerned.
        reached: Whether the server answered.
    """

    level: Level
    place: str
    about: Subject
    text: str
    fix: str = ""
    objects: tuple[str, ...] = ()
    reached: bool = True
