"""Requests decided before: what a request like them gets, without deciding again.

In: requests and what the engine decided. Out: the same for the next one like it. Refuses to
know a rule, and to outlive the engine: a reload empties the cache.

Why this is the same as deciding. A head is a request line and field lines. Every rule looks
either at what is asked (path and query, in the request line) or at who asks (the peer and the
fields), and the first rule that stands against a redirect names the reason
(``SitePolicy.reason``). So, within one site:

- a client that the first rules stand against, before any looks at the object, is streamed
  everything for that reason (all of ``CACHEABLE_REASONS`` but ``PATH``);
- a client that was redirected, or whose object no pattern chose, passes those first rules; any
  object that no pattern chose for one such client is streamed to all of them, as ``path``;
- a client that was redirected for one line, and a line that was redirected for another client
  of the same region, are redirected together, unless a percentage looks at both
  (``Engine.certain``); as long as what was known of the copy holds (``ObjectEntry.until``), and
  unless the client was sent away for the same a moment ago (``ClientEntry.came_back``).

Anything else is decided each time: what is streamed because of what the buckets hold, signed
Locations, and what a site redirects past its targets, where a query decides as well.

tests/frontend/test_decision_cache.py holds this to the engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nearbucket.event_loop import clear_incrementally
from nearbucket.frontend.cached_decision import CachedDecision, ClientEntry, ObjectEntry
from nearbucket.policy.model import Reason

if TYPE_CHECKING:
    from nearbucket.frontend.request_parser import RequestHead
    from nearbucket.telemetry.log_format import LinePart

MAX_BYTES = 32 << 20
"""About what is kept of clients and objects; when it is reached all is forgotten at once."""

_NO_PATTERN = ""  # which no region is called
_REGION_KEYS = {
    Reason.CLIENT_UNKNOWN: None, Reason.OUTSIDE_AWS: None, Reason.NO_TARGET: None,
    Reason.PATH: _NO_PATTERN,
}  # fmt: skip

CACHEABLE_REASONS = frozenset(_REGION_KEYS)
"""Reasons that others like it are streamed for, too."""

_OVERHEAD = 500  # bytes of Python's objects around one entry
_LONGEST = 2048  # bytes of a head that is worth keeping


@dataclass(slots=True)
class _Client:
    """One client, and the objects for which it has this entry, or that one."""

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
        if client_entry.recent_redirects is not None and client_entry.came_back(object_entry, now):
            return None
        # The same as CachedDecision(...) in a quarter of the time.
        return tuple.__new__(CachedDecision, (client_entry, object_entry))


class DecisionCache:
    """What one worker remembers under one engine."""

    __slots__ = ("_bytes", "_clients", "_objects", "_sections")

    def __init__(self) -> None:
        self._begin()

    def clear(self) -> None:
        """Start from nothing."""
        clear_incrementally(self._sections, self._clients, *self._objects.values())
        self._begin()

    def _begin(self) -> None:
        self._sections: dict[tuple[str | None, bytes], _Client] = {}
        self._clients: dict[tuple[str | None, tuple[bytes, ...]], _Client] = {}
        self._objects: dict[tuple[str, str | None], dict[bytes, ObjectEntry]] = {}
        self._bytes = 0

    def get(self, peer: str | None, chunk: bytes, now: float) -> CachedDecision | None:
        """Look up a request whose header section came before; the chunk need not be parsed.

        Args:
            peer: The socket's remote address.
            chunk: Bytes as the socket gave them.
            now: Monotonic time.
        """
        line, _, section = chunk.partition(b"\r\n")
        client = self._sections.get((peer, section))
        return None if client is None else client.decision(line, now)

    def get_parsed(
        self, peer: str | None, head: RequestHead, chunk: bytes, now: float
    ) -> CachedDecision | None:
        """Look up a request by its request line and the field lines that matter.

        Args:
            peer: The socket's remote address.
            head: The head, split into lines.
            chunk: The same, as the socket gave it.
            now: Monotonic time.
        """
        client = self._clients.get((peer, head.fields))
        if client is None:
            return None
        if head.repeated:
            self._remember_section(peer, chunk, client)
        return client.decision(head.line, now)

    def _remember_section(self, peer: str | None, chunk: bytes, client: _Client) -> None:
        section = chunk.partition(b"\r\n")[2]
        if (peer, section) not in self._sections and self._fits(section):
            self._sections[peer, section] = client

    def put(
        self, peer: str | None, head: RequestHead, entry: ClientEntry, object_entry: ObjectEntry
    ) -> None:
        """Remember what was decided, where others like it get the same.

        Args:
            peer: The socket's remote address.
            head: What asked.
            entry: Who that is.
            object_entry: What it asked for.
        """
        site, reason = entry.site, entry.reason
        kind = entry.region if reason is Reason.IN_REGION else _REGION_KEYS[reason]
        objects = self._objects.setdefault((site, kind), {})
        known = objects.get(head.line)
        if known is not None:
            if known.until < object_entry.until:
                objects[head.line] = object_entry
        elif self._fits(head.line, object_entry.log_part):
            objects[head.line] = object_entry
        else:  # all may have been forgotten, these among it
            objects = self._objects.setdefault((site, kind), {})
        client = self._clients.get((peer, head.fields))
        if client is None:
            if self._fits(b"".join(head.fields), entry.log_part):
                unchosen = self._objects.setdefault((site, _NO_PATTERN), {})
                made = _Client(objects, entry, unchosen)
                self._clients[peer, head.fields] = made
        elif client.objects is not objects:
            _join(client, objects, entry)

    def _fits(self, seen: bytes, part: LinePart = ()) -> bool:
        """Make room for an entry; False for one that is not worth it."""
        if len(seen) > _LONGEST:
            return False
        logged = sum(map(len, part))
        # A client's last line is kept as well.
        self._bytes += 2 * len(seen) + 2 * logged + _OVERHEAD
        if self._bytes > MAX_BYTES:
            self.clear()
            return False
        return True


def _join(client: _Client, objects: dict[bytes, ObjectEntry], client_entry: ClientEntry) -> None:
    """A client met again with another outcome: redirected now, or for once not chosen."""
    if client_entry.reason is Reason.PATH:
        client.unmatched_entry = client_entry
    else:
        client.objects, client.unmatched_entry, client.entry = objects, client.entry, client_entry
