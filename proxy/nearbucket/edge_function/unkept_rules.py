"""The rules that a CloudFront Function cannot keep, and what is unsafe without them.

A function sees one request. It cannot ask S3, remember clients, sign with credentials or count.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from nearbucket.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from nearbucket.config.settings import Settings
    from nearbucket.config.sites import Site


class UnkeptName(StrEnum):
    """Settings of ``redirect`` that a function cannot keep and that are unsafe to leave out."""

    VERIFY = "verify"
    MIN_SIZE = "min_size"
    WATCH = "watch"
    CAME_BACK = "came_back"


class UnkeptRule(NamedTuple):
    """A rule that is unsafe to leave out.

    Attributes:
        name: Name of the setting.
        applies: Whether a site has the rule.
        risk: What happens without it.
        switched_off: The setting that says that the site does not need the rule.
    """

    name: UnkeptName
    applies: Callable[[Site], bool]
    risk: str
    switched_off: str


class UnkeptNote(NamedTuple):
    """Something that is safe to leave out.

    Attributes:
        applies: Whether a site has it.
        text: What is done instead.
    """

    applies: Callable[[Site], bool]
    text: str


UNSAFE = (
    UnkeptRule(
        UnkeptName.VERIFY,
        lambda site: site.redirect.verify != "none",
        "clients are redirected to copies that are missing, older than the origin's, archived or "
        "encrypted, and get 404, 403 or another version; a resumed download may get 412",
        "verify: none",
    ),
    UnkeptRule(
        UnkeptName.MIN_SIZE,
        lambda site: site.redirect.min_size > 0,
        "smaller objects are redirected too, and `nearbucket sync` does not copy them: 404",
        "min_size: 0",
    ),
    UnkeptRule(
        UnkeptName.WATCH,
        lambda site: site.redirect.watch,
        "clients are redirected to a target that is down, closed to them, or deleted and made "
        "again by another account, until another function is published",
        "watch: false",
    ),
    UnkeptRule(
        UnkeptName.CAME_BACK,
        lambda site: site.redirect.came_back is not None,
        "a client whose redirects fail, as behind a firewall, never gets the object",
        "came_back: off",
    ),
)

NOTES = (
    UnkeptNote(
        lambda _site: True,
        "Nothing is counted: no reasons, no savings, no access log of nearbucket. Count redirects "
        "in CloudFront's logs by sc-status, without those to HTTPS (x-edge-result-type Redirect).",
    ),
    UnkeptNote(
        lambda _site: True,
        "Nothing is refused or answered with 304 here: other methods, hosts and invalid paths go "
        "on to CloudFront and its origin.",
    ),
    UnkeptNote(
        lambda _site: True,
        "The client is the viewer that CloudFront sees (event.viewer.ip); client_address is not "
        "used. CloudFront's own signed URLs and cookies guard nothing that is redirected: leave "
        "the function out of behaviours with trusted key groups.",
    ),
    UnkeptNote(
        lambda site: any(site.mode_of(region) == "shadow" for region in site.targets),
        "mode: shadow is the same as off, since nothing is counted.",
    ),
    UnkeptNote(
        lambda site: site.bypass.to is not None,
        "bypass.to is not used: requests that are not redirected to a target go on to the CDN in "
        "which the function runs.",
    ),
    UnkeptNote(
        lambda site: bool(site.failover),
        "failover is not used: make an origin group in the distribution.",
    ),
    UnkeptNote(
        lambda site: site.index is not None,
        "index decides only what is redirected: CloudFront asks its origin for the key that ends "
        "in a slash, but for the default root object.",
    ),
)

_HIDDEN = {
    "connection", "cookie", "expect", "keep-alive", "proxy-authenticate", "proxy-authorization",
    "proxy-connection", "trailer", "upgrade", "x-cache", "x-forwarded-proto", "x-real-ip",
}  # fmt: skip
_HIDDEN_STARTS = ("x-accel-", "x-amz-cf-", "x-amzn-", "x-edge-")
"""Header fields that functions do not see (CloudFront developer guide, "Restrictions on all edge
functions"); cookies are shown apart from the header fields."""


def refuse_unsafe(settings: Settings, accepted: Collection[UnkeptName]) -> None:
    """Refuse what would be unsafe in a function.

    Args:
        settings: The configuration.
        accepted: Names of the rules of ``UNSAFE`` that may be left out.

    Raises:
        ConfigError: With a line for each setting.
    """
    problems = [
        problem for site in settings.sites for problem in _problems_of(site, frozenset(accepted))
    ]
    if problems:
        raise ConfigError("\n".join(problems))


def left_out(settings: Settings) -> list[str]:
    """What a function does not do of a configuration, a sentence each."""
    rules = [
        f"redirect.{rule.name} is not kept: {rule.risk}."
        for rule in UNSAFE
        if any(map(rule.applies, settings.sites))
    ]
    return rules + [note.text for note in NOTES if any(map(note.applies, settings.sites))]


def _problems_of(site: Site, accepted: frozenset[UnkeptName]) -> Iterator[str]:
    where = f"{site.key}.redirect"
    if site.redirect.presign is not None:
        yield (
            f"{where}.presign: a function cannot sign, and a client without a signature gets 403; "
            "remove it where targets are public, or run the proxy for this site"
        )
    for rule in UNSAFE:
        if rule.applies(site) and rule.name not in accepted:
            yield (
                f"{where}.{rule.name}: a function cannot keep this rule: {rule.risk}; to accept "
                f"that, give --without {rule.name}, or set {rule.switched_off}"
            )
    header = (site.opt_out.header or "").lower()
    if header in _HIDDEN or header.startswith(_HIDDEN_STARTS):
        yield (
            f"{site.key}.opt_out.header: CloudFront does not show {header} to functions; write "
            "another, such as x-no-redirect"
        )
