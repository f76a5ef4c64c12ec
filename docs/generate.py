"""Writes the generated parts of the documentation, two JSON Schemas, and the manual page.

The schemas are those of the configuration (beside its example) and of a report (``analyze``). The
manual page is written whole.

The sources are ``Settings``, ``METRICS``, ``costs`` and the package's enums. Each block of a
page between ``<!-- generated: NAME -->`` and ``<!-- end -->`` is made anew; the rest is written by
hand. A block that is missing or that nothing generates, a reason without a section of advice, and a
label, cause or result without a text here are errors.

``python docs/generate.py`` writes; ``--check`` writes nothing, names stale pages and exits with 1.
"""  # noqa: INP001  # a script, not a package

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.append(str(Path(__file__).parent.parent))  # for bench

from costs import flat_rows, rows, rows_per_tb
from man_page import man_page
from pydantic import TypeAdapter

from bench import capacity
from nearbucket.analysis.report.json_report import report_schema
from nearbucket.config.json_schema.schema import json_schema
from nearbucket.config.value_types import Duration, Rate, Size
from nearbucket.policy.model import Action, Reason
from nearbucket.regions.list_guard import RefreshResult
from nearbucket.telemetry.metric_definitions import METRICS
from nearbucket.telemetry.metrics import (
    CHECKS,
    LOGS,
    OTHER_AWS,
    OTHER_HOST,
    OUTSIDE,
    SECONDS,
    STREAM_ENDS,
    HandoffReason,
    RestartCause,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

DOCS = Path(__file__).parent
SCHEMA = DOCS.parent / "config" / "nearbucket.schema.json"
REPORT_SCHEMA = DOCS / "analyze-schema.json"
MAN_PAGE = DOCS / "nearbucket.1"
_BLOCK = re.compile(r"(<!-- generated: (.+?) -->\n).*?(<!-- end -->)([^<#]*)", re.DOTALL)

Keys = tuple[str, ...]
Schema = dict[str, Any]

CAUSES: Mapping[str, str] = {
    HandoffReason.STREAM: (
        "the decision is to stream, and the streaming lane does not answer: a HEAD, a condition, "
        "an Origin header, an argument of `origin.query`, a copy that is not checked yet, or "
        "anything but a plain 200 or 206 of S3"
    ),
    HandoffReason.REFUSE: "the decision is to refuse",
    HandoffReason.PARTIAL: "it does not hold a whole request head",
    HandoffReason.PIPELINED: "something follows the request head",
    HandoffReason.BODY: "the request announces a body",
    HandoffReason.UNPARSABLE: (
        "a header line is not a name, a colon and printable ASCII; aiohttp decides whether to "
        "accept it"
    ),
    HandoffReason.UNUSUAL: (
        "it is not plain: another method, HTTP/1.0, an absolute URL, repeated fields, Expect, "
        "Upgrade, a head of more than 8,190 bytes"
    ),
}

RESULTS: Mapping[str, str] = {
    RefreshResult.UPDATED: "a new list is in use",
    RefreshResult.UNCHANGED: "the source has nothing newer",
    RefreshResult.FAILED: "the source gave no document",
    RefreshResult.INVALID: "the document is not a list of prefixes",
    RefreshResult.OLDER: "the document's token is older than that of the list in use",
    RefreshResult.FUTURE: "the document's token is a time in the future",
    RefreshResult.SHRUNK: "it covers many fewer addresses of those that are used here",
    RefreshResult.GROWN: "it covers many more addresses of those that are used here",
}

RESTARTS: Mapping[str, str] = {
    RestartCause.HUNG: "the worker did not answer for 5 s, and was killed",
    RestartCause.SIGNAL: "a signal, such as that of the kernel when memory runs out",
    RestartCause.EXIT: "an error of its own",
    RestartCause.START: "anything before it was ready",
}

LABELS: Mapping[str, str] = {
    "site": "First name in the site's `hosts`.",
    "region": (
        f"A region that is a target of the site; `{OTHER_AWS}`: in AWS, no target there; "
        f"`{OUTSIDE}`: in no region, or the client is unknown."
    ),
    "reason": (
        "A [reason](request-handling.md#reasons): of `nearbucket_bypasses_total` one of action "
        "`stream`, of `nearbucket_refusals_total` one of action `refuse`."
    ),
    "host": f"A name of `hosts`, or `{OTHER_HOST}`: one that only `*` serves, or none.",
    "action": ", ".join(f"`{action}`" for action in Action) + ".",
    "how": ", ".join(f"`{how}`" for how in STREAM_ENDS)
    + "; the last where S3 did not send the rest of a body, even when asked again. A request that "
    "is answered 502, 503 or 504 is no stream.",
    "status": "HTTP status of S3's answer.",
    "request": "`head`: HEAD requests, one for each object. `list`: LIST requests, one for 1,000 "
    "objects, for verification by listings and for the warm-up.",
    "class": "First digit of the response's status, `2xx` to `5xx`; a redirect is `3xx`. `none`: "
    "the client left before any.",
    "cause": (
        "`nearbucket_handovers_total`: why a request was given to the aiohttp lane, "
        "[below](#causes). `nearbucket_worker_restarts_total`: "
        + "; ".join(f"`{cause}`: {RESTARTS[cause]}" for cause in RestartCause)
        + "."
    ),
    "log": ", ".join(f"`{log}`" for log in LOGS) + ".",
    "family": "`ipv4`, `ipv6`.",
    "result": (
        "`nearbucket_ranges_refreshes_total`: [below](#refresh-results). "
        "`nearbucket_config_reloads_total`, `nearbucket_certificate_reloads_total`: `applied`, "
        "`refused`. `nearbucket_checks_total`: "
        + ", ".join(f"`{result}`" for result in CHECKS)
        + "; a 403 AccessDenied counts as absent, any other 403 as failed."
    ),
    "hash": "Twelve hexadecimal digits that stand for the effective configuration.",
}

UNWRITTEN = {("sites", "[]", "targets", "<region>", "region"): "the key it is listed under"}
"""Defaults that a validator supplies, which the schema cannot say."""


def main(arguments: list[str]) -> int:
    """Write the pages, or with ``--check`` name those that are not current."""
    old = {page: page.read_text("utf-8") for page in sorted(DOCS.glob("*.md"))}
    new = renewed(old) | {
        SCHEMA: json.dumps(json_schema(), indent=2) + "\n",
        REPORT_SCHEMA: json.dumps(report_schema(), indent=2) + "\n",
        MAN_PAGE: man_page(),
    }
    stale = [page for page in new if not page.exists() or page.read_text("utf-8") != new[page]]
    for page in stale:
        name = page.relative_to(DOCS.parent)
        if "--check" in arguments:
            sys.stderr.write(f"{name} is stale: run `python docs/generate.py`\n")
        else:
            page.write_text(new[page], "utf-8")
            sys.stderr.write(f"{name} written\n")
    return int("--check" in arguments and bool(stale))


def renewed(pages: Mapping[Path, str]) -> dict[Path, str]:
    """The pages with all blocks as they ought to be."""
    made = blocks()
    found = [match for text in pages.values() for match in _BLOCK.finditer(text)]
    names = [match[2] for match in found]
    if odd := set(names) ^ set(made):
        raise SystemExit(f"docs/*.md: blocks missing or unknown: {', '.join(sorted(odd))}")
    reasons = (match for match in found if match[2].startswith("reason "))
    if bare := [match[2] for match in reasons if not match[4].strip()]:
        raise SystemExit(f"docs/*.md: no advice below: {', '.join(bare)}")
    return {
        page: _BLOCK.sub(lambda match: f"{match[1]}{made[match[2]]}{match[3]}{match[4]}", text)
        for page, text in pages.items()
    }


def blocks() -> dict[str, str]:
    """Every block by name."""
    schema = json_schema()
    labels = dict.fromkeys(label for metric in METRICS for label in metric.labels)
    metrics = [
        (f"`{metric.name}`", metric.kind, ", ".join(metric.labels) or "-", metric.help)
        for metric in METRICS
    ]
    return {
        "settings": "\n".join(_sections(schema, schema, ())) + "\n",
        "metrics": table(("metric", "kind", "labels", "meaning"), metrics),
        "buckets": ", ".join(f"{bound:g}" for bound in SECONDS) + ".\n",
        "labels": table(("label", "values"), _explained(labels, LABELS)),
        "causes": table(
            ("cause", "a chunk goes to aiohttp when"), _explained(HandoffReason, CAUSES)
        ),
        "costs": table(rows()[0], rows()[1:]),
        "costs per TB": table(rows_per_tb()[0], rows_per_tb()[1:]),
        "flat-rate plans": table(flat_rows()[0], flat_rows()[1:]),
        "capacity": table(capacity.rows()[0], capacity.rows()[1:]),
        "capacity dollars": table(capacity.dollar_rows()[0], capacity.dollar_rows()[1:]),
        "capacity day": table(capacity.day_rows()[0], capacity.day_rows()[1:]),
        "results": table(("result", "meaning"), _explained(RefreshResult, RESULTS)),
        **{
            f"reason {reason}": f"### `{reason}`\n\n*{reason.action}*: {_prose(reason.help)}\n"
            for reason in Reason
        },
    }


def _explained(words: Iterable[str], texts: Mapping[str, str]) -> list[tuple[str, str]]:
    """Each word with its text; both have to be the same set."""
    known = [str(word) for word in words]
    if odd := set(known) ^ {str(word) for word in texts}:
        raise SystemExit(f"docs/generate.py: words and texts differ in {', '.join(sorted(odd))}")
    return [(f"`{word}`", texts[word]) for word in known]


def _sections(top: Schema, schema: Schema, keys: Keys) -> Iterator[str]:
    """The section at ``keys`` and those inside it, as Markdown."""
    inner: list[tuple[Keys, Schema, Schema]] = []
    rows: list[Keys] = []
    for name, field in schema["properties"].items():
        path = (*keys, name)
        below = [((*path, *place), field, top["$defs"][ref]) for place, ref in _inside(field)]
        inner += below
        if not below or _is_mixed(field):
            default = "required" if name in schema.get("required", ()) else _default(field)
            rows.append(
                (
                    f"`{name}`",
                    _kind(field),
                    UNWRITTEN.get(path, default),
                    _prose(field["description"]),
                    f"`{_variable(path)}`",
                )
            )
    if rows:
        yield table(("key", "type", "default", "meaning", "variable"), rows)
    for path, field, definition in inner:
        text = _prose(field.get("description") or definition["description"])
        if "default" in field and not field["default"]:
            text += f" Default: {_default(field)}."
        yield f"## `{_written(path)}`\n\n{text}\n"
        yield from _sections(top, definition, path)


def _inside(field: Schema) -> Iterator[tuple[Keys, str]]:
    """Sections that a field holds: how they are reached, and the schema's name for them."""
    places: list[tuple[Keys, Any]] = [((), field), *(((), each) for each in field.get("anyOf", ()))]
    places += [(("[]",), field.get("items")), (("<region>",), field.get("additionalProperties"))]
    for place, schema in places:
        if isinstance(schema, dict) and "$ref" in schema:
            yield place, schema["$ref"].rpartition("/")[2]


def _is_mixed(field: Schema) -> bool:
    """Whether a field takes a plain word or a section: it has a row, and a table of its own."""
    options = field.get("anyOf", ())
    return any("$ref" not in option and option.get("type") != "null" for option in options)


_FORMS: Mapping[str, Schema] = {
    name: TypeAdapter(kind).json_schema()
    for name, kind in (("duration", Duration), ("size", Size), ("rate", Rate))
}
"""Types with a form of their own, by the name that the page describes it under."""

_TYPES: Mapping[str, str] = {"string": "text", "null": "`null`"}


def _kind(field: Schema) -> str:
    """The type of a value, for people."""
    for name, form in _FORMS.items():
        if field.items() >= form.items():
            return name
    if "anyOf" in field:
        return " or ".join(_kind(option) for option in field["anyOf"])
    if "$ref" in field:
        return "mapping, see below"
    if "const" in field or "enum" in field:
        return ", ".join(f"`{word}`" for word in field.get("enum", [field.get("const")]))
    if field["type"] == "array":
        return f"list of {_kind(field['items'])}"
    if field["type"] == "object":
        return f"mapping to {_kind(field['additionalProperties'])}"
    name = _TYPES.get(field["type"], field["type"])
    name = "path" if field.get("format") == "path" else name
    if "minimum" in field:
        name += f" from {field['minimum']:g}"
    if "maximum" in field:
        name += f" to {field['maximum']:g}"
    return name + (f" like `{field['pattern']}`" if "pattern" in field else "")


def _default(field: Schema) -> str:
    value = field.get("default", {})  # only an empty mapping has a default without a value here
    return f"`{value}`" if isinstance(value, str) and value else f"`{json.dumps(value)}`"


def _written(keys: Keys) -> str:
    return ".".join(keys).replace(".[]", "[]")


def _variable(keys: Keys) -> str:
    return "NEARBUCKET_" + "__".join("0" if key == "[]" else key.upper() for key in keys)


def _prose(text: str) -> str:
    """A docstring as Markdown."""
    return " ".join(text.replace("``", "`").split())


def table(head: Keys, rows: Iterable[Keys]) -> str:
    """A Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
