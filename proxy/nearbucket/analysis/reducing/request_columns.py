"""What the rows of a log mean: columns of a table of ``analysis/reading/arrow_reader.py``, decoded.

Each distinct value is decoded once, not each row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from nearbucket.analysis.reading import formats
from nearbucket.analysis.reading.formats import BOUNDS
from nearbucket.analysis.reading.sources import ALWAYS
from nearbucket.analysis.reducing.coded_columns import (
    Coded,
    Texts,
    array_of,
    coded,
    combined,
    constant,
    dictionary_of,
    ids_of,
    named_column,
    texts_of,
)
from nearbucket.analysis.reducing.request_flags import ANY_SITE, request_flags
from nearbucket.analysis.reducing.request_times import seconds_of, within

if TYPE_CHECKING:
    from nearbucket.analysis.reading.sources import Period
    from nearbucket.analysis.reducing.request_flags import Sites

NO_TIME, OTHER_TIME, OTHER_HOST = "without a time", "outside the period", "of other hosts"
REPEATED = "repeated"
"""Reasons for requests that do not count."""

NO_CLIENT = "-"
"""In place of an address that the log does not have."""
_AMAZON = (b"16509", b"14618")
"""Amazon's autonomous systems, AMAZON-02 and AMAZON-AES."""
_BROKEN_PERCENT = 95
"""A response with fewer bytes than this part of its content length broke off."""
_OK, _PARTIAL = 200, 206
_LONGEST = 1 << 30  # without an end, Arrow 26 fails
_DAY = 86400


NewIds = Callable[[pa.Array], pa.Array]
"""A function that tells which ids (uint64) are seen for the first time."""


@dataclass(frozen=True, slots=True)
class CountingRules:
    """Which requests count, and what of them is a setting. Picklable.

    Attributes:
        period: Which requests count.
        hosts: Whose requests count, in lower case; empty for all.
        sites: By what requests to each host are known as never redirected.
    """

    period: Period = ALWAYS
    hosts: tuple[str, ...] = ()
    sites: Sites = ANY_SITE


EVERY_REQUEST = CountingRules()
"""All requests, by the settings of a site without any."""


@dataclass(frozen=True, slots=True)
class RequestColumns:
    """The requests that count.

    Attributes:
        left_out: Number of those that do not, by the reason.
        bounds: Unix times of the first and the last request of the period, to any host; None
            without one.
        seconds: Unix time, int64.
        sent: Bytes of the response.
        client: Address; ``NO_CLIENT`` for none.
        agent: User-Agent; ``-`` for none.
        host: The host that the client asked for.
        key: Path as sent (``formats.sent_key``).
        amazon: Whether the ASN is Amazon's.
        context: Day since 1970, edge, method, status, flags, and ``amazon``.
        context_ids: Id of each value of ``context``.
        result: Result type and status, such as ``Hit 200``.
        download: Whether it is a whole 200 for a GET.
        piece: Whether it is a whole 206 for a GET.
        aborted: Whether it is a 200 or 206 for a GET that broke off.
        length: Content length of a 200 for a GET, if the log has it.
        range_end: End of the range of a 206 for a GET + 1; bytes of a download without a length.
        redirected: Whether nearbucket redirected it to a target.
        came_back: Whether nearbucket's reason is ``came-back``.
    """

    left_out: dict[str, int]
    bounds: tuple[int | None, int | None]
    seconds: pa.Array
    sent: pa.Array
    client: Texts
    agent: Texts
    host: Texts
    key: Texts
    amazon: Coded
    context: Coded
    context_ids: pa.Array
    result: Coded
    download: pa.Array
    piece: pa.Array
    aborted: pa.Array
    length: pa.Array
    range_end: pa.Array
    redirected: pa.Array
    came_back: pa.Array


def request_columns(
    table: pa.Table, rules: CountingRules, ids: NewIds | None = None
) -> RequestColumns:
    """The requests of a table.

    Args:
        table: The table.
        rules: Which of them count.
        ids: Tells for request ids which are new; None if requests are not told by their ids.
    """
    left_out: dict[str, int] = {}

    def keep(table: pa.Table, kept: pa.Array, reason: str) -> pa.Table:
        lost = len(kept) - (pc.sum(kept).as_py() or 0)
        if lost:
            left_out[reason] = lost
        return table.filter(kept) if lost else table

    table = table.append_column("seconds", seconds_of(table))
    table = keep(table, array_of(pc.is_valid(table["seconds"])), NO_TIME)
    if rules.period.since or rules.period.until:
        table = keep(table, within(table["seconds"], rules.period), OTHER_TIME)
    times = pc.min_max(table["seconds"]).as_py()
    if rules.hosts:
        wanted = _host(table).picked(rules.hosts.__contains__, pa.bool_())
        table = keep(table, wanted, OTHER_HOST)
    if ids is not None and "x_edge_request_id" in table.column_names:
        table = keep(table, _is_new(table["x_edge_request_id"], ids), REPEATED)
    return _decoded(table, rules, left_out, (times["min"], times["max"]))


def _is_new(column: pa.ChunkedArray, ids: NewIds) -> pa.Array:
    """Whether a request is new; one without an id is."""
    codes, values = dictionary_of(column)
    nameless = pc.is_in(values, pa.array([b"-", b""], pa.binary()))
    rows = pc.take(ids_of(_decoded_texts(values)), codes)
    return pc.or_(ids(rows), pc.take(nameless, codes))


def _decoded(
    table: pa.Table,
    rules: CountingRules,
    left_out: dict[str, int],
    bounds: tuple[int | None, int | None],
) -> RequestColumns:
    reason = named_column(table, formats.OWN, formats.text_of, "")
    own = any(reason.values)
    seconds = array_of(table["seconds"])
    sent = pc.fill_null(_number(table, "sc_bytes"), 0)
    agent = named_column(table, "cs_user_agent", partial(_agent, own=own), "-")
    method = named_column(table, "cs_method", formats.text_of, "GET")
    # as they are, they are codes
    status = Coded(pc.fill_null(_number(table, "sc_status"), 0), range(BOUNDS["sc_status"]))
    result = named_column(table, "x_edge_result_type", formats.text_of, "")
    amazon = named_column(table, "asn", _AMAZON.__contains__, missing=False)
    action = named_column(table, "x_nearbucket_action", formats.text_of, "")
    host = _host(table)
    flags = request_flags(table, host, agent, reason, rules.sites)
    kinds = _kinds([method, status, flags, amazon, result, reason, action])
    edge = named_column(table, "x_edge_location", formats.text_of, "")
    context = combined([_days(seconds), edge, kinds.mapped(lambda kind: kind[:4])])
    context = Coded(context.codes, [(day, edge, *kind) for day, edge, kind in context.values])
    length = _number(table, "sc_content_len")
    ok = kinds.picked(lambda kind: kind[:2] == ("GET", _OK), pa.bool_())
    partial_ = kinds.picked(lambda kind: kind[:2] == ("GET", _PARTIAL), pa.bool_())
    broken = _broken(kinds, sent, length)
    client, agent_texts, hosts, key, contexts = texts_of(
        [
            _client(table), _texts(agent), _texts(host), _key(table, own=own),
            _texts(Coded(context.codes, [repr(value) for value in context.values])),
        ]
    )  # fmt: skip
    download = pc.and_not(ok, broken)
    return RequestColumns(
        left_out=left_out,
        bounds=bounds,
        seconds=seconds,
        sent=sent,
        client=client,
        agent=agent_texts,
        host=hosts,
        key=key,
        amazon=amazon,
        context=context,
        context_ids=contexts.ids,
        result=kinds.mapped(lambda kind: f"{kind.result or '-'} {kind.status:03}"),
        download=download,
        piece=pc.and_not(partial_, broken),
        aborted=pc.and_(pc.or_(ok, partial_), broken),
        length=pc.if_else(ok, sent if own else length, None),
        range_end=pc.coalesce(
            _range_end(table, partial_, sent if own else None),
            pc.if_else(pc.and_(download, pc.is_null(length)), sent, None),
        ),
        redirected=kinds.picked(
            lambda kind: (kind.action, kind.reason) == ("redirect", "in-region"), pa.bool_()
        ),
        came_back=kinds.picked(lambda kind: kind.reason == "came-back", pa.bool_()),
    )


class _Kind(NamedTuple):
    """What requests have in common: few different combinations, so all else is asked of them."""

    method: str
    status: int
    flags: int
    amazon: bool
    result: str
    reason: str
    action: str


def _kinds(columns: list[Coded]) -> Coded:
    found = combined(columns)
    return Coded(found.codes, [_Kind(*values) for values in found.values])


def _days(seconds: pa.Array) -> Coded:
    """Days since 1970, as codes from the first one on."""
    days = pc.divide(seconds, _DAY)
    bounds = pc.min_max(days).as_py()
    first, last = bounds["min"] or 0, bounds["max"] or 0
    return Coded(pc.subtract(days, first), range(first, last + 1))


def _number(table: pa.Table, name: str) -> pa.Array:
    if name in table.column_names:
        return array_of(table[name])
    return pa.nulls(len(table), pa.int64())


_CodesAndTexts = tuple[pa.Array, pa.Array]


def _texts(column: Coded) -> _CodesAndTexts:
    return column.codes, pa.array(column.values, pa.string())


def _client(table: pa.Table) -> _CodesAndTexts:
    if "c_ip" not in table.column_names:
        return _texts(constant(NO_CLIENT, len(table)))
    codes, raw = dictionary_of(table["c_ip"])
    return codes, _decoded_texts(raw)


def _key(table: pa.Table, *, own: bool) -> _CodesAndTexts:
    """The keys; most need no look at each."""
    codes, raw = dictionary_of(table["cs_uri_stem"])
    plain = pc.match_substring_regex(raw, formats.PLAIN_PATH)
    texts = _decoded_texts(pc.binary_slice(raw, 1, _LONGEST))
    odd = pc.invert(plain)
    keys = [formats.sent_key(each, own=own) for each in raw.filter(odd).to_pylist()]
    return codes, pc.replace_with_mask(texts, odd, pa.array(keys, pa.string()))


def _decoded_texts(raw: pa.Array) -> pa.Array:
    try:
        return raw.cast(pa.string())
    except pa.ArrowInvalid:  # not UTF-8
        texts = [each.decode("utf-8", "replace") for each in raw.to_pylist()]
        return pa.array(texts, pa.string())


def _agent(raw: bytes, *, own: bool) -> str:
    return formats.agent_of(raw, own=own) or "-"


def _host(table: pa.Table) -> Coded:
    """The host that the client asked for; where the log has none, CloudFront's own name."""
    viewer = named_column(table, "x_host_header", formats.host_of, "")
    if "" not in viewer.values:
        return viewer
    pair = combined([viewer, named_column(table, "cs_host", formats.host_of, "")])
    hosts = pa.array([asked or own for asked, own in pair.values], pa.string())
    return coded(pa.chunked_array([pc.take(hosts, pair.codes)]))


def _broken(kinds: Coded, sent: pa.Array, length: pa.Array) -> pa.Array:
    short = pc.less(pc.multiply(sent, 100), pc.multiply(length, _BROKEN_PERCENT))
    error = kinds.picked(lambda kind: kind.result == "Error", pa.bool_())
    return pc.or_(error, pc.fill_null(short, False))  # noqa: FBT003


def _range_end(table: pa.Table, partial_: pa.Array, sent: pa.Array | None) -> pa.Array:
    """A range without a start is of the last bytes, so its end says nothing of the size.

    That in nearbucket's own log is what the client asked for, and may end behind the object; its
    bytes, ``sent``, are those of the object.
    """
    start = _number(table, "sc_range_start")
    end = pc.add(_number(table, "sc_range_end"), 1) if sent is None else pc.add(start, sent)
    return pc.if_else(pc.and_(partial_, pc.is_valid(start)), end, None)
