"""Counts have nouns of the right number, and one function makes them."""

from __future__ import annotations

import re

from nearbucket.plural import plural
from tests.test_imports import FILES

CHOSEN = re.compile(r"""(["'])(?:1 )?(\w*)\1 if .* == 1 else f?(["']).*?\2e?s\3""")
"""A noun, or its last letter, that is chosen by a count."""


def test_nouns_have_a_plural() -> None:
    assert plural(0, "line") == "0 lines"
    assert plural(1, "file") == "1 file"
    assert plural(2000, "address") == "2,000 addresses"


def test_no_other_module_chooses_between_a_noun_and_its_plural() -> None:
    assert CHOSEN.search('noun = "line" if reader.unreadable == 1 else "lines"')
    assert CHOSEN.search("""f"{number:,} {word}{'' if number == 1 else 's'}\"""")
    assert CHOSEN.search('"1 page" if pages == 1 else f"{pages} pages"')
    found = {name for name, path in FILES.items() if CHOSEN.search(path.read_text("utf-8"))}
    assert found == set()
