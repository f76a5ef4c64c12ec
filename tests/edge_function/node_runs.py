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
    from nearbucket.regions.region_table import NetworkSet, RegionTable

    Prefixes = tuple[Ranges, Sequence[str], Mapping[str, str | None]]

FOLDER = Path(__file__).parent
_TABLES: list[tuple[Prefixes, tuple[RegionTable, NetworkSet]]] = []


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
    def prefixes(self) -> Prefixes:
        """What is used of the list: the arguments of ``build_table`` and ``address_pairs``."""
        regions = self.settings.regions
        return self.ranges, regions.services, regions.overrides

    def decided(self) -> list[dict[str, Any] | None]:
        """What the engine decides: the answer that the proxy would give, or None."""
        table, cdn = _looked_up(self.prefixes)
        engine = Engine.build(self.settings, table, cdn)
        # the viewer is the peer, and no header field names another client
        trust = replace(engine.trust, source="peer", secret_header=None)
        engine = replace(engine, trust=trust)
        reason_header = self.settings.log.reason_header
        return [_answer(engine, viewer, reason_header=reason_header) for viewer in self.viewers]


def _looked_up(prefixes: Prefixes) -> tuple[RegionTable, NetworkSet]:
    """The table and CloudFront's networks; made once, as a table takes 0.1 s of CPU time."""
    for known, found in _TABLES:
        if known == prefixes:
            return found
    made = build_table(*prefixes), networks_of(prefixes[0], CLOUDFRONT)
    _TABLES.append((prefixes, made))
    return made


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
    used: list[Prefixes] = []
    asked = []
    for run in runs:
        if run.prefixes not in used:
            used.append(run.prefixes)
        asked.append(_asked(run, used.index(run.prefixes)))
    given = json.dumps({"stores": [address_pairs(*each) for each in used], "runs": asked})
    results = json.loads(node("runtime.mjs", given, "--experimental-vm-modules", "--no-warnings"))
    return [
        [
            Outcome(None if number < 0 else result["answers"][number], reads)
            for number, reads in result["found"]
        ]
        for result in results
    ]


def _asked(run: EdgeRun, store: int) -> dict[str, Any]:
    """A run as ``runtime.mjs`` reads it: requests that are alike but for the address are one."""
    numbers: dict[tuple[object, ...], int] = {}
    requests: list[tuple[str, str, Mapping[str, str]]] = []
    viewers = []
    for ip, method, target, headers in run.viewers:
        alike = method, target, id(headers)
        if alike not in numbers:
            numbers[alike] = len(requests)
            requests.append((method, target, headers))
        viewers.append((ip, numbers[alike]))
    source = function_source(run.settings)
    return {
        "source": source, "store": store, "requests": requests, "viewers": viewers, "raw": run.raw
    }  # fmt: skip


def node(script: str, given: str, *options: str) -> str:
    """Output of a script of this folder."""
    command = [program("node"), *options, str(FOLDER / script)]
    done = subprocess.run(
        command, input=given, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
