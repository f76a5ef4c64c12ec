"""The steps of ``nearbucket sync``: which target is brought up to date with which origin.

Settings with which copying would be impossible or dangerous are refused here, without asking any
bucket.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from nearbucket.errors import ConfigError
from nearbucket.policy.selection import chooser, key_prefixes, key_suffixes
from nearbucket.replication.step_order import CircleError, in_order, overlapping
from nearbucket.s3.bucket_location import BucketLocation, origin_of, origins_of, target_of
from nearbucket.s3.unreadable import Unreadable, barriers_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from nearbucket.config.settings import Settings
    from nearbucket.config.sites import Site


@dataclass(frozen=True, slots=True)
class SyncStep:
    """One target to bring up to date.

    Attributes:
        site: Name of the site.
        regions: Regions whose clients are redirected to the target.
        origin: The bucket to copy from.
        target: The bucket to copy to.
        chosen: Whether the site's policy would redirect to an object of this key and size.
        prefixes: With which of these the keys of such objects begin.
        suffixes: And with which of these they end.
        barriers: What keeps the site's clients from reading a copy.
        compares: Whether a redirect needs a copy that is known to be equal.
    """

    site: str
    regions: tuple[str, ...]
    origin: BucketLocation
    target: BucketLocation
    chosen: Callable[[str, int], bool]
    prefixes: Sequence[str]
    suffixes: Sequence[str]
    barriers: frozenset[Unreadable]
    compares: bool

    @property
    def buckets(self) -> tuple[str, str]:
        """Full prefixes of origin and target."""
        return self.origin.full_prefix, self.target.full_prefix

    def prefixes_in(self, location: BucketLocation) -> list[str]:
        """The prefixes of the full names (server, bucket, key) of its objects in one of both."""
        return [location.full_prefix + prefix for prefix in self.prefixes]

    def may_share_keys(self, other: SyncStep) -> bool:
        """Whether names that end like objects of one step may be those of objects of the other."""
        pairs = product(self.suffixes, other.suffixes)
        return any(one.endswith(two) or two.endswith(one) for one, two in pairs)


def steps_of(
    settings: Settings, sites: Sequence[str], regions: Sequence[str], *, delete: bool
) -> list[SyncStep]:
    """One step for each target that is not its own origin, in the order of the configuration.

    But a target that is the origin of other steps comes before them.

    Args:
        settings: The configuration.
        sites: Hosts, in any case, of the sites that are meant; empty for all sites.
        regions: Regions with a target; empty for all.
        delete: Whether objects may be deleted.

    Raises:
        ConfigError: A name is unknown, or S3 cannot or must not copy between two buckets.
    """
    named = {host.lower().rstrip(".") for host in sites}
    _refuse_unknown("--site", named, [host for site in settings.sites for host in site.hosts])
    chosen = [site for site in settings.sites if not named or not named.isdisjoint(site.hosts)]
    known = [region for site in chosen for region in site.targets]
    _refuse_unknown("--region", regions, known)
    steps = [step for site in chosen for step in _steps(site, regions)]
    for step in steps:
        _refuse_impossible(step)
    _refuse_collisions(steps)
    if delete:
        _refuse_shared(steps, settings)
    return _in_order(steps)


def _refuse_unknown(option: str, asked: Iterable[str], known: Sequence[str]) -> None:
    for name in asked:
        if name not in known:
            names = " ".join(dict.fromkeys(known))  # two sites may have targets in one region
            raise ConfigError(f"{option} {name}: not configured; choose from: {names or 'none'}")


def _steps(site: Site, regions: Sequence[str]) -> Iterator[SyncStep]:
    """The steps of a site; regions that share a bucket share a step."""
    found: dict[str, tuple[BucketLocation, list[str]]] = {}
    for region in site.targets:
        if not regions or region in regions:
            target = target_of(site, region)
            found.setdefault(target.full_prefix, (target, []))[1].append(region)
    paths = site.redirect.paths
    which = chooser(site), key_prefixes(paths), key_suffixes(paths)
    origin, barriers, compares = origin_of(site), barriers_of(site), site.redirect.verify == "match"
    for target, names in found.values():
        if not target.is_at(origin):
            yield SyncStep(site.name, tuple(names), origin, target, *which, barriers, compares)


def _in_order(steps: Sequence[SyncStep]) -> list[SyncStep]:
    """The steps; one that fills the origin of another comes before that.

    Raises:
        ConfigError: Some fill each other's origins.
    """
    reads = [step.prefixes_in(step.origin) for step in steps]
    writes = [step.prefixes_in(step.target) for step in steps]
    try:
        return [steps[number] for number in in_order(reads, writes)]
    except CircleError as error:
        raise _circle(*(steps[number] for number in error.args)) from None


def _circle(filler: SyncStep, filled: SyncStep) -> ConfigError:
    """The error for steps of which one fills the origin of the other, and the other way round."""
    return ConfigError(
        f"{filled.target.name} and {filler.target.name}: {filled.target} and {filled.origin} "
        "are copied to each other, so an older object could replace a newer one; let both sites' "
        "redirect.paths begin with folders of their own, or with --site copy only from the bucket "
        "that objects are uploaded to"
    )


def _refuse_impossible(step: SyncStep) -> None:
    origin, target = step.origin, step.target
    if target.credentials == "anonymous":
        raise ConfigError(f"{target.name}: credentials: anonymous cannot write to {target}")
    if origin.server != target.server:
        raise ConfigError(
            f"{target.name}: {target} is on {target.server}, its origin {origin} on "
            f"{origin.server}; S3 copies within one server only. Copy with rclone instead "
            '(docs/replication.md, "Between two servers") and leave the region out with --region; '
            "if both are one server, give both the same endpoint"
        )
    if origin.overlaps(target):
        raise ConfigError(
            f"{target.name}: {target} and its origin {origin} hold each other's objects, so each "
            "run would copy the last one's copies; give each of them a prefix of its own"
        )


def _refuse_collisions(steps: Iterable[SyncStep]) -> None:
    """Refuse steps that write different objects under equal keys of one target.

    A step may copy copies: if both origins have objects of one bucket, these are equal. And a
    folder in a target may be another target, as long as no ``paths`` of the outer one lead there.
    """
    written: dict[str, dict[tuple[str, ...], SyncStep]] = {}
    filled: dict[str, set[str]] = {}
    for step in steps:
        origin, target = step.buckets
        filled.setdefault(target, set()).add(origin)
        for prefix in step.prefixes_in(step.target):
            written.setdefault(prefix, {}).setdefault((*step.buckets, *step.suffixes), step)
    for one, other in overlapping(written, written):
        for step, rival in product(written[one].values(), written[other].values()):
            (origin, target), (rivals_origin, rivals_target) = step.buckets, rival.buckets
            if (
                step.buckets != rival.buckets
                and one.startswith(rivals_target)
                and other.startswith(target)
                and step.may_share_keys(rival)
                and _sources(origin, filled).isdisjoint(_sources(rivals_origin, filled))
            ):
                raise _collision(step, rival)


def _sources(bucket: str, filled: Mapping[str, Iterable[str]]) -> set[str]:
    """A bucket, and all whose objects get there, also over others; by their full prefixes."""
    found: set[str] = set()
    left = [bucket]
    while left:
        if (one := left.pop()) not in found:
            found.add(one)
            left += filled.get(one, ())
    return found


def _collision(one: SyncStep, other: SyncStep) -> ConfigError:
    return ConfigError(
        f"{one.target.name} and {other.target.name}: objects of {one.origin} and {other.origin} "
        f"are copied to {one.target}, so those with equal keys would replace each other in each "
        "run; give each of these targets a prefix of its own, or let both sites' redirect.paths "
        "begin with folders of their own, or end differently"
    )


def _refuse_shared(steps: Sequence[SyncStep], settings: Settings) -> None:
    """With ``--delete``, refuse a target that holds other objects than copies from its origin."""
    filled = {step.target.full_prefix: step for step in reversed(steps)}
    kept: dict[str, dict[str, BucketLocation]] = {}
    for site in settings.sites:
        origin = origin_of(site).full_prefix
        for each in (*origins_of(site), *(target_of(site, region) for region in site.targets)):
            kept.setdefault(each.full_prefix, {}).setdefault(origin, each)
    for one, prefix in overlapping(filled, kept):
        step = filled[one]
        for origin, other in kept[prefix].items():
            if prefix != one or origin != step.origin.full_prefix:
                raise ConfigError(
                    f"{step.target.name}: --delete could delete objects of {other.name} ({other}); "
                    "give each of them a prefix of its own, or delete by hand"
                )
