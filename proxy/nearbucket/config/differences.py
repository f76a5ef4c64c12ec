"""The settings in which two configurations differ, with masked secrets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from nearbucket.config.file import SECRET_KEY, SOURCE_KEY, mask
from nearbucket.config.value_types import without_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nearbucket.config.settings import Settings


_NAMED = 20  # differences that one line names


class SettingDifference(NamedTuple):
    """A setting that differs.

    Attributes:
        key: Dotted path, with the name of a site instead of its number.
        before: Value in the first configuration, or None if unset.
        after: Value in the second configuration, or None if unset.
        secret: Whether what differs is masked.
    """

    key: str
    before: Any
    after: Any
    secret: bool

    def __str__(self) -> str:
        """The change in one line."""
        change = " -> ".join(self.texts)
        return f"{self.key}: {'changed' if self.secret else change}"

    @property
    def texts(self) -> tuple[str, str]:
        """Both values as they are written in the file; ``-`` if one is unset."""
        return _text(self.before), _text(self.after)


def differences(before: Settings, after: Settings) -> list[SettingDifference]:
    """The settings in which two configurations differ, in the order of the file."""
    old, new = _values(before, after), _values(after, before)
    changed = [key for key in dict.fromkeys((*old, *new)) if old.get(key) != new.get(key)]
    return [_difference(key, _shown(key, old), _shown(key, new)) for key in changed]


def change_texts(before: Settings, after: Settings) -> list[str]:
    """The differences, a line each; an added or removed target is one line, without keys."""
    old, new = _targets(before), _targets(after)
    words = {key: "removed" if key in old else "added" for key in sorted(old ^ new)}
    texts = []
    for each in differences(before, after):
        place = next((key for key in words if each.key.startswith(f"{key}.")), None)
        texts.append(str(each) if place is None else f"{place}: {words[place]}")
    return list(dict.fromkeys(texts))


def changes_line(before: Settings, after: Settings) -> str:
    """The differences in one line, for the log."""
    found = change_texts(before, after)
    more = f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return f"{'; '.join(found[:_NAMED])}{more}" if found else "no setting has changed"


def _targets(settings: Settings) -> set[str]:
    return {f"{site.key}.targets.{region}" for site in settings.sites for region in site.targets}


def _difference(key: str, before: Any, after: Any) -> SettingDifference:
    return SettingDifference(key, before, after, key == SECRET_KEY or before == after)


def _shown(key: str, values: Mapping[str, Any]) -> Any:
    value = values.get(key)
    if key == SOURCE_KEY:
        return without_secrets(str(value))
    return mask(value) if value and key == SECRET_KEY else value


def _values(settings: Settings, other: Settings) -> dict[str, Any]:
    """Value by dotted path. Sites have their names in it, since their order does not matter.

    For a site that the other configuration does not have, defaults are left out.
    """
    values = settings.model_dump(mode="json", by_alias=True)
    known = {site.name for site in other.sites}
    values["sites"] = {
        site.name: site.model_dump(
            mode="json", by_alias=True, exclude_defaults=site.name not in known
        )
        for site in settings.sites
    }
    return _flat(values)


def _flat(value: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Value by dotted path; lists are values, and unset settings are left out."""
    found: dict[str, Any] = {}
    for name, inner in value.items():
        if isinstance(inner, dict):
            found |= _flat(inner, f"{path}{name}.")
        elif inner is not None:
            found[f"{path}{name}"] = inner
    return found


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return value if value and isinstance(value, str) else json.dumps(value, ensure_ascii=False)
