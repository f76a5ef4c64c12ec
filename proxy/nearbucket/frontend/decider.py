"""Decisions by all that is known now: the engine's, with copies, recent redirects and signed URLs.

The engine (``policy/engine.py``) knows the configuration alone. Here it is given what changes from
one request to the next.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from nearbucket.frontend.came_back import GET, HEAD
from nearbucket.frontend.recent_redirects import (
    NOTHING,
    STUCK,
    RecentRedirects,
    mark_of_asker,
    mark_of_object,
    mark_of_range,
)
from nearbucket.frontend.sibling_ranges import NEW, NEXT, OLDER, RangeOf, mark_of_bytes
from nearbucket.frontend.stuck_clients import StuckClient, StuckClients
from nearbucket.origin.conditional_request import one_range
from nearbucket.policy.model import REPLICA_OK, Reason, RedirectTo, ReplicaStatus, Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nearbucket.config.settings import Settings
    from nearbucket.frontend.recent_redirects import SharedTable
    from nearbucket.policy.engine import Engine
    from nearbucket.policy.model import Decision, Request
    from nearbucket.replicas.replica_status import ReplicaStatuses
    from nearbucket.s3.presigner import Presigner


_WITHOUT_COPY = frozenset({Reason.NOT_REPLICATED, Reason.UNVERIFIED})
"""Reasons that a request has while the copy is older than the origin's object."""

_TELLS_VERSIONS = frozenset({b"if-match", b"if-range", b"if-unmodified-since"})
"""Fields by which a client does not put parts of two versions together."""

_TURN = 0.01
"""Seconds between two looks whether a download may begin."""
_MORE_FOR_EACH = 0.0004
"""What each of the waiting requests adds: a look takes 8 µs, so a hundred take 2 % of a core."""
_LONGEST_TURN = 0.05


class _OlderCopy:
    """Stands in for what is known of copies, so that the engine redirects to an older copy."""

    def __init__(self, size: int) -> None:
        self._status = ReplicaStatus(None, size, 0.0)  # for this request alone

    def replica_status(self, _site: str, _region: str, _key: str) -> ReplicaStatus:
        return self._status

    def came_back(
        self, _site: str, _region: str, _client: str, _key: str, _request: Request
    ) -> bool:
        return False


class Decider:
    """Decides the requests of one worker; the engine's ``ReplicaKnowledge``.

    Attributes:
        engine: The policy under the current configuration and list of prefixes.
        replicas: What is known of the copies; None to assume that every target has every object.
        presigners: The signer of Locations by site and region, for targets that need signed URLs.
        recent_redirects: Recent redirects by site, where ``came_back`` or ``verify`` needs them.
        stuck_clients: Clients whose redirects fail.
    """

    __slots__ = (
        "_on_stuck", "_redirect_table", "_waiting", "engine", "presigners", "recent_redirects",
        "replicas", "stuck_clients",
    )  # fmt: skip

    def __init__(
        self, redirect_table: SharedTable, on_stuck: Callable[[StuckClient, int], None]
    ) -> None:
        """Prepare; ``use`` has to be called before ``decide``.

        Args:
            redirect_table: The recent redirects of all workers.
            on_stuck: Called with a client whose redirects are found to fail, and the bytes that
                they were counted to save.
        """
        self._redirect_table = redirect_table
        self._on_stuck = on_stuck
        self.stuck_clients = StuckClients()
        self._waiting = 0
        self.engine: Engine
        self.replicas: ReplicaStatuses | None = None
        self.presigners: Mapping[tuple[str, str], Presigner] = {}
        self.recent_redirects: Mapping[str, RecentRedirects] = {}

    def use(self, engine: Engine, settings: Settings) -> None:
        """Decide by this engine, which was built from these settings, from the next request on."""
        recent_redirects = {
            site.name: RecentRedirects(site.redirect.came_back or 0.0, self._redirect_table)
            for site in settings.sites
            if site.redirect.came_back is not None or site.redirect.verify == "match"
        }
        self.engine, self.recent_redirects = engine, recent_redirects

    def decide(self, request: Request, waited: float = 0.0) -> Decision:
        """Redirect, stream or refuse; for a target that needs it, the Location is signed.

        Args:
            request: The request.
            waited: Seconds for which it has waited for the older downloads of its client.
        """
        decision = self.engine.decide(request, self)
        if b"range" in request.headers and isinstance(decision, Stream):
            return self.with_siblings(request, decision, waited)
        return self._signed(request, decision)

    def replica_status(self, site: str, region: str, key: str) -> ReplicaStatus:
        """What is known of an object's copy; never waits."""
        replicas = self.replicas
        return REPLICA_OK if replicas is None else replicas.status(site, region, key)

    def came_back(self, site: str, region: str, client: str, key: str, request: Request) -> bool:
        """Whether redirects of the client fail; if it came back, the copy is checked again."""
        redirects = self.recent_redirects.get(site)
        if redirects is None:
            return False
        asker = mark_of_asker(site, client, request)
        asked, now = mark_of_object(key) ^ mark_of_range(request), time.monotonic()
        verdict = redirects.verdict(asker, asked, now, HEAD if request.method == "HEAD" else GET)
        if verdict is NOTHING:
            return False
        if verdict is STUCK:
            not_saved = redirects.stuck(asker, asked, now)
            if not_saved is None:  # as before
                return True
            agent = request.headers.get(b"user-agent", b"")
            stuck = StuckClient.of(site, region, client, key, agent)
            self.stuck_clients.add(asker, stuck)
            self._on_stuck(stuck, not_saved)
        if self.replicas is not None:
            self.replicas.revalidate(site, region, key)
        return verdict is STUCK

    async def decide_later(self, request: Request) -> Decision:
        """Decide when the request has to wait for no older download of its client any more.

        It waits for two seconds at most: then nothing is redirected to the older copy any more.
        """
        began, waited = time.monotonic(), 0.0
        while True:
            decision = self.decide(request, waited)
            if decision.reason is not Reason.UNVERIFIED or not isinstance(decision, Stream):
                return decision
            if self._download_of(request, decision, waited)[0] is not NEXT:
                return decision
            waited = await self._wait_for_older(request, decision, began)

    async def _wait_for_older(self, request: Request, decision: Stream, began: float) -> float:
        """Wait for the older downloads of a client; returns the seconds since ``began``."""
        self._waiting += 1
        try:
            while True:
                await asyncio.sleep(min(_LONGEST_TURN, _TURN + self._waiting * _MORE_FOR_EACH))
                waited = time.monotonic() - began
                if self._download_of(request, decision, waited)[0] is not NEXT:
                    return waited
        finally:
            self._waiting -= 1

    def with_siblings(self, request: Request, decision: Stream, waited: float = 0.0) -> Decision:
        """Redirect a range to the older copy if the rest of its download was redirected there.

        The arguments are those of ``decide``, and what the decision is without this rule.
        """
        download, size = self._download_of(request, decision, waited)
        if download is OLDER:
            return self._signed(request, self.engine.decide(request, _OlderCopy(size)))
        return replace(decision, reason=Reason.UNVERIFIED) if download is NEXT else decision

    def _download_of(
        self, request: Request, decision: Stream, waited: float
    ) -> tuple[RangeOf, int]:
        """The download of a range that would be streamed, and the size of an older copy."""
        site, key, replicas = decision.site, decision.key, self.replicas
        if (
            decision.reason not in _WITHOUT_COPY
            or replicas is None
            or not _TELLS_VERSIONS.isdisjoint(request.headers)
        ):
            return NEW, 0
        older = replicas.older_copy(site, decision.region or "", key)
        part = one_range(request.headers.get(b"range", b"").decode("latin-1"))
        if older is None or part is None or site not in self.recent_redirects:
            return NEW, 0
        mark = mark_of_asker(site, decision.client, request) ^ mark_of_object(key)
        download = self._redirect_table.ranges.download_of(
            mark, mark_of_bytes(part), older.changed, time.monotonic(), waited
        )
        return download, older.size

    def _signed(self, request: Request, decision: Decision) -> Decision:
        """Sign the Location; without credentials for that, stream: unsigned it would get a 403."""
        if not self.presigners or not isinstance(decision, RedirectTo):
            return decision
        region = decision.region or ""
        presigner = self.presigners.get((decision.site, region))
        if presigner is None or decision.reason is not Reason.IN_REGION:
            return decision
        url = presigner.location(request.method, decision.location)
        if url is not None:
            return replace(decision, base="", path=url)
        return Stream(
            site=decision.site,
            key=decision.key,
            client=decision.client,
            region=region,
            target=decision.target,
            reason=Reason.UNVERIFIED,
        )
