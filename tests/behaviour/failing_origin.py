"""An origin that fails, the failover buckets behind it, and what these servers say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.build import FORWARDED, OUTSIDE, open_bucket, settings
from tests.scripteds3 import ETAG, Say, ScriptedS3, error, reply
from tests.serving import client_at

if TYPE_CHECKING:
    from tests.serving import Served

FROM = client_at(OUTSIDE)
BODY = bytes(range(256)) * 1024

SLOW_DOWN = Say(error("503 Slow Down", "SlowDown"))


def entry(server: ScriptedS3 | str, **more: Any) -> dict[str, Any]:
    """A bucket at an endpoint."""
    endpoint = server if isinstance(server, str) else server.endpoint
    return open_bucket(endpoint, **more)


def site(first: dict[str, Any], *further: dict[str, Any]) -> Any:
    """A configuration with an origin and failover buckets."""
    return settings(
        site={"origin": first, "failover": list(further)},
        client_address=FORWARDED,
    )


def whole(body: bytes = BODY, etag: str = ETAG) -> Say:
    """A response with an object."""
    return Say(reply("200 OK", body, f"ETag: {etag}"))


def begun(sent: int, body: bytes = BODY, etag: str = ETAG) -> Say:
    """A response that breaks off after ``sent`` bytes."""
    return Say(reply("200 OK", body[:sent], f"ETag: {etag}", length=len(body)), then="close")


def failovers(served: Served) -> float:
    """Requests that a failover bucket has answered."""
    return served.count("nearbucket_origin_failovers_total", "*")
