"""Reads the configuration: the YAML file, then the environment's overrides.

An error names the file or variable, the key and the fix.
"""

from __future__ import annotations

import os
import re
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from nearbucket.config.settings import Regions, Settings
from nearbucket.config.value_types import MASK, without_secrets
from nearbucket.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Mapping

DEFAULT_FILE = Path("nearbucket.yaml")
FILE_VARIABLE = "NEARBUCKET_CONFIG"
_PREFIX = "NEARBUCKET_"
# Kubernetes sets these in pods if a Service is called nearbucket; they are not settings.
_SERVICE_LINK = re.compile(r"NEARBUCKET_(SERVICE_(HOST|PORT\w*)|PORT|PORT_\d+_\w+)").fullmatch
_SECRETS = ("client_address", "origin_secret", "values")
SECRET_KEY = ".".join(_SECRETS)
"""The setting whose values are secrets."""

SOURCE_KEY = "regions.source"
"""The setting that may contain a secret: user name and password of a URL."""

Path_ = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """Refuses duplicate keys, of which PyYAML would silently use the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002  # PyYAML's own signature
        """Check the keys, then build the mapping."""
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"key {key!r} is given twice", problem_mark=key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def load(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read, merge and check the configuration.

    Args:
        path: The file; by default ``nearbucket.yaml`` in the working folder, if there is one, else
            the environment alone.
        environ: ``NEARBUCKET_<SECTION>__<KEY>`` overrides any key; list items have numbers.

    Raises:
        ConfigError: Unreadable file, unknown keys or wrong values: one line for each.
    """
    document, name = _read(path), name_of(path)
    _refuse_literal_secrets(document, name)
    _refuse_literal_password(document, name)
    origins = _overlay(document, environ)
    if not document:
        raise ConfigError(
            f"no configuration: there is no {DEFAULT_FILE} here; give --config FILE or set "
            f"{FILE_VARIABLE}"
        )
    _resolve_secrets(document, environ, name)
    try:
        return Settings.model_validate(document)
    except ValidationError as error:
        raise ConfigError(_findings(error, name, origins)) from None


def load_regions(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Regions:
    """The ``regions`` section alone, even if other sections are wrong or there is no file.

    Raises:
        ConfigError: As for ``load``, but only about this section.
    """
    document, name = _read(path), name_of(path)
    _refuse_literal_password(document, name)
    origins = _overlay(document, environ)
    try:
        return Regions.model_validate(document.get("regions") or {})
    except ValidationError as error:
        raise ConfigError(_findings(error, name, origins, ("regions",))) from None


def masked(settings: Settings) -> dict[str, Any]:
    """The effective configuration as plain data, with masked secrets."""
    shown = settings.model_dump(mode="json", by_alias=True)
    secret = shown["client_address"]["origin_secret"]
    if secret is not None:
        secret["values"] = mask(secret["values"])
    shown["regions"]["source"] = without_secrets(shown["regions"]["source"])
    return shown


def mask(values: Collection[str]) -> list[str]:
    """Asterisks for each secret."""
    return [MASK] * len(values)


def name_of(path: Path | None) -> str:
    """The name of the configuration in messages: that of its file, or ``environment``."""
    if path is None and not DEFAULT_FILE.exists():
        return "environment"
    return str(path or DEFAULT_FILE)


def _read(path: Path | None) -> dict[Any, Any]:
    if path is None and not DEFAULT_FILE.exists():
        return {}
    path = path or DEFAULT_FILE
    try:
        with path.open(encoding="utf-8") as stream:  # a stream, so that errors name the file
            document = yaml.load(stream, Loader=_Loader)  # noqa: S506  # a SafeLoader
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror}; give an existing file with --config"
        ) from None
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        # PyYAML raises Python's own errors for some dates, keys and depths
        raise ConfigError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: expected sections such as sites: at the top level")
    return document


def _secret_values(document: Any) -> list[Any]:
    """The secrets in unchecked data, or an empty list."""
    for key in _SECRETS:
        document = document.get(key) if isinstance(document, dict) else None
    return document if isinstance(document, list) else []


def _refuse_literal_secrets(document: Any, name: str) -> None:
    for value in _secret_values(document):
        if not str(value).startswith(("file:", "env:")):
            raise ConfigError(
                f"{name}: {SECRET_KEY}: secrets do not belong in the file; write file:PATH or "
                "env:NAME"
            )


def _refuse_literal_password(document: Any, name: str) -> None:
    """Refuse a URL with a user name or password in the file."""
    regions = document.get("regions")
    source = regions.get("source") if isinstance(regions, dict) else None
    if isinstance(source, str) and "@" in without_secrets(source).partition("://")[2]:
        raise ConfigError(
            f"{name}: {SOURCE_KEY}: a user name or password does not belong in the file; give the "
            "URL in NEARBUCKET_REGIONS__SOURCE"
        )


def _resolve_secrets(document: Any, environ: Mapping[str, str], name: str) -> None:
    values = _secret_values(document)
    for index, value in enumerate(values):
        kind, _, reference = str(value).partition(":")
        if kind == "file":
            try:
                values[index] = Path(reference).read_text(encoding="utf-8").strip()
            except (OSError, ValueError) as error:
                raise ConfigError(f"{name}: {SECRET_KEY}: {reference}: {error}") from None
        elif kind == "env":
            values[index] = environ.get(reference, "")
        if not values[index]:
            raise ConfigError(f"{name}: {SECRET_KEY}: {value} is empty")


def _overlay(document: dict[Any, Any], environ: Mapping[str, str]) -> dict[Path_, str]:
    """Write the environment's values into ``document``; returns the variable of each path."""
    origins: dict[Path_, str] = {}
    for variable in sorted(environ):
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
        origins[_assign(document, names, _value(environ[variable]), variable)] = variable
    return origins


def _assign(document: Any, names: list[str], value: Any, variable: str) -> Path_:
    """Set the value at the path given by ``names``; returns the path."""
    path: list[str | int] = []
    for position, name in enumerate(names):
        last = position == len(names) - 1
        following: Any = [] if not last and names[position + 1].isdigit() else {}
        key: str | int = name
        if isinstance(document, list):
            if not name.isdigit() or int(name) > len(document):
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


def _value(text: str) -> Any:
    """The value of a variable: lists and mappings are read as YAML, all else is text."""
    if text.lstrip().startswith(("[", "{")):
        try:
            return yaml.safe_load(text)
        except yaml.YAMLError:
            return text
    return None if text in {"", "null", "~"} else text


def _findings(
    error: ValidationError, name: str, origins: Mapping[Path_, str], section: Path_ = ()
) -> str:
    """One line for each error: file or variable, key, what is wrong and how to fix it."""
    texts: dict[tuple[str, str], list[str]] = {}
    for finding in error.errors(include_url=False):
        if finding["type"] == "too_short" and finding["input"]:
            continue  # the list is not empty; its items have errors of their own
        location = section + tuple(
            part for part in finding["loc"] if not _OF_THE_LIBRARY(str(part))
        )
        paths = (location[:end] for end in range(len(location), 0, -1))
        source = next((origins[path] for path in paths if path in origins), name)
        place = source, ".".join(str(part) for part in location)
        text = _plain(finding["type"], finding["msg"], str(location[-1]) if location else "")
        texts.setdefault(place, []).append(text)
    return "\n".join(
        f"{source}: {key}: {', or '.join(said)}" if key else f"{source}: {', or '.join(said)}"
        for (source, key), said in texts.items()
    )


_OF_THE_LIBRARY = re.compile(r"literal\[.*\]|constrained-.*|function-.*|KeyFiles").fullmatch
"""Parts of pydantic's locations that name a branch of a union instead of a key."""

_PLAIN = {
    "missing": "is required",
    "tuple_type": "must be a list, such as [a, b]",
    "too_short": "must not be empty",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "string_type": "must be text",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
}


def _plain(kind: str, message: str, key: str) -> str:
    """An error of pydantic's in the terms of a YAML file."""
    if kind == "extra_forbidden":
        near = get_close_matches(key, _known_keys(), n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        return f"unknown key; {hint}docs/settings.md and `nearbucket config schema` list all keys"
    return _PLAIN.get(kind, message.removeprefix("Value error, "))


def _known_keys() -> list[str]:
    schema = Settings.model_json_schema(by_alias=True)
    models = [schema, *schema["$defs"].values()]
    return sorted({key for model in models for key in model["properties"]})
