"""Requests decided before: what a request like them gets, without deciding again.

In: requests and what the engine decided. Out: the same for the next one like it. Refuses to
know a rule, and to outlive the engine: a reload empties the memo.

Why this is the same as deciding. A head is a request line and field lines. Every rule looks
either at what is asked (path and query, in the request line) or at who asks (the peer and the
fields), and the first rule that stands against a redirect names the reason
(``SitePolicy.reason``). So, within one site:

- a client that the first rules stand against, before any looks at the object, is streamed
  everything for that reason (``FOR_ALL``);
- a client that was redirected, or whose object no pattern chose, passes those first rules; any
  object that no pattern chose for one such client is streamed to all of them, as ``path``;
- a client that was redirected for one line, and a line that was redirected for another client,
  are redirected together, unless a percentage looks at both (``Engine.certain``).

Anything else is decided each time. tests/equivalence/test_memo.py holds this to the engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from proxy.decide.model import Reason, Redirect
from proxy.edge.accesslog import PIPE_BUF
from proxy.edge.visits import Repeat

if TYPE_CHECKING:
    from proxy.decide.simple import Head
    from proxy.edge.accesslog import AccessLog
    from proxy.edge.loglines import Part
    from proxy.edge.visits import Visitor, Wanted

MAX_BYTES = 16 << 20
"""About what is kept of clients and objects; when it is reached all is forgotten at once."""

MAX_REPEATED = 8 << 20
"""About what is kept of repeats, of which there are clients times objects: then no more are."""

FOR_ALL = frozenset({Reason.CLIENT_UNKNOWN, Reason.OUTSIDE_AWS, Reason.NO_TARGET})
"""Reasons found before a rule looks at the object."""

_OVERHEAD = 500  # bytes of Python's objects around one entry
_LONGEST = 2048  # bytes of a head that is worth keeping
_MAX_SEEN = 1 << 16


class Known(NamedTuple):
    """A request that needs no deciding."""

    visitor: Visitor
    wanted: Wanted


@dataclass(slots=True)
class _Client:
    """A sender of field lines, and the objects for which it is this visitor, or that one."""

    objects: dict[bytes, Wanted]
    visitor: Visitor
    unchosen: dict[bytes, Wanted]
    passed_by: Visitor | None = None


class Memo:
    """What one worker remembers under one engine.

    Attributes:
        repeats: Peer and chunk to the redirect that they get.
    """

    __slots__ = ("_bytes", "_clients", "_objects", "_repeated", "_seen", "repeats")

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Start from nothing."""
        self.repeats: dict[tuple[str | None, bytes], Repeat] = {}
        self._clients: dict[tuple[str | None, tuple[bytes, ...]], _Client] = {}
        self._objects: dict[tuple[str, Reason | None], dict[bytes, Wanted]] = {}
        self._seen: set[int] = set()
        self._bytes = self._repeated = 0

    def recall(self, peer: str | None, head: Head) -> Known | None:
        """Who asks by these lines and what for, where both are known; else None.

        Args:
            peer: The socket's remote address.
            head: The lines that matter, whatever else stands between them.
        """
        client = self._clients.get((peer, head.fields))
        return None if client is None else _known(client, head.line)

    def repeat(self, peer: str | None, chunk: bytes, known: Known, log: AccessLog) -> None:
        """Remember the very bytes of a redirected GET that come for the second time.

        A CDN writes an id of its own into every request: those never come again.
        """
        visitor, wanted = known
        text, mark = visitor.text, hash((peer, chunk))
        if text is None or wanted.head:
            return
        if mark not in self._seen:  # a collision costs an entry, nothing else
            if len(self._seen) >= _MAX_SEEN:
                self._seen.clear()
            self._seen.add(mark)
        elif self._repeated < MAX_REPEATED and len(chunk) <= _LONGEST:
            self._repeated += 2 * len(chunk) + len(b"".join(visitor.who)) + _OVERHEAD
            self.repeats[peer, chunk] = Repeat.of(visitor, wanted, text, log)

    def tick(self) -> None:
        """Once a second: make room for other repeats, where there is none left."""
        if self._repeated >= MAX_REPEATED:
            self.repeats.clear()
            self._repeated = 0

    def keep(
        self, peer: str | None, head: Head, visitor: Visitor, wanted: Wanted, *, certain: bool
    ) -> None:
        """Remember what was decided.

        Args:
            peer: The socket's remote address.
            head: What asked; its connection stays open.
            visitor: Who that is.
            wanted: What it asked for.
            certain: Whether the site redirects everybody that no rule stands against.
        """
        site, reason = visitor.decision.site, visitor.decision.reason
        if reason in FOR_ALL:
            kind = None
        elif reason is Reason.PATH or (certain and isinstance(visitor.decision, Redirect)):
            kind = reason
        else:
            return
        objects = self._objects.setdefault((site, kind), {})
        if head.line not in objects and self._fits(head.line, wanted.what):
            objects[head.line] = wanted
        client = self._clients.get((peer, head.fields))
        if client is None:
            if self._fits(b"".join(head.fields), visitor.who):
                unchosen = self._objects.setdefault((site, Reason.PATH), {})
                made = _Client(objects, visitor, unchosen)
                self._clients[peer, head.fields] = made
        elif client.objects is not objects:
            _join(client, objects, visitor)

    def _fits(self, seen: bytes, part: Part) -> bool:
        """Make room for an entry; False for one that is not worth it."""
        logged = sum(map(len, part))
        # Any client may meet any object: neither may take half of a line's room.
        if len(seen) > _LONGEST or logged > PIPE_BUF // 2 - 256:
            return False
        self._bytes += 2 * len(seen) + logged + _OVERHEAD
        if self._bytes > MAX_BYTES:
            self.forget()
            return False
        return True


def _known(client: _Client, line: bytes) -> Known | None:
    wanted = client.objects.get(line)
    if wanted is not None:
        return Known(client.visitor, wanted)
    if client.passed_by is None:
        return None
    wanted = client.unchosen.get(line)
    return None if wanted is None else Known(client.passed_by, wanted)


def _join(client: _Client, objects: dict[bytes, Wanted], visitor: Visitor) -> None:
    """A client met again with another outcome: redirected now, or for once not chosen."""
    if visitor.decision.reason is Reason.PATH:
        client.passed_by = visitor
    else:
        client.objects, client.passed_by, client.visitor = objects, client.visitor, visitor
