"""The optional compiled build; pyproject.toml has everything else.

With ``COMPILE_NEARBUCKET=1`` in the environment the modules below become C extensions, made by
mypyc: ``nearbucket --version`` says "compiled". That needs mypy, a C compiler and Python's headers.
Otherwise the package is pure Python. The behaviour is the same (``make compiled``).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from setuptools import setup

if TYPE_CHECKING:
    from setuptools import Extension

COMPILED = (
    "policy/model", "policy/object_keys", "policy/preconditions", "policy/client_address",
    "policy/rules", "policy/engine",
    "telemetry/log_format", "telemetry/access_log",
    "frontend/limits/connection_timeouts", "frontend/request_parser", "frontend/response_heads",
    "frontend/cached_decision", "frontend/decision_cache", "frontend/decider",
    "frontend/answer_recorder", "frontend/worker_context", "frontend/client_connection",
)  # fmt: skip
"""What each request passes in the fast lane.

mypyc looks up the types of a dataclass's fields when the class is made, so they are imported, not
only for the type checker. Its classes have no parents but compiled ones. Frozen dataclasses cannot
be pickled or copied when they are compiled: what goes from one process to another is not here."""

_OPTIONS = ("--config-file=", "--ignore-missing-imports", "--follow-imports=silent")
"""mypy's: ``make types`` checks, and what it needs for that need not be installed here."""


def extensions() -> list[Extension]:
    """The C extensions."""
    from mypyc.build import mypycify  # noqa: PLC0415  # only a compiled build needs it

    files = [f"proxy/nearbucket/{module}.py" for module in COMPILED]
    made: list[Extension] = mypycify(
        [*_OPTIONS, *files], opt_level="3", debug_level="0", group_name="nearbucket"
    )
    return made


if __name__ == "__main__":
    setup(ext_modules=extensions() if os.environ.get("COMPILE_NEARBUCKET") == "1" else [])
