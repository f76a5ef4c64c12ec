"""Reads the configuration: the YAML text of a file or an object, then the environment's overrides.

An error names the file and line, or the variable, the key, the value found and what to write.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from pydantic import ValidationError

from nearbucket.config.environment import FILE_VARIABLE, overlay
from nearbucket.config.json_schema.messages import SECRETS, Sources, message, messages, shown
from nearbucket.config.regular_file import read_regular_file
from nearbucket.config.settings import Regions, Settings
from nearbucket.config.value_types import MASK, without_secrets
from nearbucket.config.yaml_text.yaml_document import YamlDocument, read_yaml
from nearbucket.config.yaml_text.yaml_errors import Fault
from nearbucket.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

DEFAULT_FILE = Path("nearbucket.yaml")
ENVIRONMENT = "environment"
"""The name, in messages, of a configuration that is made of variables alone."""
SECRET_KEY = ".".join(SECRETS)
"""The setting whose values are secrets."""

SOURCE_KEY = "regions.source"
"""The setting that may contain a secret: user name and password of a URL."""


class ConfigFile(Protocol):
    """Where a configuration is: a ``Path``, or an object in S3. As text, it is its name."""

    def read_bytes(self) -> bytes:
        """The YAML text, in UTF-8.

        Raises:
            OSError: It cannot be read.
        """
        ...


class ConfigObject(NamedTuple):
    """A configuration that was read from S3.

    Attributes:
        name: ``s3://bucket/key``.
        data: The text, in UTF-8.
        etag: The object's ETag.
    """

    name: str
    data: bytes
    etag: str

    def __str__(self) -> str:
        """Its name, as a path shows itself."""
        return self.name

    def read_bytes(self) -> bytes:
        """The text that was read."""
        return self.data


def load(path: ConfigFile | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read, merge and check the configuration.

    Args:
        path: The file or object; by default ``nearbucket.yaml`` in the working folder, if there is
            one, else the environment alone.
        environ: ``NEARBUCKET_<SECTION>__<KEY>`` overrides any key; list items have numbers.

    Raises:
        ConfigError: Unreadable file, unknown keys or wrong values: one line for each.
    """
    return load_with_sources(path, environ)[0]


def load_with_sources(
    path: ConfigFile | None = None, environ: Mapping[str, str] = os.environ
) -> tuple[Settings, Sources]:
    """The configuration as ``load`` reads it, and where each value comes from.

    Raises:
        ConfigError: As ``load``.
    """
    document, name = _read(path), name_of(path)
    _refuse_literal_secrets(document, name)
    _refuse_literal_password(document, name)
    sources = _sources(document, name, environ)
    if not document.data and name == ENVIRONMENT:
        raise ConfigError(
            f"no configuration: there is no {DEFAULT_FILE} in {Path.cwd()}; give --config FILE or "
            f"set {FILE_VARIABLE} (`nearbucket init` writes a file)"
        )
    _resolve_secrets(sources, environ)
    try:
        return Settings.model_validate(document.data), sources
    except ValidationError as error:
        raise ConfigError(messages(error, sources)) from None


def load_regions(path: ConfigFile | None) -> Regions:
    """The ``regions`` section alone, even if other sections are wrong or there is no file.

    Raises:
        ConfigError: As for ``load``, but only about this section.
    """
    document, name = _read(path), name_of(path)
    _refuse_literal_password(document, name)
    sources = _sources(document, name, os.environ)
    try:
        return Regions.model_validate(sources.data.get("regions") or {})
    except ValidationError as error:
        raise ConfigError(messages(error, sources, ("regions",))) from None


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


def name_of(path: ConfigFile | None) -> str:
    """The name of the configuration in messages: that of its file or object, or ``environment``."""
    if path is None and not DEFAULT_FILE.exists():
        return ENVIRONMENT
    return str(path or DEFAULT_FILE)


def _read(path: ConfigFile | None) -> YamlDocument:
    if path is None and not DEFAULT_FILE.exists():
        return YamlDocument({}, {})
    path = path or DEFAULT_FILE
    data = b""
    try:
        data = path.read_bytes()
        document = read_yaml(data.decode("utf-8-sig"))
    except PermissionError as error:
        advice = f"let this user (uid {os.geteuid()}) read it"
        raise ConfigError(f"{path}: {error.strerror}; {advice}") from None
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror}; name another file (`nearbucket init` writes one)"
        ) from None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: is not UTF-8; save the file as UTF-8") from None
    except Fault as fault:
        raise ConfigError(message(f"{path}:{fault.line or 1}", fault.key, fault.text)) from None
    if not isinstance(document.data, dict):
        raise ConfigError(f"{path}:1: is not a mapping; write sections such as sites:")
    return document


def _sources(document: YamlDocument, name: str, environ: Mapping[str, str]) -> Sources:
    """The document with the environment's values, and where each value comes from."""
    variables = overlay(document.data, environ)
    entries = {
        path: entry
        for path, entry in document.entries.items()
        if not any(path[:end] in variables for end in range(len(path) + 1))
    }
    return Sources(name, entries, variables, document.data)


def _secret_values(document: Any) -> list[Any]:
    """The secrets in unchecked data, or an empty list."""
    for key in SECRETS:
        document = document.get(key) if isinstance(document, dict) else None
    return document if isinstance(document, list) else []


def secret_files(path: ConfigFile | None, environ: Mapping[str, str] = os.environ) -> list[Path]:
    """The files of a configuration's secrets; none if it cannot be read."""
    try:
        document = _read(path)
        overlay(document.data, environ)
    except ConfigError:
        return []
    values = map(str, _secret_values(document.data))
    return [Path(each.removeprefix("file:")) for each in values if each.startswith("file:")]


def _refuse_literal_secrets(document: YamlDocument, name: str) -> None:
    for index, value in enumerate(_secret_values(document.data)):
        if not str(value).startswith(("file:", "env:")):
            line = document.entries[*SECRETS, index].line
            raise ConfigError(
                f"{name}:{line}: {SECRET_KEY}.{index}: is a secret, which does not belong in the "
                "file; write file:PATH or env:NAME"
            )


def _refuse_literal_password(document: YamlDocument, name: str) -> None:
    """Refuse a URL with a user name or password in the file."""
    regions = document.data.get("regions")
    source = regions.get("source") if isinstance(regions, dict) else None
    if isinstance(source, str) and "@" in without_secrets(source).partition("://")[2]:
        line = document.entries["regions", "source"].line
        raise ConfigError(
            f"{name}:{line}: {SOURCE_KEY}: {without_secrets(source)!r} has a user name or "
            "password, which does not belong in the file; give the URL in "
            "NEARBUCKET_REGIONS__SOURCE"
        )


def _resolve_secrets(sources: Sources, environ: Mapping[str, str]) -> None:
    values = _secret_values(sources.data)
    for index, value in enumerate(values):
        place = message(sources.place((*SECRETS, index)), f"{SECRET_KEY}.{index}", "")
        kind, _, reference = str(value).partition(":")
        if kind == "file":
            try:
                values[index] = read_regular_file(Path(reference)).decode().strip()
            except (OSError, ValueError) as error:
                why = getattr(error, "strerror", None) or error
                raise ConfigError(
                    f"{place}: {shown(value)}: {why}; write the path of a readable file"
                ) from None
        elif kind == "env":
            values[index] = environ.get(reference, "")
        if not values[index]:
            raise ConfigError(f"{place}: {shown(value)} is empty; put the secret there")
