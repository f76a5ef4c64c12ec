"""The logged requests that a replay sends, and what the policy is expected to do with each.

Only requests that got an object count (200 and 206 for GET or HEAD, and redirects in nearbucket's
own log): the others bring nothing that a redirect could save.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from nearbucket.analysis.reading import formats
from nearbucket.analysis.replay import sized
from nearbucket.policy.byte_range import range_size
from nearbucket.policy.engine import ASSUME_REPLICATED
from nearbucket.policy.model import UNKNOWN, Reason, Refuse, Request, action_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import pyarrow as pa

    from nearbucket.policy.engine import Engine

_METHODS = frozenset({"GET", "HEAD"})
_OK, _PARTIAL = 200, 206


class SentRequest(NamedTuple):
    """A logged request, as it is sent again.

    Attributes:
        client: Address of the client.
        host: Host that it asked for.
        method: GET or HEAD.
        target: Path and query as sent.
        agent: User-Agent; empty without one.
        cookie: Cookie; empty without one.
        range: Range; empty for the whole object.
        size: Bytes of the object, as far as the line shows them; else None.
    """

    client: str
    host: str
    method: str
    target: str
    agent: str
    cookie: str
    range: str
    size: int | None

    @property
    def object(self) -> tuple[str, str]:
        """Host and path of the object."""
        return self.host, self.target.partition("?")[0]

    def bytes_saved(self, size: int | None) -> int | None:
        """Bytes that count as saved if it is redirected; None if the object's size would tell.

        As the proxy counts them: none of a HEAD, nor of the rest of an object from a later byte on,
        with which a client goes on with a download that has been counted.

        Args:
            size: Bytes of the object; None if not known.
        """
        if self.method == "HEAD":
            return 0
        first, dash, last = self.range.removeprefix("bytes=").partition("-")
        if not dash or (first, last) == ("0", ""):
            return size
        if not last:
            return 0
        # the range may end behind the object
        return None if size is None else range_size(self.range, size)


class ExpectedAnswer(NamedTuple):
    """What the policy does with a request.

    Attributes:
        action: redirect, stream or refuse.
        reason: The reason's word.
        site: Name of the site; empty if the request is refused.
        region: The client's AWS region, or ``UNKNOWN``.
    """

    action: str
    reason: str
    site: str = ""
    region: str = UNKNOWN

    @property
    def to_target(self) -> bool:
        """Whether it is a redirect to a target bucket."""
        return self.action == "redirect" and self.reason == Reason.IN_REGION

    @property
    def words(self) -> str:
        """Action and reason."""
        return f"{self.action} {self.reason}"


def requests_of(table: pa.Table) -> Iterator[SentRequest]:
    """The requests of a table of ``analysis/reading/arrow_reader.py`` that are sent."""
    for row in table.to_pylist():
        request = _request(row)
        if request is not None:
            yield request


def _request(row: Mapping[str, Any]) -> SentRequest | None:
    def raw(name: str) -> bytes:
        return row.get(name) or b"-"

    own = raw(formats.OWN) != b"-"
    method, client = formats.text_of(raw("cs_method")), formats.text_of(raw("c_ip"))
    redirected = own and raw("x_nearbucket_action") == b"redirect"
    status = row.get("sc_status")
    if not client or method not in _METHODS or not (redirected or status in {_OK, _PARTIAL}):
        return None
    target = formats.sent_target(raw("cs_uri_stem"), raw("cs_uri_query"), own=own)
    if not target.startswith("/"):  # behind the proxy's URL it could name another host
        return None
    return SentRequest(
        client,
        formats.host_of(raw("x_host_header")) or formats.host_of(raw("cs_host")),
        method,
        target,
        formats.agent_of(raw("cs_user_agent"), own=own),
        formats.text_of(raw("cs_cookie")),
        _range(row, redirected=redirected),
        None if redirected or method == "HEAD" else _object_size(row, own=own),
    )


def _range(row: Mapping[str, Any], *, redirected: bool) -> str:
    """The Range of a request; empty for the whole object, and if the proxy ignores it."""
    start, end = row.get("sc_range_start"), row.get("sc_range_end")
    if start is None and end is None:
        sent = row.get("sc_bytes")
        if sent and not redirected and row.get("sc_status") == _PARTIAL:
            return f"bytes=0-{sent - 1}"  # older logs have no ranges
        return ""
    if start is not None and end is not None and start > end:
        return ""
    return f"bytes={'' if start is None else start}-{'' if end is None else end}"


def _object_size(row: Mapping[str, Any], *, own: bool) -> int | None:
    """Bytes of the object, or of it as far as a line shows it."""
    sent, length = row.get("sc_bytes"), row.get("sc_content_len")
    if row.get("sc_status") != _PARTIAL:
        return sent if length is None else length
    start, end = row.get("sc_range_start"), row.get("sc_range_end")
    if own:  # its range is what the client asked for, which may end behind the object
        return None if sent is None else (start or 0) + sent
    return sent if start is None or end is None else end + 1


def sizes_of(requests: Iterable[SentRequest]) -> dict[tuple[str, str], int]:
    """Bytes of objects by host and path, as far as requests show them."""
    sizes: dict[tuple[str, str], int] = {}
    for request in requests:
        if request.size is not None and request.size > sizes.get(request.object, -1):
            sizes[request.object] = request.size
    return sizes


@dataclass(frozen=True, slots=True)
class Expectation:
    """Decides logged requests by a configuration.

    Attributes:
        engine: The engine of the configuration.
        floors: ``redirect.min_size`` by the name of the site.
        sizes: Bytes of objects by host and path, as far as the log shows them.
    """

    engine: Engine
    floors: Mapping[str, int]
    sizes: Mapping[tuple[str, str], int]

    def bytes_saved(self, request: SentRequest) -> int | None:
        """Bytes that count as saved if a request is redirected; None if the logs do not tell."""
        return request.bytes_saved(self.sizes.get(request.object))

    def answer(self, request: SentRequest) -> ExpectedAnswer:
        """What the policy does with a request; objects of unknown size are not small."""
        headers = {b"host": request.host.encode("utf-8", "replace")}
        for name, value in ((b"user-agent", request.agent), (b"cookie", request.cookie)):
            if value:
                headers[name] = value.encode("utf-8", "replace")
        asked = Request(request.method, request.target, headers, request.client)
        size = self.sizes.get(request.object)
        decision = self.engine.decide(asked, sized(ASSUME_REPLICATED, size, self.floors))
        if isinstance(decision, Refuse):
            return ExpectedAnswer("refuse", decision.reason.value)
        return ExpectedAnswer(
            action_of(decision).value,
            decision.reason.value,
            decision.site,
            decision.region or UNKNOWN,
        )
