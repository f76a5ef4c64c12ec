"""Messages about a broken configuration: file, line, key, the value found, and what to write."""

from __future__ import annotations

import re
from copy import deepcopy
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import yaml
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

from nearbucket.config.file import load
from nearbucket.config.patterns import pattern_fault
from nearbucket.config.yaml_text.yaml_document import read_yaml
from nearbucket.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

TABLE = Path(__file__).parents[2] / "data" / "broken-configurations.txt"
EXAMPLE = Path(__file__).parents[3] / "config" / "nearbucket.example.yaml"
SITE = """\
sites:
  - origin: {bucket: downloads, region: us-east-1}
    targets:
      us-west-2: {bucket: west}
"""
ORIGIN, *_ = SITE.split("{")
TARGETS, *_ = SITE.split("us-west-2")
FORMS = {
    "whole": "{}",
    "top": "{}\n" + SITE.replace("{", "{{").replace("}", "}}"),
    "site": SITE.replace("{", "{{").replace("}", "}}") + "    {}\n",
    "origin": ORIGIN + "{{{}}}\n",
    "target": TARGETS.replace("{", "{{").replace("}", "}}") + "{}\n",
}
CURE = re.compile(
    r"\bwrite |did you mean |it belongs in |the keys are |\bremove |put it in |\badd |\bgive |"
    r"\bset |\bindent |\bput |needs a space|takes a |leave out|save the file|needs endpoint"
)


class Case(NamedTuple):
    """A broken configuration, and the messages about it without the name of the file."""

    text: str
    messages: tuple[str, ...]


def cases() -> Iterator[Any]:
    """The rows of the table, each with its snippet as its id."""
    blocks = re.findall(
        r"^([a-z ]{8})(.*)\n((?:    .*\n)+)", TABLE.read_text("utf-8"), re.MULTILINE
    )
    for form, snippet, messages in (
        (form.strip(), *rest) for form, *rest in blocks if form.strip()
    ):
        text = snippet.encode("latin-1", "backslashreplace").decode("unicode_escape")
        lines = tuple(line.strip() for line in messages.splitlines())
        yield pytest.param(Case(FORMS[form].format(text), lines), id=f"{form} {snippet}"[:70])


def said_of(path: Path, environ: dict[str, str] | None = None) -> list[str]:
    """The messages about a configuration; none if it is valid."""
    try:
        load(path, environ or {})
    except ConfigError as error:
        return str(error).splitlines()
    return []


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "nearbucket.yaml"


@pytest.mark.parametrize("case", list(cases()))
def test_each_broken_configuration_is_named_by_file_line_key_value_and_cure(
    file: Path, case: Case
) -> None:
    file.write_text(case.text, encoding="utf-8")
    assert said_of(file) == [f"{file}:{message}" for message in case.messages]
    for message in case.messages:
        assert re.match(r"\d+: \S", message), message
        assert CURE.search(message), message


def test_the_table_has_more_than_eighty_cases() -> None:
    assert len(list(cases())) > 80


def paths(data: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The paths of all values in a document, sections and lists too."""
    if path:
        yield path
    if isinstance(data, dict | list):
        for key, value in data.items() if isinstance(data, dict) else enumerate(data):
            yield from paths(value, (*path, key))


@cache
def example_paths() -> list[tuple[str | int, ...]]:
    """The paths of all values in the example, where every setting is."""
    return list(paths(read_yaml(EXAMPLE.read_text("utf-8")).data))


DOCUMENT = yaml.safe_load(SITE)


def put(document: Any, path: tuple[Any, ...], value: Any) -> None:
    """Set the value at a path; what is missing on the way is made."""
    for part, following in pairwise(path):
        if isinstance(document, list):
            document.extend([{}] * (part + 1 - len(document)))
        elif part not in document:
            document[part] = [] if isinstance(following, int) else {}
        document = document[part]
    if isinstance(document, list):
        document.append(value)
    else:
        document[path[-1]] = value


@pytest.mark.parametrize("junk", [[], {}, None, "", "10%", -1, True, [[1]]], ids=repr)
def test_no_wrong_value_of_any_setting_gets_a_message_without_line_and_key(
    file: Path, junk: Any
) -> None:
    refused = 0
    for path in example_paths():
        document = deepcopy(DOCUMENT)
        put(document, path, junk)
        file.write_text(yaml.dump(document, Dumper=yaml.CSafeDumper), encoding="utf-8")
        for message in said_of(file):
            refused += 1
            assert re.match(rf"{re.escape(str(file))}:\d+: [a-z]", message), message
            assert not re.search(r"[Ii]nput should|should be|should match|Traceback", message)
            assert CURE.search(message), message
    assert refused > 20


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"NEARBUCKET_LISTEN__PORT": "high"},
         "listen.port: 'high' cannot be used here; write a whole number from 0 to 65535"),
        ({"NEARBUCKET_SITES__0__TARGETS__US_ESAT_1__BUCKET": "east"},
         "sites.0.targets.us-esat-1: 'us-esat-1' is not an AWS region; did you mean us-east-1?"),
        ({"NEARBUCKET_SITES__0__BYPASS__MODE": "redirect"},
         "sites.0.bypass.to: is required with mode: redirect; write a URL such as https://"),
        ({"NEARBUCKET_ADMIN__PORT": "8080"},
         "admin.port: '8080' is also listen.port; write another"),
        ({"NEARBUCKET_SITES__0__REDIRECT__PATHS": "[*.iso]"},
         '*.iso begins with *; put it in quotes: "*.iso"'),
        ({"NEARBUCKET_SITES__0__REDIRECT__PATHS": "*.iso"},
         "sites.0.redirect.paths: '*.iso' is not a list; put it in brackets: [\"*.iso\"]"),
        ({"NEARBUCKET_SITES__0__REDIRECT__PERCENTAGE": "10"},
         "sites.0.redirect.percentage: is not a key here; did you mean percent?"),
        ({"NEARBUCKET_PRICES__REGION_PER_GB__US_ESAT_1": "0.1"},
         "prices.region_per_gb.us-esat-1: 'us-esat-1' is not an AWS region; did you mean"),
        ({"NEARBUCKET_SITES": "[{origin: {bucket: downloads, region: us-esat-1}}]"},
         "sites.0.origin.region: 'us-esat-1' is not an AWS region; did you mean us-east-1?"),
    ],
)  # fmt: skip
def test_a_message_about_a_variable_names_the_variable_and_not_the_file(
    file: Path, environ: dict[str, str], message: str
) -> None:
    file.write_text(SITE, encoding="utf-8")
    (said,) = said_of(file, environ)
    (variable,) = environ
    assert said.startswith(f"{variable}: {message}")


@pytest.mark.parametrize(
    "text",
    [
        "client_address: {origin_secret: {values: [s3cr3t]}}\n" + SITE,
        "client_address: {origin_secret: {values: s3cr3t}}\n" + SITE,
        "client_address: {origin_secret: {values: {s3cr3t: 1}}}\n" + SITE,
        "client_address: {origin_secret: {values: [s3cr3t}}\n" + SITE,
        "client_address: {origin_secret: {values: [*s3cr3t]}}\n" + SITE,
        "client_address:\n  origin_secret:\n    values: @s3cr3t\n" + SITE,
        ORIGIN + "{bucket: a-b, region: us-east-1, credentials: {secret_key: s3cr3t}}\n",
        ORIGIN + "{bucket: a-b, region: us-east-1, endpoint: 'http://u:s3cr3t@minio:9000'}\n",
        "regions: {source: 'ftp://u:s3cr3t@example.com/r.json'}\n" + SITE,
        "client_address:\n  origin_secret:\n    values:\n    - *s3cr3t\n" + SITE,
        "client_address:\n  origin_secret:\n    values:\n    - !!int s3cr3t\n" + SITE,
        "client_address:\n  origin_secret:\n    header: x-verify\n    s3cr3t\n" + SITE,
        "client_address:\n  origin_secret:\n    values:\n   - s3cr3t\n" + SITE,
        "client_address:\n  origin_secret:s3cr3t\n" + SITE,
        ORIGIN + "{bucket: a-b, region: us-east-1, credentials: s3cr3t}\n",
        ORIGIN + "{bucket: a-b, region: us-east-1, credentials: "
        "{access_key_file: /id, secret_key_file: s3cr3t/bPxRfiCYEXAMPLEKEYwJalrXUtnFEMI/K}}\n",
        "listen:\n  tls:\n    certificate: /c.pem\n    key: |\n"
        "      -----BEGIN PRIVATE KEY-----\n      s3cr3t\n" + SITE,
        "listen:\n  tls:\n    certificate: /c.pem\n    key: |\n"
        "    -----BEGIN PRIVATE KEY-----\n    s3cr3t\n" + SITE,
        "listen:\n  tls: |\n    -----BEGIN PRIVATE KEY-----\n    s3cr3t\n" + SITE,
        "client_address:\n  origin_secret:\n    values:s3cr3t\n    header: x-verify\n" + SITE,
        "client_address: {origin_secret: {header: x-verify, values:s3cr3t}}\n" + SITE,
        "client_address: {origin_secret: {values: [\n  *s3cr3t\n]}}\n" + SITE,
        "client_address:\n  origin_secret:\n    values:\n- s3cr3t\n" + SITE,
        "client_address:\n  origin_secret:\n    values: [!s3cr3t x]\n" + SITE,
        "client_address:\n  origin_secret:\n    values: [!s3cr3t!x y]\n" + SITE,
        "client_address:\n  origin_secret:\n    values:\n    - 9s3cr3t: 1\n      9s3cr3t: 2\n"
        + SITE,
        ORIGIN + "{bucket: a-b, region: us-east-1, credentials: [AKID, s3cr3t]}\n",
        ORIGIN + "{bucket: a-b, region: us-east-1, credentials:s3cr3t}\n",
        ORIGIN + "{bucket: a-b, region: us-east-1, credentials: *s3cr3t}\n",
        ORIGIN + "{bucket: a-b, region: us-east-1, credentials: "
        "{access_key_file: /id, secret_key_file: s3cr3t//bPxRfiCYEXAMPLEKEYwJalrXUtnFEMIK}}\n",
        ORIGIN + "{bucket: a-b, region: us-east-1, credentials: "
        "{access_key_file: /id, secret_key_file: /s3cr3t/bPxRfiCYEXAMPLE9EYwJalrXUtnFEMIK}}\n",
        ORIGIN + "{bucket: a-b, region: us-east-1, credentials: "
        "{access_key_file: s3cr3t/bPxRfiCYEXAMPLEKEYwJalrXUtnFEMI/K, secret_key_file: /key}}\n",
        ORIGIN + "{bucket: a-b, region: us-east-1, endpoint: http://u:s3cr3t@minio: 9000}\n",
        ORIGIN + "{bucket: a-b, region: us-east-1, endpoint:http://u:s3cr3t@minio}\n",
    ],
)
def test_no_message_shows_a_secret(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")
    said = said_of(file)
    assert said
    assert "s3cr3t" not in "\n".join(said)


EXAMPLE_TEXT = re.sub(r"^ *#.*\n|^\n", "", EXAMPLE.read_text("utf-8"), flags=re.MULTILINE)
EDITS = st.lists(
    st.tuples(st.integers(0), st.integers(0, 12), st.text("*&!%@{}[]:,-?#|>'\"\\ \t\n\x00é0a<~=`")),
    min_size=1,
    max_size=4,
)


@given(EDITS)
@profile(database=None)
def test_a_file_with_any_mistakes_is_valid_or_named_with_its_lines(
    tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[int, int, str]]
) -> None:
    text = EXAMPLE_TEXT
    for place, removed, added in edits:
        position = place % len(text)
        text = text[:position] + added + text[position + removed :]
    file = tmp_path_factory.getbasetemp() / "edited.yaml"
    file.write_text(text, encoding="utf-8")
    for message in said_of(file, {"ORIGIN_VERIFY": "s3cr3t"}):
        assert re.match(rf"{re.escape(str(file))}:\d+: \S", message), message
        assert "nput should" not in message
        assert "s3cr3t" not in message


def test_a_file_that_is_not_utf_8_is_named_with_its_line(file: Path) -> None:
    file.write_bytes(b"listen: {port: 80}\n# \xe9\n")
    assert said_of(file) == [f"{file}:2: is not UTF-8; save the file as UTF-8"]


@pytest.mark.parametrize("variable", ["ORIGIN_SECRET", "ORIGIN_SECRET__VALUES"])
@pytest.mark.parametrize("value", ["hunter2", "[hunter2", "{hunter2"])
def test_no_secret_is_shown_wherever_it_stands(file: Path, variable: str, value: str) -> None:
    file.write_text(SITE, encoding="utf-8")
    said = said_of(file, {f"NEARBUCKET_CLIENT_ADDRESS__{variable}": value})
    assert said
    assert "hunter2" not in "".join(said)


@pytest.mark.parametrize("value", ["hunter2", "[hunter2]"])
def test_no_secret_in_the_wrong_place_of_a_file_is_shown(file: Path, value: str) -> None:
    file.write_text(f"client_address: {{origin_secret: {value}}}\n{SITE}", encoding="utf-8")
    (said,) = said_of(file)
    assert ":1: client_address.origin_secret: " in said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    "pattern", ["a[{]b,c[}]", "a[$]", "[(]a|b[)]", "[]x]", "[!]]*", "v[0-9].[0-9]", "[[]x"]
)
def test_special_characters_in_brackets_are_themselves(pattern: str) -> None:
    assert pattern_fault(pattern) is None
