"""The last answers, read from lines of the access log.

Lines are made for the log anyway, so that to keep the last ones costs nothing a request.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from urllib.parse import unquote

from nearbucket.policy.model import UNKNOWN
from nearbucket.telemetry.log_format import INCOMPLETE, W3C_FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterable

SHOWN = 20

_COLUMNS = W3C_FIELDS.split()


class RecentAnswer(NamedTuple):
    """One answer. All text but time, action and reason may come from the client.

    Attributes:
        time: End of the answer, as in the log (ISO 8601, UTC).
        client: The client's address, or that of the socket's peer.
        region: The client's region, or UNKNOWN.
        host: Host field.
        method: Method.
        path: Path, without the query.
        status: Status; 0 if the client left before any.
        size: Body bytes.
        seconds: Duration.
        action: What the client got.
        reason: Why.
        user_agent: User-Agent.
        complete: Whether the whole answer was sent.
    """

    time: str
    client: str
    region: str
    host: str
    method: str
    path: str
    status: int
    size: int
    seconds: float
    action: str
    reason: str
    user_agent: str
    complete: bool

    @classmethod
    def of(cls, line: bytes) -> Self:
        """The answer of a line of either format.

        Raises:
            ValueError: It is not a line of the log.
        """
        fields = json.loads(line) if line.startswith(b"{") else _of_w3c(line)
        names = ("host", "method", "path", "user_agent")
        return cls(
            time=fields["time"],
            client=fields.get("client") or fields.get("peer") or "",
            region=fields.get("region") or UNKNOWN,
            status=int(fields["status"]),
            size=int(fields["bytes"]),
            seconds=float(fields["seconds"]),
            action=fields["action"],
            reason=fields["reason"],
            complete=fields.get("complete", True),
            **{name: fields.get(name) or "" for name in names},
        )


def latest(lines: Iterable[bytes]) -> tuple[RecentAnswer, ...]:
    """The last answers of all processes, the last one first."""
    answers = sorted(map(RecentAnswer.of, lines), key=lambda each: each.time, reverse=True)
    return tuple(answers[:SHOWN])


def _of_w3c(line: bytes) -> dict[str, Any]:
    values = line.decode("ascii").rstrip("\n").split("\t")
    named = dict(zip(_COLUMNS, values, strict=True))
    told = {name: None if value == "-" else unquote(value) for name, value in named.items()}
    return {
        "time": f"{told['date']}T{told['time']}+00:00",
        "client": told["c-ip"],
        "region": told["x-nearbucket-region"],
        "host": told["x-host-header"],
        "method": told["cs-method"],
        "path": told["cs-uri-stem"],
        "status": told["sc-status"],
        "bytes": told["sc-bytes"],
        "seconds": told["time-taken"],
        "action": told["x-nearbucket-action"],
        "reason": told["x-nearbucket-reason"],
        "user_agent": told["cs(User-Agent)"],
        "complete": told["x-edge-result-type"] != INCOMPLETE.decode(),
    }
