"""The version, the commit that a wheel or an image was built from, and whether it is compiled."""

from __future__ import annotations

from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.resources import files
from importlib.util import find_spec

from nearbucket import __version__

_COMMIT_FILE = "commit.txt"
"""``git archive`` puts the commit into it (gitattributes(5), "export-subst"), and so does the build
of the image; in a checkout it has a placeholder."""

_COMPILED_MODULE = "policy.model"
"""One of those that ``setup.py`` compiles."""


@cache
def commit() -> str | None:
    """The commit of the sources, or None if that is unknown, as in a checkout."""
    text = files(__package__).joinpath(_COMMIT_FILE).read_text("ascii").strip()
    return None if not text or text.startswith("$") else text


@cache
def is_compiled() -> bool:
    """Whether the policy and the fast lane are C extensions: the optional build of ``setup.py``."""
    found = find_spec(f"{__package__}.{_COMPILED_MODULE}")
    return found is not None and (found.origin or "").endswith(tuple(EXTENSION_SUFFIXES))


def version_text() -> str:
    """The version as people read it, such as ``0.1.0 (commit 0123456789ab, compiled)``."""
    known = commit()
    notes = [] if known is None else [f"commit {known[:12]}"]
    if is_compiled():
        notes.append("compiled")
    return f"{__version__} ({', '.join(notes)})" if notes else __version__
