"""Stores as files that AWS imports, and the difference of two as requests of UpdateKeys."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from nearbucket.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST_KEYS = 50
"""Keys of one UpdateKeys request, which has 3 MB at most, far more than 50 pairs (CloudFront
developer guide, "Quotas on key value stores")."""


def import_document(pairs: Mapping[str, str]) -> str:
    """A store in the form that ``create-key-value-store --import-source`` reads."""
    data = [{"key": key, "value": value} for key, value in pairs.items()]
    return json.dumps({"data": data}, indent=0) + "\n"


def read_import_document(text: str) -> dict[str, str]:
    """The pairs of such a document.

    Raises:
        ConfigError: It is none.
    """
    try:
        found = {entry["key"]: entry["value"] for entry in json.loads(text)["data"]}
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"is not the store.json of an earlier run: {error!r}") from None
    if not all(isinstance(each, str) for pair in found.items() for each in pair):
        raise ConfigError("is not the store.json of an earlier run: a value is not text")
    return found


def update_requests(before: Mapping[str, str], after: Mapping[str, str]) -> list[dict[str, Any]]:
    """The bodies of UpdateKeys requests that turn one store into the other, in order.

    Between two requests every address has its old or its new region: the parts of a block are put
    before the ``+`` that leads to them, and deleted when nothing leads to them any more.
    """
    put = [key for key, value in after.items() if before.get(key) != value]
    deepest_first = sorted(put, key=lambda key: (-len(key), key))
    changes = [("Puts", {"Key": key, "Value": after[key]}) for key in deepest_first]
    gone = sorted(before.keys() - after.keys())
    changes += [("Deletes", {"Key": key}) for key in gone]
    starts = range(0, len(changes), MOST_KEYS)
    return [_request(changes[start : start + MOST_KEYS]) for start in starts]


def update_files(bodies: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The requests as files, by names whose alphabetical order is theirs, as a shell lists them."""
    digits = max(3, len(str(len(bodies))))
    return {
        f"update-{number:0{digits}}.json": json.dumps(body, indent=0) + "\n"
        for number, body in enumerate(bodies, 1)
    }


def _request(changes: Sequence[tuple[str, dict[str, str]]]) -> dict[str, Any]:
    kinds = ("Puts", "Deletes")
    lists = {kind: [change for name, change in changes if name == kind] for kind in kinds}
    return {kind: found for kind, found in lists.items() if found}
