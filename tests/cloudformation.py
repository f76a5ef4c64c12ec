"""A CloudFormation template for given parameters: conditions, references and maps resolved."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_NO_VALUE = object()
_PSEUDO = {
    "AWS::AccountId": "123456789012",
    "AWS::NoValue": _NO_VALUE,
    "AWS::Partition": "aws",
    "AWS::Region": "us-east-1",
    "AWS::StackName": "downloads",
}


class _Loader(yaml.SafeLoader):
    """Reads ``!Ref x`` as ``{"Ref": x}``, and ``!Sub x`` as ``{"Fn::Sub": x}``."""


def _function(loader: _Loader, tag: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    return {tag if tag in {"Ref", "Condition"} else f"Fn::{tag}": value}


_Loader.add_multi_constructor("!", _function)


@cache
def read_template(path: Path) -> dict[str, Any]:
    """The template as it is written; do not change it: reading it takes 80 ms of CPU time."""
    found: dict[str, Any] = yaml.load(path.read_text("utf-8"), _Loader)  # noqa: S506  # a SafeLoader
    return found


class Stack:
    """What a template makes.

    Attributes:
        resources: The resources whose condition holds. A reference to another resource is
            ``<Name>``, one to its attribute ``<Name.Attribute>``.
        outputs: The outputs whose condition holds.
    """

    def __init__(self, path: Path, region: str = "us-east-1", **parameters: str) -> None:
        """Resolve the template.

        Args:
            path: The template.
            region: Region of the stack.
            parameters: Values; lists are joined with commas.
        """
        self._template = read_template(path)
        declared = self._template["Parameters"]
        assert parameters.keys() <= declared.keys()
        values = {
            name: parameters.get(name, each.get("Default")) for name, each in declared.items()
        }
        assert None not in values.values(), values
        self._values: Mapping[str, Any] = {
            **_PSEUDO,
            "AWS::Region": region,
            **{
                name: str(value).split(",") if "List" in declared[name]["Type"] else str(value)
                for name, value in values.items()
            },
        }
        self.resources = self._section("Resources")
        self.outputs = self._section("Outputs")

    def refused(self) -> list[str]:
        """What the template's rules have against the parameters."""
        return [
            each["AssertDescription"]
            for rule in self._template.get("Rules", {}).values()
            if self._resolve(rule.get("RuleCondition", True))
            for each in rule["Assertions"]
            if not self._resolve(each["Assert"])
        ]

    def of_type(self, kind: str) -> dict[str, Any]:
        """Properties of the resources of a type, by name."""
        return {
            name: each["Properties"]
            for name, each in self.resources.items()
            if each["Type"] == f"AWS::{kind}"
        }

    def _section(self, name: str) -> dict[str, Any]:
        return {
            key: self._resolve(each)
            for key, each in self._template[name].items()
            if "Condition" not in each or self._condition(each["Condition"])
        }

    def _condition(self, name: str) -> bool:
        return bool(self._resolve(self._template["Conditions"][name]))

    def _resolve(self, value: Any) -> Any:
        if isinstance(value, list):
            return [each for each in map(self._resolve, value) if each is not _NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((name, argument),) = value.items()
            if name == "Ref":
                return self._values.get(argument, f"<{argument}>")
            if name == "Condition" and isinstance(argument, str):
                return self._condition(argument)
            if name.startswith("Fn::"):
                return getattr(self, f"_fn_{name[4:].lower()}")(argument)
        resolved = {key: self._resolve(each) for key, each in value.items()}
        return {key: each for key, each in resolved.items() if each is not _NO_VALUE}

    def _fn_if(self, argument: Any) -> Any:
        condition, yes, no = argument
        return self._resolve(yes if self._condition(condition) else no)

    def _fn_equals(self, argument: Any) -> bool:
        one, other = self._resolve(argument)
        return bool(one == other)

    def _fn_not(self, argument: Any) -> bool:
        return not self._resolve(argument[0])

    def _fn_and(self, argument: Any) -> bool:
        return all(self._resolve(argument))

    def _fn_or(self, argument: Any) -> bool:
        return any(self._resolve(argument))

    def _fn_contains(self, argument: Any) -> bool:
        values, value = self._resolve(argument)
        return value in values

    def _fn_getatt(self, argument: str) -> str:
        return f"<{argument}>"

    def _fn_findinmap(self, argument: Any) -> Any:
        top, second, third = self._resolve(argument)
        return self._template["Mappings"][top][second][third]

    def _fn_join(self, argument: Any) -> str:
        between, values = self._resolve(argument)
        return str(between).join(values)

    def _fn_split(self, argument: Any) -> list[str]:
        between, value = self._resolve(argument)
        return str(value).split(between)

    def _fn_select(self, argument: Any) -> Any:
        number, values = self._resolve(argument)
        return values[int(number)]

    def _fn_sub(self, argument: Any) -> str:
        text, own = argument if isinstance(argument, list) else (argument, {})
        given = {**self._values, **self._resolve(own)}
        return re.sub(r"\$\{([\w:.]+)\}", lambda name: given.get(name[1], f"<{name[1]}>"), text)
