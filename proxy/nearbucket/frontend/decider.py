"""Decisions by all that is known now: the engine's, with copies, recent redirects and signed URLs.

The engine (``policy/engine.py``) knows the configuration alone. Here it is given what changes from
one request to the next.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from nearbucket.frontend.returning_clients.came_back import GET, HEAD
from nearbucket.frontend.returning_clients.recent_redirects import (
    NOTHING,
    STUCK,
    RecentRedirects,
    mark_of_asker,
    mark_of_object,
    mark_of_range,
)
from nearbucket.frontend.returning_clients.sibling_ranges import (
    COUNTED_BEFORE,
    NEW,
    NEXT,
    OLDER,
    TOLD,
    WITHOUT_COPY,
    AskedRange,
    RangeOf,
    mark_of_bytes,
)
from nearbucket.frontend.returning_clients.stuck_clients import StuckClient, StuckClients
from nearbucket.policy.byte_range import one_range, range_size
from nearbucket.policy.engine import FixedKnowledge
from nearbucket.policy.model import REPLICA_OK, Reason, RedirectTo, ReplicaStatus, Stream
from nearbucket.policy.preconditions import VERSION_FIELDS
from nearbucket.replicas.origin_versions import LATELY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nearbucket.config.settings import Settings
    from nearbucket.frontend.returning_clients.recent_redirects import SharedTable
    from nearbucket.policy.engine import Engine
    from nearbucket.policy.model import Decision, Request
    from nearbucket.replicas.replica_status import OlderCopy, ReplicaStatuses
    from nearbucket.s3.presigner import Presigner


_TURN = 0.01
"""Seconds between two looks whether a download may begin."""
_MORE_FOR_EACH = 0.0004
"""What each of the waiting requests adds: a look takes 8 µs, so a hundred take 2 % of a core."""
_LONGEST_TURN = 0.05


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
            site.name: RecentRedirects(
                site.redirect.came_back or 0.0,
                self._redirect_table,
                counts_ranges=site.redirect.verify == "match",
            )
            for site in settings.sites
            if site.redirect.came_back is not None or site.redirect.verify == "match"
        }
        self.engine, self.recent_redirects = engine, recent_redirects

    def decide(self, request: Request) -> Decision:
        """Redirect, stream or refuse; for a target that needs it, the Location is signed.

        A range that has to wait for the older downloads of its client is ``UNVERIFIED``.
        """
        decision, download = self._decide(request, time.monotonic())
        if download is NEXT and isinstance(decision, Stream):
            return replace(decision, reason=Reason.UNVERIFIED)
        return decision

    def _decide(self, request: Request, came: float) -> tuple[Decision, RangeOf]:
        decision = self.engine.decide(request, self)
        if b"range" in request.headers and isinstance(decision, Stream):
            return self._with_siblings(request, decision, came)
        return self.signed(request, decision) if self.presigners else decision, NEW

    def replica_status(self, site: str, region: str, key: str) -> ReplicaStatus:
        """What is known of an object's copy; never waits."""
        replicas = self.replicas
        return REPLICA_OK if replicas is None else replicas.status(site, region, key)

    def came_back(self, site: str, region: str, client: str, key: str, request: Request) -> bool:
        """Whether redirects of the client fail; if it came back, the copy is checked again.

        ``region`` is empty for redirects to the CDN.
        """
        redirects = self.recent_redirects.get(site)
        if redirects is None:
            return False
        asker = mark_of_asker(site, client, request, cdn=not region)
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

    async def decide_later(self, request: Request, came: float) -> Decision:
        """Decide when the request has to wait for no older download of its client any more.

        It waits for two seconds at most: then nothing is redirected to the older copy any more.

        Args:
            request: The request.
            came: Monotonic time at which it came.
        """
        while True:
            decision, download = self._decide(request, came)
            if download is not NEXT or not isinstance(decision, Stream):
                return decision
            await self._wait_for_older(request, decision, came)

    async def with_siblings(self, request: Request, decision: Stream, came: float) -> Decision:
        """Redirect a range to the older copy if the rest of its download was redirected there.

        It waits as ``decide_later`` does, and takes the same arguments; ``decision`` is what is
        decided without this rule.
        """
        while True:
            made, download = self._with_siblings(request, decision, came)
            if download is not NEXT:
                return made
            await self._wait_for_older(request, decision, came)

    async def until_told(self, request: Request, decision: Stream) -> None:
        """Hold the answer to a HEAD while ranges of an object that changed go to the older copy.

        A client may ask for the ranges of the size that it is told, and at once.
        """
        if request.method != "HEAD" or self.replicas is None:
            return
        older = self.replicas.older_copy(decision.site, decision.region or "", decision.key)
        if older is not None:
            await asyncio.sleep(older.changed + TOLD - time.monotonic())

    async def _wait_for_older(self, request: Request, decision: Stream, came: float) -> None:
        """Wait for the older downloads of a client."""
        self._waiting += 1
        try:
            while True:
                await asyncio.sleep(min(_LONGEST_TURN, _TURN + self._waiting * _MORE_FOR_EACH))
                if not self._has_to_wait(request, decision, came):
                    return
        finally:
            self._waiting -= 1

    def _has_to_wait(self, request: Request, decision: Stream, came: float) -> bool:
        now, older = time.monotonic(), self._older_copy(request, decision)
        if older is None or now - came > LATELY:
            return False
        asked = _asked_range(request, decision, older.size or 0)
        ranges = self._redirect_table.ranges
        if older.size is None:
            return ranges.is_under_way(asked.mark, now)
        return ranges.download_of(asked, older, now, came) is NEXT

    def _with_siblings(
        self, request: Request, decision: Stream, came: float
    ) -> tuple[Decision, RangeOf]:
        """The decision on a range that would be streamed, and the download that it belongs to."""
        older = self._older_copy(request, decision)
        if older is None:
            return decision, NEW
        if older.size is None:
            return decision, NEXT if self._has_to_wait(request, decision, came) else NEW
        usable = FixedKnowledge(ReplicaStatus(None, older.size, COUNTED_BEFORE))
        to_older = self.signed(request, self.engine.decide(request, usable))
        if not isinstance(to_older, RedirectTo):  # the copy is in shadow, for instance
            return decision, NEW
        asked, now = _asked_range(request, decision, older.size), time.monotonic()
        found = self._redirect_table.ranges.take(asked, older, now, came)
        if found is NEXT and now - came > LATELY:
            return decision, NEW
        return (to_older if found is OLDER else decision), found

    def _older_copy(self, request: Request, decision: Stream) -> OlderCopy | None:
        """The older copy, if the request is for a range that may belong to an older download."""
        replicas, headers = self.replicas, request.headers
        redirects = self.recent_redirects.get(decision.site)
        if (
            decision.reason not in WITHOUT_COPY
            or replicas is None
            or redirects is None
            or not redirects.counts_ranges
            or request.method != "GET"
            # a client that names the version that it knows gets the new one at once
            or not VERSION_FIELDS.isdisjoint(headers)
            or one_range(headers.get(b"range", b"").decode("latin-1")) is None
        ):
            return None
        asker = mark_of_asker(decision.site, decision.client, request)
        if redirects.is_stuck(asker, time.monotonic()):
            return None
        return replicas.older_copy(decision.site, decision.region or "", decision.key)

    def signed(self, request: Request, decision: Decision) -> Decision:
        """Sign the Location; without credentials for that, stream: unsigned it would get a 403."""
        if not isinstance(decision, RedirectTo):
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


def _asked_range(request: Request, decision: Stream, size: int) -> AskedRange:
    """The one range of a request, for an object of this size."""
    part = one_range(request.headers[b"range"].decode("latin-1")) or ""
    mark = mark_of_asker(decision.site, decision.client, request) ^ mark_of_object(decision.key)
    return AskedRange(mark, mark_of_bytes(part), range_size(part, size))
