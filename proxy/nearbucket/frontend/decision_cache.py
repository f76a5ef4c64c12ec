"""The cache of decisions, by client and by object. A reload empties it.

Why a cached decision is the one that the engine would make. A request head is a request line and
field lines. Every rule looks either at the object (path and query, in the request line) or at the
client (the peer and the field lines), and the first rule that prevents a redirect gives the reason
(``SitePolicy.reason``). So, within one site:

- A client that is prevented by a rule before all rules about objects is streamed every object, for
  that reason (all of ``CACHEABLE_REASONS`` but ``PATH``).
- A client that was redirected, or whose object matches no pattern, passes those first rules. So an
  object that matches no pattern for one such client is streamed to all of them, as ``path``.
- A client that was redirected for one request line, and a request line that was redirected for
  another client of the same region, give a redirect together, unless a percentage depends on both
  (``Engine.certain``), as long as what is known of the copy holds (``ObjectEntry.until``), and
  unless the client may have come back because its redirect failed (``ClientEntry.came_back``).

Everything else is decided each time: streams because of the state of a bucket, signed Locations,
and redirects to the CDN, which depend on the query as well. For a client that came before, this is
done without a look at its fields: it has the same address and region as then, and its entry for the
reason holds for the new object, too.

A client or an object gets its entry with its second request; of the first one only a bit is kept.

tests/frontend/test_decision_cache.py compares all this with the engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from nearbucket.event_loop import clear_incrementally
from nearbucket.frontend.cached_decision import ClientEntry, ObjectEntry  # noqa: TC001  # for mypyc
from nearbucket.policy.model import Reason, RedirectTo
from nearbucket.policy.preconditions import VERSION_FIELDS

if TYPE_CHECKING:
    from nearbucket.frontend.cached_decision import CachedDecision
    from nearbucket.frontend.request_parser import RequestHead
    from nearbucket.policy.engine import Engine
    from nearbucket.policy.model import Request, Stream
    from nearbucket.telemetry.log_format import LinePart

MAX_BYTES = 64 << 20
"""Bytes of all entries, roughly; when they are reached, the whole cache is emptied."""

MAX_REQUESTS = 8192
"""Whole requests that are kept, about 4 MiB; they are as many as clients times objects. When there
are more, only these are forgotten."""

_IN_REGION: Final = Reason.IN_REGION  # reading a member of an Enum through its class is slow
_NO_PATTERN = ""  # stands in place of a region: objects that match no pattern
_REGION_KEYS = {
    Reason.CLIENT_UNKNOWN: None, Reason.OUTSIDE_AWS: None, Reason.NO_TARGET: None,
    Reason.PATH: _NO_PATTERN,
}  # fmt: skip
"""Cacheable reasons of streams, each with what stands for the region in the key of its objects."""

CACHEABLE_REASONS = frozenset(_REGION_KEYS)
"""Reasons for streams that hold for every request of a client, or for an object."""

_MARKS = 1 << 20  # bits of a Bloom filter with one hash: one is set for what came once
_MOST_MARKED = 1 << 17  # when so many are set, all are cleared
_ALL_DIFFER = 4096  # requests in a row that are not found by their bytes: then
_LOOKED_FOR = 8  # only every eighth is looked for until one is found
_OVERHEAD = 500  # bytes of Python's objects around one entry
_FIELDS = 500  # bytes that a client's entry keeps of its fields, without their values
_REDIRECT = 500  # bytes that an object's entry keeps of its redirect, without the path
_LONGEST_REQUEST = 1024  # bytes of a whole request; longer ones are not kept
_LONGEST = 2048  # bytes of a request line or of field lines; longer ones are not cached


@dataclass(slots=True)
class KnownClient:
    """A client and its objects: those of ``entry``, and those that match no pattern."""

    objects: dict[bytes, ObjectEntry]
    entry: ClientEntry
    unmatched_objects: dict[bytes, ObjectEntry]
    unmatched_entry: ClientEntry | None = None

    def decision(self, line: bytes, now: float) -> CachedDecision | None:
        """The cached decision for this client and a request line, while it holds."""
        client_entry, object_entry = self.entry, self.objects.get(line)
        if object_entry is None:
            if self.unmatched_entry is None:
                return None
            client_entry, object_entry = self.unmatched_entry, self.unmatched_objects.get(line)
            if object_entry is None:
                return None
        if object_entry.until < now:
            return None
        if client_entry.free_until < now and client_entry.came_back(object_entry, now):
            return None
        return client_entry, object_entry

    def entry_for(self, reason: Reason) -> ClientEntry | None:
        """Its entry for a decision with this reason on a new object, if it has one.

        All of an entry follows from the fields and the reason.
        """
        if self.entry.reason is reason:
            return self.entry
        other = self.unmatched_entry
        return other if other is not None and other.reason is reason else None


class DecisionCache:
    """The cached decisions of one worker."""

    __slots__ = (
        "_bytes", "_clients", "_marked", "_misses", "_objects", "_requests", "_sections", "_seen",
    )  # fmt: skip

    def __init__(self) -> None:
        self._seen = bytearray(_MARKS // 8)  # also of what the cache has lost: it may come back
        self._marked = 0
        self._begin()

    def clear(self) -> None:
        """Empty the cache."""
        clear_incrementally(self._requests, self._sections, self._clients, *self._objects.values())
        self._begin()

    def _begin(self) -> None:
        self._requests: dict[tuple[str | None, bytes], CachedDecision] = {}
        self._sections: dict[tuple[str | None, bytes], KnownClient] = {}
        self._clients: dict[tuple[str | None, tuple[bytes, ...]], KnownClient] = {}
        self._objects: dict[tuple[str, str | None], dict[bytes, ObjectEntry]] = {}
        self._bytes = 0
        self._misses = 0  # of ``get`` since it found a request

    def get(self, peer: str | None, chunk: bytes, now: float) -> CachedDecision | None:
        """Look up a request that came before, or its header section, without parsing it.

        Args:
            peer: The socket's remote address.
            chunk: Bytes as the socket gave them.
            now: Monotonic time.
        """
        misses = self._misses
        if misses > _ALL_DIFFER and misses % _LOOKED_FOR:
            self._misses = misses + 1
            return None
        # One look-up instead of a cut and two more: docs/design.md has the figures.
        cached = self._requests.get((peer, chunk))
        if cached is not None:
            client_entry, object_entry = cached
            if object_entry.until >= now and client_entry.free_until >= now:
                self._misses = 0
                return cached
        return self._of_section(peer, chunk, now)

    def _of_section(self, peer: str | None, chunk: bytes, now: float) -> CachedDecision | None:
        line, _, section = chunk.partition(b"\r\n")
        client = self._sections.get((peer, section))
        found = None if client is None else client.decision(line, now)
        if found is None:
            self._misses += 1
            return None
        self._misses = 0
        if len(chunk) <= _LONGEST_REQUEST:
            if len(self._requests) >= MAX_REQUESTS:
                clear_incrementally(self._requests)
                self._requests = {}
            self._requests[peer, chunk] = found
        return found

    def get_client(self, peer: str | None, head: RequestHead, chunk: bytes) -> KnownClient | None:
        """Look up the client of a request that ``get`` has not found by the lines that matter.

        Args:
            peer: The socket's remote address.
            head: The lines of the request head.
            chunk: The request, as the socket gave it.
        """
        client = self._clients.get((peer, head[1]))
        # not for the seven of eight that ``get`` has not looked for
        if client is not None and (self._misses <= _ALL_DIFFER or self._misses % _LOOKED_FOR == 1):
            self._remember_section(peer, chunk, client)
        return client

    def _remember_section(self, peer: str | None, chunk: bytes, client: KnownClient) -> None:
        section = chunk.partition(b"\r\n")[2]
        known = (peer, section) in self._sections
        if not known and self._came_before((peer, section)) and self._fits(section):
            self._sections[peer, section] = client

    def _came_before(self, key: object) -> bool:
        """Whether this was passed before; at times True for something new (a Bloom filter).

        Most clients and objects come once: only a bit is kept of them, no entry.
        """
        mark = hash(key) % _MARKS
        place, bit = mark >> 3, 1 << (mark & 7)
        if self._seen[place] & bit:
            return True
        if self._marked >= _MOST_MARKED:
            self._seen, self._marked = bytearray(_MARKS // 8), 0
        self._seen[place] |= bit
        self._marked += 1
        return False

    def put(
        self,
        peer: str | None,
        head: RequestHead,
        cached: CachedDecision,
        client: KnownClient | None,
    ) -> None:
        """Cache a decision that holds for other requests as well, if client or object came before.

        Args:
            peer: The socket's remote address.
            head: The lines of the request head.
            cached: The client and the object.
            client: What ``get_client`` found.
        """
        entry, object_entry = cached
        line, fields = head
        line_came = self._came_before(line)
        client_came = client is not None or self._came_before((peer, fields))
        is_new = client is None or client.entry_for(entry.reason) is not entry
        if not line_came and not (client_came and is_new):
            return
        site, reason = entry.site, entry.reason
        kind = entry.region if reason is _IN_REGION else _REGION_KEYS[reason]
        objects = self._objects.get((site, kind))
        if objects is None:
            objects = self._objects[site, kind] = {}
        known = objects.get(line)
        if known is not None:
            if known.until < object_entry.until:
                objects[line] = object_entry
                object_entry.is_cached = True
        elif line_came:
            if self._fits(line, object_entry.log_part, _REDIRECT + 2 * len(line)):
                objects[line] = object_entry
                object_entry.is_cached = True
            else:  # the cache may have been emptied
                objects = self._objects.setdefault((site, kind), {})
        if client is None:
            key = b"".join(fields)
            if client_came and self._fits(key, entry.log_part, _FIELDS + len(key)):
                unmatched = self._objects.setdefault((site, _NO_PATTERN), {})
                self._clients[peer, fields] = KnownClient(objects, entry, unmatched)
        elif client.objects is not objects:
            _join(client, objects, entry)

    def _fits(self, key: bytes, part: LinePart = (), more: int = 0) -> bool:
        """Count the bytes of a new entry, and ``more``; False if it must not be added."""
        if len(key) > _LONGEST:
            return False
        # Twice: a client keeps its last log line as well.
        self._bytes += 2 * len(key) + 2 * sum(map(len, part)) + _OVERHEAD + more
        if self._bytes > MAX_BYTES:
            self.clear()
            return False
        return True


def is_cacheable(
    engine: Engine, request: Request, decision: RedirectTo | Stream, now: float
) -> bool:
    """Whether like requests get the same decision, for a while at least."""
    if isinstance(decision, RedirectTo) and decision.reason is _IN_REGION:
        certain = decision.site in engine.certain and decision.replica.until > now
        return certain and VERSION_FIELDS.isdisjoint(request.headers)
    return decision.reason in CACHEABLE_REASONS and decision.site in engine.streaming


def _join(
    client: KnownClient, objects: dict[bytes, ObjectEntry], client_entry: ClientEntry
) -> None:
    """Add the other kind of decision to a client: for objects that match a pattern, or none."""
    if client_entry.reason is Reason.PATH:
        client.unmatched_entry = client_entry
    else:
        client.objects, client.unmatched_entry, client.entry = objects, client.entry, client_entry
