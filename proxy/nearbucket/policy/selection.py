"""Which objects of a bucket a site's policy can redirect to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nearbucket.errors import RequestError
from nearbucket.policy.object_keys import encode_key, object_key
from nearbucket.policy.rules import SitePolicy

if TYPE_CHECKING:
    from collections.abc import Callable

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
    try:
        return object_key(f"/{encode_key(key)}") == key
    except RequestError:
        return False
