"""Which objects of a bucket a site's policy can redirect to."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nearbucket.errors import RequestError
from nearbucket.policy.object_keys import encode_key, is_plain, object_key
from nearbucket.policy.rules import SitePolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nearbucket.config.sites import Site


def chooser(site: Site) -> Callable[[str, int], bool]:
    """A function of key and size in bytes that tells whether the policy can redirect to the object.

    Keys that no URL can name are left out, since no client can request them.
    """
    policy = SitePolicy.build(site)
    smallest = site.redirect.min_size

    def chosen(key: str, size: int) -> bool:
        return size >= smallest and policy.may_redirect(key) and has_url(key, policy)

    return chosen


def has_url(key: str, policy: SitePolicy) -> bool:
    """Whether a URL exists that gets exactly this key."""
    if (policy.index and key.endswith("/")) or len(key.encode()) > policy.max_key:
        return False
    if is_plain(key):
        return True
    try:
        return object_key(f"/{encode_key(key)}") == key
    except RequestError:
        return False


def key_suffixes(patterns: Iterable[str]) -> list[str]:
    """Literal endings of the keys that shell patterns match: each key has one of them."""
    return sorted({re.split(r"[]*?[]", pattern)[-1] for pattern in patterns})


def key_prefixes(patterns: Iterable[str]) -> list[str]:
    """The prefixes of all keys that shell patterns match, for listings.

    Each key has one of them, since none begins with another one. A pattern that begins with a
    wildcard makes the only prefix the empty one, so that all keys are listed.
    """
    found: list[str] = []
    for prefix in sorted({re.split(r"[*?[]", pattern, maxsplit=1)[0] for pattern in patterns}):
        if not found or not prefix.startswith(found[-1]):
            found.append(prefix)
    return found
