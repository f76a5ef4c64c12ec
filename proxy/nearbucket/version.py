"""The version, and the commit that a wheel or an image was built from."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from nearbucket import __version__

_COMMIT_FILE = "commit.txt"
"""``git archive`` puts the commit into it (gitattributes(5), "export-subst"), and so does the build
of the image; in a checkout it has a placeholder."""


@cache
def commit() -> str | None:
    """The commit of the sources, or None if that is unknown, as in a checkout."""
    text = files(__package__).joinpath(_COMMIT_FILE).read_text("ascii").strip()
    return None if not text or text.startswith("$") else text


def version_text() -> str:
    """The version as people read it, such as ``0.1.0 (commit 0123456789ab)``."""
    known = commit()
    return __version__ if known is None else f"{__version__} (commit {known[:12]})"
