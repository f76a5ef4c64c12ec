"""The designs: distributions in front of the product."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tests.cdn.distribution import (
    CACHING_DISABLED,
    Behaviour,
    CachePolicy,
    CustomOrigin,
    Distribution,
    OriginRequestPolicy,
)

SUFFIX = "*.tar.xz"
"""``redirect.paths`` of the product, and the path pattern of the behaviour."""
SECRET_HEADER = "x-origin-verify"

FORWARDED = OriginRequestPolicy(("*", "Host"), query=True, cookies=False, viewer_address=True)
"""All that the product reads, but no cookies, as they count as credentials."""
NO_ERRORS = dict.fromkeys((404, 500, 502, 503, 504), 0.0)
"""Error caching minimum TTLs of all designs."""
PRODUCT, BUCKET = "nearbucket", "bucket"


@dataclass(frozen=True)
class Design:
    """A distribution in front of the product.

    Attributes:
        cache: Cache policy of the behaviour for ``SUFFIX``.
        rest: Cache policy of all other paths.
        rest_from: Origin of all other paths.
        bypass: Whether the product redirects to the second distribution.
    """

    cache: CachePolicy
    rest: CachePolicy
    rest_from: str = PRODUCT
    bypass: bool = False

    def distribution(self, product: str, bucket: str, secret: str) -> Distribution:
        """Its distribution.

        Args:
            product: URL of the product.
            bucket: URL of the origin bucket.
            secret: The origin secret.
        """
        origins = {
            PRODUCT: CustomOrigin(product, {SECRET_HEADER: secret}),
            BUCKET: CustomOrigin(bucket),
        }
        rest = Behaviour(self.rest_from, "*", self.rest)
        if self.rest_from == PRODUCT:
            rest = replace(rest, request=FORWARDED)
        first = Behaviour(PRODUCT, SUFFIX, self.cache, FORWARDED)
        return Distribution(origins, (first, rest), NO_ERRORS)


CACHED = CachePolicy(minimum=0)
DESIGNS = {
    "cached": Design(CACHED, CACHED),
    "suffixes": Design(CACHING_DISABLED, CACHED, BUCKET),
    "bypass": Design(CACHING_DISABLED, CACHING_DISABLED, bypass=True),
    "uncached": Design(CACHING_DISABLED, CACHING_DISABLED),
}
"""By name: a plain cached behaviour with a minimum TTL of 0; redirectable suffixes uncached and all
else from the bucket; ``bypass.mode: redirect`` to a second distribution; all uncached."""

UNSAFE = Design(CachePolicy(minimum=1), CachePolicy(minimum=1))
"""A cached behaviour with a minimum TTL of 1 s: in it nothing is private."""


def second(bucket: str) -> Distribution:
    """The second distribution: cached, with the bucket as its origin."""
    return Distribution({BUCKET: CustomOrigin(bucket)}, (Behaviour(BUCKET),), NO_ERRORS)
