"""Cached parts of a response, from which answers, metrics and log lines are built.

What is the same for all requests of a client is in a ``ClientEntry``, what is the same for all
requests for an object in an ``ObjectEntry``. How long they are kept is up to ``decision_cache.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

from nearbucket.frontend.response_heads import RedirectText, stamp_of
from nearbucket.frontend.returning_clients.came_back import GET, HEAD
from nearbucket.frontend.returning_clients.recent_redirects import (
    STREAMED_INSTEAD,
    mark_of_asker,
    mark_of_object,
    mark_of_range,
)
from nearbucket.frontend.returning_clients.sibling_ranges import mark_of_bytes
from nearbucket.policy.byte_range import one_range, range_size
from nearbucket.policy.client_address import client_network
from nearbucket.policy.model import UNKNOWN, Action, Reason, RedirectTo, Refuse, Stream, action_of
from nearbucket.policy.preconditions import gets_body
from nearbucket.telemetry.log_format import ClientFields, fitted_client_part, fitted_object_part
from nearbucket.telemetry.metrics import DecisionCounters  # noqa: TC001  # for mypyc

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nearbucket.frontend.returning_clients.recent_redirects import RecentRedirects
    from nearbucket.policy.model import Decision, Request
    from nearbucket.telemetry.log_format import LineEnds, LinePart, LogFormat
    from nearbucket.telemetry.metrics import Counters

UNRELAYED = frozenset({
    b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since", b"if-range",
    b"origin",
})  # fmt: skip
"""Header fields that change S3's answer in ways that only the aiohttp lane handles."""


_DEPENDS_ON_CLIENT = STREAMED_INSTEAD | {Reason.IN_REGION, Reason.CAME_BACK, Reason.TARGET_DOWN}
"""Reasons of answers that depend on the client's recent redirects, or change what is known of them.

All redirects do as well. Streams for other reasons, such as those to clients outside of AWS, tell
nothing about earlier redirects: their clients are never looked up in the table.
"""


@dataclass(slots=True)
class ObjectEntry:
    """Cache entry of one request line.

    Attributes:
        key: Object key, decoded; empty in a refusal.
        path: What a redirect appends to the target's URL: the key, encoded once, or a signed URL.
        head: Whether the method is HEAD.
        log_part: Method and path as a part of a log line.
        mark: Hash of the object's key, for recent redirects.
        size: Bytes of the object's answer; 0 if not known, if S3 might answer without the object,
            and for HEAD.
        until: Monotonic time until which it may be redirected without a new decision.
        last_redirect: Its last answer from ``redirect``: text, date, bytes, and bytes of the body.
        is_cached: Whether it is in the cache, because it came before.
    """

    key: str
    path: bytes = field(repr=False)  # may be a signed URL
    head: bool
    log_part: LinePart
    mark: int
    size: int
    until: float
    last_redirect: tuple[RedirectText | None, bytes, bytes, int] = field(
        default=(None, b"", b"", 0), repr=False
    )
    is_cached: bool = False

    @property
    def method(self) -> int:
        """The method, for recent redirects."""
        return HEAD if self.head else GET

    def redirect(self, text: RedirectText, date: bytes) -> tuple[bytes, int]:
        """The answer to a GET, and the bytes of its body.

        Only for another text or date than those of ``last_redirect``.
        """
        of_text, of_date, answer, sent = self.last_redirect
        if of_text is text:
            answer = answer.replace(of_date, date)  # URLs have no spaces, as a date has
        else:
            answer, sent = text.fill(self.path, date), text.size + len(self.path)
        self.last_redirect = text, date, answer, sent
        return answer, sent


@dataclass(slots=True)
class ClientEntry:
    """Cache entry of one client: its address and the field lines that matter.

    Attributes:
        client: The client's address, or None.
        headers: Its fields, by lower-case name.
        site: Name of the site; empty in a refusal.
        region: The client's region, or None.
        action: Redirect, stream or refuse.
        reason: The reason of the decision.
        text: The bytes of its redirects; None if it is not redirected.
        network: Its network, if the number of its streams is limited; otherwise empty.
        range: Its Range in canonical form.
        range_mark: Hash of ``range``; 0 without one, or if answers to ranges are not counted.
        streamable: Whether the streaming lane may answer it.
        keep_alive: Whether its connection stays open.
        log_part: Its fields as a part of a log line.
        own_fields: Our own header lines in the heads of objects streamed to it.
        asker: Hash of site, client address and User-Agent, for recent redirects.
        part: Hash of its Range field as sent; 0 without one.
        recent_redirects: Recent redirects of the site; None if nothing depends on them.
        free_until: Monotonic time until which it is known to be a crowd, so that its requests are
            redirected without a look at recent redirects; always, if ``came_back`` is off, or it is
            streamed for this reason whatever became of its redirects.
        counters: Where its answers are counted.
        last_line: Its last answer with an object of the cache: object, status, bytes sent, and the
            log line made of them.
    """

    client: str | None
    headers: dict[bytes, bytes] = field(repr=False)
    site: str
    region: str | None
    action: Action
    reason: Reason
    text: RedirectText | None
    network: bytes
    range: str | None
    range_mark: int
    streamable: bool
    keep_alive: bool
    log_part: LinePart
    own_fields: bytes
    asker: int
    part: int
    recent_redirects: RecentRedirects | None
    free_until: float
    counters: DecisionCounters
    last_line: tuple[ObjectEntry, int, int, LineEnds] | None = None

    def came_back(self, entry: ObjectEntry, now: float) -> bool:
        """Whether the client may have come back because its redirect failed."""
        redirects = self.recent_redirects
        return redirects is not None and bool(
            redirects.verdict(self.asker, entry.mark ^ self.part, now, entry.method)
        )

    def bytes_asked(self, entry: ObjectEntry) -> int:
        """Bytes of the object that are asked for, where its size is known."""
        return entry.size if self.range is None else range_size(self.range, entry.size)

    def bytes_saved(self, entry: ObjectEntry) -> int:
        """Those that a redirect keeps off this host, as far as none can be counted twice.

        The rest of an object from a later byte on is what a client asks for that goes on with a
        download: the redirect before counts with all of its bytes.
        """
        part = self.range
        if part is not None and part.endswith("-") and part != "bytes=0-":
            return 0
        return self.bytes_asked(entry)


CachedDecision = tuple[ClientEntry, ObjectEntry]
"""The two entries that a request needs for its answer."""


class EntryBuilder:
    """Makes cache entries under one configuration."""

    __slots__ = (
        "_counters", "_form", "_host_of", "_limits_clients", "_reason_header",
        "_recent_redirects", "_texts",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913  # one worker, one call
        self,
        counters: Counters,
        form: LogFormat | None,
        recent_redirects: Mapping[str, RecentRedirects],
        host_of: Callable[[Request], str | None],
        *,
        reason_header: bool,
        limits_clients: bool,
    ) -> None:
        """Prepare.

        Args:
            counters: Where answers are counted.
            form: Format of the access log; None when it is off.
            recent_redirects: Those of each site, by its name.
            host_of: The host of the configuration that a request names, or None.
            reason_header: Whether answers have ``X-Nearbucket``.
            limits_clients: Whether the streams of a network of clients are limited.
        """
        self._limits_clients = limits_clients
        self._counters = counters
        self._host_of = host_of
        self._form = form
        self._recent_redirects = recent_redirects
        self._reason_header = reason_header
        self._texts: dict[tuple[object, ...], RedirectText] = {}

    def build(
        self,
        request: Request,
        decision: Decision,
        known: ClientEntry | None = None,
        *,
        keep_alive: bool = False,
        protocol: str = "HTTP/1.1",
    ) -> CachedDecision:
        """The entries of one request, which hold for others like it.

        Args:
            request: The request.
            decision: The engine's decision on it.
            known: The client's entry, if there is one for the reason of the decision.
            keep_alive: Whether its connection stays open.
            protocol: HTTP version of the request.
        """
        client = known or self._client_entry(request, decision, keep_alive, protocol)
        return client, self._object_entry(request, decision)

    def _object_entry(self, request: Request, decision: Decision) -> ObjectEntry:
        key, mark, path, until = "", 0, b"", inf
        if not isinstance(decision, Refuse):
            key = decision.key
            if decision.site in self._recent_redirects:
                mark = mark_of_object(key)
        if isinstance(decision, RedirectTo):
            path, until = decision.path.encode("ascii"), decision.replica.until
        form = self._form
        part: LinePart = ()
        if form is not None:
            part = fitted_object_part(form, request.method, request.target.partition("?")[0])
        is_head, size = request.method == "HEAD", _size_of(request, decision)
        # positional: keyword arguments take twice as long (docs/design.md has the figures)
        return ObjectEntry(key, path, is_head, part, mark, size, until)

    def _client_entry(
        self,
        request: Request,
        decision: Decision,
        keep_alive: bool,  # noqa: FBT001  # as above
        protocol: str,
    ) -> ClientEntry:
        headers, reason, form = request.headers, decision.reason, self._form
        site, region, client = "", None, None
        if not isinstance(decision, Refuse):
            site, region, client = decision.site, decision.region, decision.client
        redirect = decision if isinstance(decision, RedirectTo) else None
        redirects = self._recent_redirects.get(site)
        asker = part = 0
        if redirects is not None and not isinstance(decision, Refuse):
            asker = mark_of_asker(site, client, request, cdn=decision.is_for_cdn)
            part = mark_of_range(request)
        counts_ranges = redirects is not None and redirects.counts_ranges
        if redirect is None and reason not in _DEPENDS_ON_CLIENT:
            redirects = None
        own_fields = network = b""
        if isinstance(decision, Stream):
            own_fields = stamp_of(decision, reason_header=self._reason_header)
            network = client_network(client) if self._limits_clients else b""
        asked = one_range(headers[b"range"].decode("latin-1")) if b"range" in headers else None
        log_part: LinePart = ()
        if form is not None:
            log_part = fitted_client_part(form, _client_fields(request, decision, protocol))
        return ClientEntry(
            client,
            headers,
            site,
            region,
            action_of(decision),
            reason,
            None if redirect is None else self._text(redirect, keep_alive),
            network,
            asked,
            mark_of_bytes(asked) if asked and counts_ranges else 0,
            UNRELAYED.isdisjoint(headers),
            keep_alive,
            log_part,
            own_fields,
            asker,
            part,
            redirects,
            0.0 if redirect and redirects is not None and redirects.window else inf,
            self._counters.decision_counters(decision, self._host_of(request)),
        )

    def _text(self, to: RedirectTo, keep_alive: bool) -> RedirectText:  # noqa: FBT001  # as above
        key = to.site, to.base, to.browser, to.region, to.reason, keep_alive
        found = self._texts.get(key)
        if found is None:
            found = self._texts[key] = RedirectText.of(
                to, reason_header=self._reason_header, keep_alive=keep_alive
            )
        return found


def _size_of(request: Request, decision: Decision) -> int:
    if isinstance(decision, Refuse) or request.method == "HEAD":
        return 0
    if isinstance(decision, Stream):
        return decision.size or 0
    copy = decision.replica
    return (copy.size or 0) if gets_body(request.headers, copy.etags) else 0


def _client_fields(request: Request, decision: Decision, protocol: str) -> ClientFields:
    headers = request.headers
    client = region = site = None
    if not isinstance(decision, Refuse):
        client, region, site = decision.client, decision.region, decision.site
    referer = headers.get(b"referer")
    return ClientFields(
        client,
        request.peer,
        _text(headers.get(b"host")),
        region or UNKNOWN,
        site,
        _text(headers.get(b"user-agent")),
        # Queries are never logged: they may be signatures.
        _text(referer and referer.partition(b"?")[0]) or None,
        _text(headers.get(b"range")),
        protocol,
    )


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "replace")
