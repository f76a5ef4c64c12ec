"""Settings from environment variables: ``NEARBUCKET_<SECTION>__<KEY>`` overrides any key."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from nearbucket.config.json_schema.messages import message
from nearbucket.config.settings import Settings
from nearbucket.config.yaml_text.yaml_document import read_yaml
from nearbucket.config.yaml_text.yaml_errors import Fault
from nearbucket.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nearbucket.config.yaml_text.yaml_document import Path_

FILE_VARIABLE = "NEARBUCKET_CONFIG"
_PREFIX = "NEARBUCKET_"
# Kubernetes sets these in pods if a Service is called nearbucket; they are not settings.
_SERVICE_LINK = re.compile(r"NEARBUCKET_(SERVICE_(HOST|PORT\w*)|PORT|PORT_\d+_\w+)").fullmatch


def overlay(document: dict[Any, Any], environ: Mapping[str, str]) -> dict[Path_, str]:
    """Write the environment's values into ``document``; returns the variable of each path.

    Raises:
        ConfigError: A variable names no section, or its value or key does not fit.
    """
    origins: dict[Path_, str] = {}
    for variable in sorted(environ, key=_order):
        if not variable.startswith(_PREFIX) or variable == FILE_VARIABLE:
            continue
        if _SERVICE_LINK(variable):
            continue
        names = variable.removeprefix(_PREFIX).lower().split("__")
        if names[0] not in Settings.model_fields:
            raise ConfigError(
                f"{variable}: no such section; an override is called NEARBUCKET_<SECTION>__<KEY>, "
                "such as NEARBUCKET_LISTEN__PORT"
            )
        origins[_assign(document, names, _value(environ[variable], variable), variable)] = variable
    return origins


def _order(variable: str) -> list[tuple[int, str]]:
    """Sorts item 2 of a list before item 10, and a whole list or mapping before its parts."""
    names = variable.split("__")
    return [(int(name), "") if name.isdecimal() else (-1, name) for name in names]


def _assign(document: Any, names: list[str], value: Any, variable: str) -> Path_:
    """Set the value at the path given by ``names``; returns the path."""
    path: list[str | int] = []
    for position, name in enumerate(names):
        last = position == len(names) - 1
        following: Any = [] if not last and names[position + 1].isdecimal() else {}
        key: str | int = name
        if isinstance(document, list):
            if not name.isdecimal() or int(name) > len(document):
                raise ConfigError(
                    f"{variable}: {'.'.join(map(str, path))} is a list of {len(document)} items; "
                    f"use a number from 0 to {len(document)} instead of {name!r}"
                )
            key = int(name)
            if key == len(document):
                document.append(following)
        elif isinstance(document, dict):
            hyphened = name.replace("_", "-")
            # a variable's name cannot have a hyphen
            regions = path[-1:] in (["targets"], ["region_per_gb"])
            known = name in document
            key = hyphened if regions or (not known and hyphened in document) else name
            if document.get(key) is None:
                document[key] = following
        else:
            raise ConfigError(f"{variable}: {'.'.join(map(str, path))} has no keys below it")
        path.append(key)
        if last:
            document[key] = value
        document = document[key]
    return tuple(path)


def _value(text: str, variable: str) -> Any:
    """The value of a variable: lists and mappings are read as YAML, all else is text."""
    if text.lstrip().startswith(("[", "{")):
        try:
            return read_yaml(text).data
        except Fault as fault:
            if "__ORIGIN_SECRET" in variable:  # the fault may show a part of it
                text = "is a secret, and no list; write file:PATH or env:NAME"
                raise ConfigError(message(variable, "", text)) from None
            raise ConfigError(message(variable, fault.key, fault.text)) from None
    return None if text in {"", "null", "~"} else text
