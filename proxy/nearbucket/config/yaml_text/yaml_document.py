"""Reads YAML by the rules of version 1.2, and keeps the line of each value.

PyYAML alone reads version 1.1, in which ``010`` is 8, ``1:30`` is 90 and ``off`` is false. Merge
keys (``<<``), which only 1.1 has, are kept, and keys of the top level that begin with ``x-`` are
left out: they are for parts of the file that anchors refer to.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from nearbucket.config.yaml_text.yaml_errors import Fault, fault_of, names_secret, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_MAX_VALUES = 100_000
"""An alias of an alias multiplies what a file holds; this is far more than a configuration has."""

_TEXT = "tag:yaml.org,2002:str"
_TAGS = {
    "tag:yaml.org,2002:null": re.compile(r"~|null|Null|NULL|"),
    "tag:yaml.org,2002:bool": re.compile(r"true|True|TRUE|false|False|FALSE"),
    "tag:yaml.org,2002:int": re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"),
    "tag:yaml.org,2002:float": re.compile(
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
    ),
    _TEXT: re.compile(r".*", re.DOTALL),
}
"""The tags of plain values (YAML 1.2.2, section 10.3.2, "Tag Resolution")."""

_CURES = {
    "tag:yaml.org,2002:null": "write null",
    "tag:yaml.org,2002:bool": "write true or false",
    "tag:yaml.org,2002:int": "write a number",
    "tag:yaml.org,2002:float": "write a number",
}
"""What to write after a tag, by its name."""

Path_ = tuple[str | int, ...]
"""The keys and numbers of items that lead to a value."""


class Entry(NamedTuple):
    """A value in a file: its line, from 1, and its text if it is neither a list nor a mapping."""

    line: int
    text: str | None


class YamlDocument(NamedTuple):
    """What a file holds, and where."""

    data: Any
    entries: Mapping[Path_, Entry]


class _Composer(yaml.SafeLoader):
    """Gives the nodes of a file, plain values with the tags of version 1.2."""

    def resolve(self, kind: Any, value: str | None, implicit: Any) -> str:
        """The tag of a node that has none; the first of ``implicit`` is for plain values."""
        if kind is not yaml.ScalarNode or not implicit[0]:
            default: str = super().resolve(kind, None, (False, False))  # type: ignore[no-untyped-call]
            return default
        return next(tag for tag, form in _TAGS.items() if form.fullmatch(value or ""))


class _Dumper(yaml.SafeDumper):
    """Puts text in quotes that version 1.1 or 1.2 would read as something else."""


for _tag, _form in _TAGS.items():
    if _tag != _TEXT:
        _Dumper.add_implicit_resolver(_tag, re.compile(rf"(?:{_form.pattern})$"), None)


def write_yaml(data: Any) -> str:
    """Plain values as YAML that ``read_yaml`` reads as the same values."""
    text: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False)
    return text


def read_yaml(text: str) -> YamlDocument:
    """Read one document.

    Raises:
        Fault: It is not YAML, or has something that a configuration cannot have.
    """
    try:
        composer = _Composer(text)
        node = composer.get_single_node()
    except yaml.YAMLError as error:
        raise fault_of(error, text) from None
    except (RecursionError, ValueError) as error:
        raise Fault(None, "", f"is not valid YAML: {error}") from None
    builder = _Builder()
    try:
        data = None if node is None else builder.value(node, ())
    except RecursionError as error:
        raise Fault(None, "", f"is not valid YAML: {error}") from None
    return YamlDocument(data, builder.entries)


class _Builder:
    """Makes plain values of nodes."""

    def __init__(self) -> None:
        self.entries: dict[Path_, Entry] = {}
        self._open: list[yaml.Node] = []
        self._count = 0

    def value(self, node: yaml.Node, path: Path_) -> Any:
        """The value of a node at a path; its place is kept, unless that of its key is."""
        text = node.value if isinstance(node, yaml.ScalarNode) else None
        entry = self.entries.setdefault(path, Entry(_line(node), text))
        self.entries[path] = Entry(entry.line, text)
        self._count += 1
        if node in self._open or self._count > _MAX_VALUES:
            raise _fault(node, path, "its aliases repeat without end; write it out instead")
        self._open.append(node)
        try:
            return self._plain(node, path)
        finally:
            self._open.pop()

    def _plain(self, node: yaml.Node, path: Path_) -> Any:
        match node:
            case yaml.MappingNode(tag="tag:yaml.org,2002:map"):
                return self._mapping(node, path)
            case yaml.SequenceNode(tag="tag:yaml.org,2002:seq"):
                return [self.value(item, (*path, i)) for i, item in enumerate(node.value)]
            case yaml.ScalarNode():
                return _scalar(node, path)
        raise _unused_tag(node, path)

    def _mapping(self, node: yaml.MappingNode, path: Path_) -> dict[str, Any]:
        found: dict[str, yaml.Node] = {}
        lines: dict[str, int] = {}
        for key_node, value in node.value:
            if _is_merge(key_node):
                continue
            key = _key(key_node, path)
            if key in found:
                text = f"the key is already in line {lines[key]}; remove one of them"
                raise _fault(key_node, (*path, key), text)
            found[key], lines[key] = value, _line(key_node)
        for key, value, line in self._merged(node, path):
            if key not in found:
                found[key], lines[key] = value, line
        if not path:
            found = {key: value for key, value in found.items() if not key.startswith("x-")}
        for key, line in lines.items():
            self.entries[*path, key] = Entry(line, None)
        return {key: self.value(value, (*path, key)) for key, value in found.items()}

    def _merged(self, node: yaml.MappingNode, path: Path_) -> Iterator[tuple[str, yaml.Node, int]]:
        """Keys of the mappings under ``<<``, those with precedence first."""
        for key_node, value in node.value:
            if not _is_merge(key_node):
                continue
            for each in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                if not isinstance(each, yaml.MappingNode) or each in self._open:
                    text = "<< takes a mapping or an alias of one, such as <<: *common"
                    raise _fault(key_node, (*path, "<<"), text)
                self._open.append(each)
                for inner, item in each.value:
                    if not _is_merge(inner):
                        yield _key(inner, path), item, _line(inner)
                yield from self._merged(each, path)
                self._open.pop()


def _is_merge(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.value == "<<" and node.style is None


def _key(node: yaml.Node, path: Path_) -> str:
    """A key as it is written: ``on`` and ``2026-01-31`` are text."""
    if not isinstance(node, yaml.ScalarNode):
        raise _fault(node, path, "a list or mapping is used as a key; put the key in quotes")
    return str(node.value)


def _scalar(node: yaml.ScalarNode, path: Path_) -> Any:
    """The value of a scalar, by its tag."""
    text: str = node.value
    form = _TAGS.get(node.tag)
    if form is not None and not form.fullmatch(text):  # the tag is written in the file
        tag, cure = _short(node.tag), _CURES[node.tag]
        shown = "a secret" if names_secret(*map(str, path)) else quoted(text)
        raise _fault(node, path, f"{shown} is no {tag}; remove the tag, or {cure}")
    match node.tag.removeprefix("tag:yaml.org,2002:"):
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int":
            return _integer(text)
        case "float":
            return _real(text)
        case "str":
            return text
    raise _unused_tag(node, path)


def _integer(text: str) -> int | str:
    base = {"0o": 8, "0x": 16}.get(text[:2], 10)
    try:
        return int(text, base)
    except ValueError:  # a number of thousands of digits
        return text


def _real(text: str) -> float:
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))


def _short(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!")


def _unused_tag(node: yaml.Node, path: Path_) -> Fault:
    tag = "!…" if names_secret(*map(str, path)) else _short(node.tag)
    return _fault(node, path, f"{tag} is a tag, which is not used here; remove it")


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _fault(node: yaml.Node, path: Path_, text: str) -> Fault:
    return Fault(_line(node), ".".join(map(str, path)), text)
