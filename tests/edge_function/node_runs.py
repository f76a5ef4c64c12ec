"""Runs compiled functions in Node, and says what the engine decides about the same requests."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nearbucket.edge_function.address_store import address_pairs
from nearbucket.edge_function.function_source import function_source
from nearbucket.frontend.response_heads import redirect_body, redirect_fields
from nearbucket.policy.engine import Engine
from nearbucket.policy.model import Reason, RedirectTo, Request
from nearbucket.regions.list_guard import CLOUDFRONT
from nearbucket.regions.region_table import build_table, networks_of
from tests.programs import program

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from nearbucket.config.settings import Settings
    from nearbucket.regions.ip_ranges import Ranges

FOLDER = Path(__file__).parent


class Viewer(NamedTuple):
    """A request of a viewer: address, method, target and header fields with lower-case names."""

    ip: str
    method: str = "GET"
    target: str = "/a.tar.gz"
    headers: Mapping[str, str] = {"host": "dl.example"}


class Outcome(NamedTuple):
    """What a viewer gets, or None if the request goes on; and how often the store was read."""

    answer: dict[str, Any] | None
    reads: int


@dataclass(frozen=True)
class EdgeRun:
    """A configuration, a list of prefixes, and requests to a function compiled of them.

    ``raw`` is false for events without ``rawQueryString``, as ``aws cloudfront test-function`` has.
    """

    settings: Settings
    ranges: Ranges
    viewers: Sequence[Viewer]
    raw: bool = True

    @property
    def prefixes(self) -> tuple[Ranges, Sequence[str], Mapping[str, str | None]]:
        """What is used of the list: the arguments of ``build_table`` and ``address_pairs``."""
        regions = self.settings.regions
        return self.ranges, regions.services, regions.overrides

    def decided(self) -> list[dict[str, Any] | None]:
        """What the engine decides: the answer that the proxy would give, or None."""
        table = build_table(*self.prefixes)
        engine = Engine.build(self.settings, table, networks_of(self.ranges, CLOUDFRONT))
        # the viewer is the peer, and no header field names another client
        trust = replace(engine.trust, source="peer", secret_header=None)
        engine = replace(engine, trust=trust)
        reason_header = self.settings.log.reason_header
        return [_answer(engine, viewer, reason_header=reason_header) for viewer in self.viewers]


def _answer(engine: Engine, viewer: Viewer, *, reason_header: bool) -> dict[str, Any] | None:
    fields = {name.encode(): value.encode() for name, value in viewer.headers.items()}
    decision = engine.decide(Request(viewer.method, viewer.target, fields, viewer.ip))
    if not isinstance(decision, RedirectTo) or decision.reason is not Reason.IN_REGION:
        return None  # the function runs in the CDN, and so redirects to none
    headers = dict(redirect_fields(decision, reason_header=reason_header))
    del headers["Server"]  # which CloudFront sets
    body = redirect_body(decision.location).decode() if viewer.method == "GET" else ""
    return {
        "statusCode": decision.status,
        "headers": {name.lower(): {"value": value} for name, value in headers.items()},
        "body": {"encoding": "text", "data": body},
    }


def outcomes(runs: Iterable[EdgeRun]) -> list[list[Outcome]]:
    """What the functions do, in one process of Node."""
    used: list[tuple[Ranges, Sequence[str], Mapping[str, str | None]]] = []
    asked = []
    for run in runs:
        if run.prefixes not in used:
            used.append(run.prefixes)
        source, store = function_source(run.settings), used.index(run.prefixes)
        each = {"source": source, "store": store, "requests": run.viewers, "raw": run.raw}
        asked.append(each)
    stores = [address_pairs(*each) for each in used]
    given = json.dumps({"stores": stores, "runs": asked})
    found = json.loads(node("runtime.mjs", given, "--experimental-vm-modules", "--no-warnings"))
    return [[Outcome(*each) for each in results] for results in found]


def node(script: str, given: str, *options: str) -> str:
    """Output of a script of this folder."""
    command = [program("node"), *options, str(FOLDER / script)]
    done = subprocess.run(
        command, input=given, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
