"""Which of the logged requests a policy redirects, by the product's own ``Engine.decide``.

It is asked once for each distinct site, object, region, method and flags, with an address made up
for the region; regions in which all targets have the same mode get the same answers, so that one of
them is asked about. No rule depends on anything else in the tables of ``Traffic``. What is not in
them is taken as follows:

* ``redirect.percent``: as expectation. With 25 percent every redirect counts a quarter.
* ``redirect.mode: shadow``: as ``on``, since the question is what redirects would save.
* ``redirect.min_size``: by the size that the log shows. An object of unknown size is not redirected
  where there is a floor.
* A cookie or a signed query is as good as an Authorization: such a request is not redirected.
* ``opt_out.networks`` and ``opt_out.user_agents`` do not count.
"""

from __future__ import annotations

from array import array
from dataclasses import replace
from functools import cache
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from nearbucket.analysis.policies.copy_volume import ObjectCount
from nearbucket.analysis.traffic import CREDENTIALS, OPTED_OUT
from nearbucket.policy.engine import Engine
from nearbucket.policy.model import Reason, Refuse, Request
from nearbucket.policy.rules import TargetUrls
from nearbucket.regions.region_table import build_table, network_set

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from nearbucket.analysis.policies.traffic_tables import LoggedObject, TrafficTables
    from nearbucket.config.settings import Settings
    from nearbucket.policy.rules import SitePolicy

_OPTED_OUT = b"as logged: opt-out"  # a name that no client can send (RFC 9110 section 5.1)
_REDIRECTED = frozenset({Reason.IN_REGION, Reason.SHADOW})
_MADE_UP = "192.0.2.{}"  # RFC 5737
_NOWHERE = TargetUrls("https://nowhere.invalid/", "https://nowhere.invalid/")
_REQUESTS = """
SELECT path, place, host, key, alike, method, flags, region, geography,
       sum(requests)::BIGINT, sum(bytes)::BIGINT
FROM facts JOIN paths USING (host, key) JOIN chosen USING (path) JOIN targets USING (region)
WHERE status IN (200, 206) GROUP BY ALL ORDER BY path, alike, method, flags
"""


class RedirectedTraffic(NamedTuple):
    """Requests that a policy redirects; counts of the log's period.

    Attributes:
        site: Name of the site.
        label: Label of the objects.
        region: Region of the clients.
        geography: Price geography of the edge.
        requests: Requests.
        bytes: Bytes.
    """

    site: str
    label: str
    region: str
    geography: str
    requests: float
    bytes: float


class PolicyTraffic:
    """What a configuration does with the requests of a log.

    Attributes:
        rows: The requests that are redirected to a target.
        objects: The objects to which requests may be redirected, by site and label.
    """

    def __init__(
        self,
        tables: TrafficTables,
        settings: Settings,
        further: Collection[str] = (),
        label: Callable[[str], str] = lambda _: "",
    ) -> None:
        """Decide the requests.

        Args:
            tables: The log.
            settings: The configuration.
            further: Regions to decide for as if all sites had a target there.
            label: Gives the label of an object by its key.
        """
        own = {region for site in settings.sites for region in site.targets}
        self._tables = tables
        self._regions = sorted(own | set(further))
        self._engine = _engine(settings, self._regions, further)
        self._floors = {site.name: site.redirect.min_size for site in settings.sites}
        self._share = {site.name: site.redirect.percent / 100 for site in settings.sites}
        self._site_of = site_by_host(settings)
        self.objects: dict[tuple[str, str], ObjectCount] = {}
        self._labels: list[str] = []
        self.rows = self._redirected(*self._choose(label))

    def _choose(self, label: Callable[[str], str]) -> tuple[array[int], array[int]]:
        """The paths of all objects that may be redirected to, and the place of their label."""
        paths, places = array("i"), array("i")
        known: dict[str, int] = {}
        for found in self._tables.objects(min(self._floors.values())):
            name: str | None = None
            for site, of_site in self._by_site(found):
                key = _served(site, found.key)
                if not site.may_redirect(key) or (found.size or 0) < self._floors[site.name]:
                    continue
                name = label(key) if name is None else name
                place = known.setdefault(name, len(known))
                paths.extend(of_site)
                places.extend([place] * len(of_site))
                of = site.name, name
                if of not in self.objects:
                    self.objects[of] = ObjectCount(self._tables.days)
                self.objects[of].add(found.size, found.first_day)
        self._labels = list(known)
        return paths, places

    def _by_site(self, found: LoggedObject) -> list[tuple[SitePolicy, list[int]]]:
        """The paths of an object by the site that serves their hosts."""
        sites: dict[str, tuple[SitePolicy, list[int]]] = {}
        for path, host in found.paths:
            if (site := self._site_of(host)) is not None:
                sites.setdefault(site.name, (site, []))[1].append(path)
        return list(sites.values())

    def _redirected(self, paths: array[int], places: array[int]) -> list[RedirectedTraffic]:
        import pyarrow as pa  # noqa: PLC0415  # of the extra "report"

        chosen = pa.table(
            {"path": pa.array(paths, pa.int32()), "place": pa.array(places, pa.int32())}
        )
        alike = self._alike()
        targets = pa.table(
            {
                "region": pa.array(list(alike), pa.string()),
                "alike": pa.array(list(alike.values()), pa.int32()),
            }
        )
        sums: dict[tuple[str, str, str, str], list[float]] = {}
        rows = self._tables.rows(_REQUESTS, chosen=chosen, targets=targets)
        for (_, place, *asked), same in groupby(rows, key=itemgetter(0, 1, 2, 3, 4, 5, 6)):
            if (site := self._decide(*asked)) is None:
                continue
            share, name = self._share[site], self._labels[place]
            for *_, region, geography, requests, size in same:
                row = sums.setdefault((site, name, region, geography), [0.0, 0.0])
                row[0] += requests * share
                row[1] += size * share
        return [RedirectedTraffic(*of, *counts) for of, counts in sorted(sums.items())]

    def _alike(self) -> dict[str, int]:
        """For each region, the place of the first one for which all answers are the same."""
        sites = {site.name: site for site in self._engine.sites.values()}.values()
        first: dict[tuple[str | None, ...], int] = {}
        return {
            region: first.setdefault(tuple(site.modes.get(region) for site in sites), place)
            for place, region in enumerate(self._regions)
        }

    def _decide(self, host: str, sent: str, region: int, method: str, flags: int) -> str | None:
        """The site of a request that is redirected to a target; else None."""
        headers = _host(host)
        if flags & CREDENTIALS:
            headers[b"authorization"] = b""
        if flags & OPTED_OUT:
            headers[_OPTED_OUT] = b""
        request = Request(method, "/" + sent, headers, _MADE_UP.format(region))
        decision = self._engine.decide(request)
        if isinstance(decision, Refuse) or decision.reason not in _REDIRECTED:
            return None
        return decision.site


def site_by_host(settings: Settings) -> Callable[[str], SitePolicy | None]:
    """A function that gives the site for requests to a host; None if no site serves it."""
    engine = Engine.build(settings, build_table(None, (), {}), network_set(()))

    @cache
    def site_of(host: str) -> SitePolicy | None:
        return engine.site_of(Request("GET", "/", _host(host), None), None)

    return site_of


def _served(site: SitePolicy, key: str) -> str:
    """The key of the object that a site serves for a key."""
    return key + site.index if site.index and (not key or key.endswith("/")) else key


def _host(name: str) -> dict[bytes, bytes]:
    return {b"host": name.encode("utf-8", "replace")}


def _engine(settings: Settings, regions: list[str], further: Collection[str]) -> Engine:
    """An engine with one address in each region, and targets of all sites in ``further``."""
    overrides = {_MADE_UP.format(place): region for place, region in enumerate(regions)}
    engine = Engine.build(settings, build_table(None, (), overrides), network_set(())).for_client()
    modes = {site.name: site.redirect.mode for site in settings.sites}
    sites = {
        host: _as_logged(policy, dict.fromkeys(further, modes[policy.name]))
        for host, policy in engine.sites.items()
    }
    return replace(engine, sites=sites)


def _as_logged(policy: SitePolicy, further: Mapping[str, str]) -> SitePolicy:
    """A site with targets in further regions, with their modes."""
    targets = dict.fromkeys(further, _NOWHERE) | dict(policy.targets)
    modes = {**further, **policy.modes}
    return replace(policy, targets=targets, modes=modes, percent=100.0, opt_out_header=_OPTED_OUT)
