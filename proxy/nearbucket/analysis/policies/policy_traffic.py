"""Which of the logged requests a policy redirects, by the product's own ``Engine.decide``.

It is asked once for each distinct site, kind of object, region, method and flags, with an address
made up for the region; regions in which all targets have the same mode get the same answers, so
that one of them is asked about. Objects that a site may redirect have the same answers, too, but
for those with an unusual path, each of which is asked about. No rule depends on anything else in
the tables of ``Traffic``. What is not in them is taken as follows:

* ``redirect.percent``: as expectation. With 25 percent every redirect counts a quarter.
* ``redirect.mode: shadow``: as ``on``, since the question is what redirects would save.
* ``redirect.min_size``: by the size that the log shows. An object of unknown size is not redirected
  where there is a floor.
* A cookie, a signed query or an argument of ``origin.query`` stands for any credentials: such a
  request is not redirected.
* ``opt_out``: as the log was counted (``analysis/reducing/request_flags.py``): by query,
  User-Agent and network; by header only where nearbucket's own log has the reason.
"""

from __future__ import annotations

import re
from array import array
from dataclasses import replace
from functools import cache, lru_cache, partial
from typing import TYPE_CHECKING, NamedTuple

from nearbucket.analysis.policies.copy_volume import ObjectCount
from nearbucket.analysis.traffic import CREDENTIALS, OPTED_OUT
from nearbucket.policy.engine import Engine
from nearbucket.policy.model import Reason, Refuse, Request
from nearbucket.policy.rules import TargetUrls
from nearbucket.regions.region_table import build_table, network_set

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    import pyarrow as pa

    from nearbucket.analysis.policies.traffic_tables import TrafficTables
    from nearbucket.config.settings import Settings
    from nearbucket.policy.rules import SitePolicy

_OPTED_OUT = b"as logged: opt-out"  # a name that no client can send (RFC 9110 section 5.1)
_REDIRECTED = frozenset({Reason.IN_REGION, Reason.SHADOW})
_USUAL_KEY = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9_~./-]*")
"""Keys whose path gives no reason to refuse the request or to answer it in another way."""
_MADE_UP = "192.0.2.{}"  # RFC 5737
_NOWHERE = TargetUrls("https://nowhere.invalid/", "https://nowhere.invalid/")
_ASKED = """
CREATE OR REPLACE TEMP VIEW asked AS
SELECT kind, place, alike, method, flags, region, geography, requests, bytes
FROM facts JOIN chosen USING (object) JOIN targets USING (region) WHERE status IN (200, 206)
"""
_DISTINCT = """
SELECT kind, alike, method, flags, host, key FROM
  (SELECT kind, alike, method, flags FROM asked GROUP BY ALL)
JOIN (SELECT kind, min(object) AS object FROM chosen GROUP BY kind) USING (kind)
JOIN objects USING (object) ORDER BY kind, alike, method, flags
"""
_SUMS = """
SELECT site, place, region, geography, sum(requests)::BIGINT, sum(bytes)::BIGINT
FROM asked JOIN redirected USING (kind, alike, method, flags)
GROUP BY ALL ORDER BY ALL
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


class _Chosen:
    """Numbers of objects, and which of them get the same answers: those are of one kind."""

    def __init__(self) -> None:
        self._numbers, self._kinds, self._places = array("i"), array("i"), array("i")
        self._kind_of: dict[tuple[str, str], int] = {}

    def add(self, site: SitePolicy, key: str, numbers: list[int], place: int) -> None:
        """Take the numbers of an object that a site may redirect; its label has a place."""
        usual = _USUAL_KEY.fullmatch(key) is not None and len(key) <= site.max_key
        kind = site.name, "" if usual else key
        self._numbers.extend(numbers)
        self._kinds.extend([self._kind_of.setdefault(kind, len(self._kind_of))] * len(numbers))
        self._places.extend([place] * len(numbers))

    def table(self) -> pa.Table:
        """Columns ``object``, ``kind`` and ``place``."""
        import pyarrow as pa  # noqa: PLC0415  # of the extra "report"

        columns = {"object": self._numbers, "kind": self._kinds, "place": self._places}
        return pa.table({name: pa.array(column, pa.int32()) for name, column in columns.items()})


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
        self._addresses = _addresses(self._regions)
        self._floors = {site.name: site.redirect.min_size for site in settings.sites}
        self._share = {site.name: site.redirect.percent / 100 for site in settings.sites}
        self._sites_of = cache(partial(_by_site, site_by_host(settings)))
        self.objects: dict[tuple[str, str], ObjectCount] = {}
        self._labels: list[str] = []
        self.rows = self._redirected(self._choose(label))

    def _choose(self, label: Callable[[str], str]) -> _Chosen:
        """All objects that may be redirected to."""
        chosen = _Chosen()
        known: dict[str, int] = {}
        for found in self._tables.objects(min(self._floors.values())):
            name: str | None = None
            for site, at in self._sites_of(found.hosts):
                key = _served(site, found.key)
                if not site.may_redirect(key) or (found.size or 0) < self._floors[site.name]:
                    continue
                name = label(key) if name is None else name
                numbers = [found.numbers[place] for place in at]
                chosen.add(site, key, numbers, known.setdefault(name, len(known)))
                of = site.name, name
                if of not in self.objects:
                    self.objects[of] = ObjectCount(self._tables.days)
                self.objects[of].add(found.size, found.first_day)
        self._labels = list(known)
        return chosen

    def _redirected(self, chosen: _Chosen) -> list[RedirectedTraffic]:
        import pyarrow as pa  # noqa: PLC0415  # of the extra "report"

        alike = self._alike()
        targets = pa.table(
            {
                "region": pa.array(list(alike), pa.string()),
                "alike": pa.array(list(alike.values()), pa.int32()),
            }
        )
        tables = self._tables
        tables.make(_ASKED, chosen=chosen.table(), targets=targets)
        sites: dict[str, int] = {}
        kept = [
            (sites.setdefault(site, len(sites)), *asked)
            for *asked, host, key in tables.rows(_DISTINCT)
            if (site := self._decide(host, key, *asked[1:])) is not None
        ]
        names = ("site", "kind", "alike", "method", "flags")
        kinds = (pa.int32(), pa.int32(), pa.int32(), pa.string(), pa.int8())
        columns = zip(*kept, strict=True) if kept else [()] * len(names)
        redirected = pa.table(list(map(pa.array, columns, kinds)), names)
        site_names = list(sites)
        rows = []
        for place, label, region, geography, *counts in tables.rows(_SUMS, redirected=redirected):
            site = site_names[place]
            requests, size = (count * self._share[site] for count in counts)
            rows.append(
                RedirectedTraffic(site, self._labels[label], region, geography, requests, size)
            )
        return sorted(rows)

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
        request = Request(method, "/" + sent, _headers(host, flags), self._addresses[region])
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


def _by_site(
    site_of: Callable[[str], SitePolicy | None], hosts: tuple[str, ...]
) -> list[tuple[SitePolicy, list[int]]]:
    """Sites, and the places of the hosts that each serves."""
    sites: dict[str, tuple[SitePolicy, list[int]]] = {}
    for place, host in enumerate(hosts):
        if (site := site_of(host)) is not None:
            sites.setdefault(site.name, (site, []))[1].append(place)
    return list(sites.values())


def _served(site: SitePolicy, key: str) -> str:
    """The key of the object that a site serves for a key."""
    return key + site.index if site.index and (not key or key.endswith("/")) else key


def _host(name: str) -> dict[bytes, bytes]:
    return {b"host": name.encode("utf-8", "replace")}


@lru_cache(1 << 10)
def _headers(host: str, flags: int) -> dict[bytes, bytes]:
    """The header fields of a request, as far as decisions depend on them."""
    headers = _host(host)
    if flags & CREDENTIALS:
        headers[b"authorization"] = b""
    if flags & OPTED_OUT:
        headers[_OPTED_OUT] = b""
    return headers


def _addresses(regions: list[str]) -> list[str]:
    """An address for each region."""
    return [_MADE_UP.format(place) for place in range(len(regions))]


def _engine(settings: Settings, regions: list[str], further: Collection[str]) -> Engine:
    """An engine with one address in each region, and targets of all sites in ``further``."""
    overrides = dict(zip(_addresses(regions), regions, strict=True))
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
