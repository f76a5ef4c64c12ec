"""The prepared form of a list is the same list."""

from __future__ import annotations

import gzip
import subprocess
import sys
from importlib.resources import files

import pytest

from nearbucket.regions import prepared_list
from nearbucket.regions.ip_ranges import read_ranges
from nearbucket.regions.prepared_list import prepare, read_prepared
from tests.ranges_lists import GOOD, RangesList, document, each_list

WITH_JUNK = document(GOOD, "junk", ipv6_prefixes=[])


@each_list
def test_a_whole_list_is_read_as_from_its_document(ranges_list: RangesList) -> None:
    listed = read_ranges(ranges_list.path.read_bytes())
    assert read_prepared(prepare(listed)) == listed


def test_a_list_of_one_family_is_read_with_what_was_left_out() -> None:
    listed = read_ranges(WITH_JUNK)
    assert listed.skipped_rows == 1
    assert read_prepared(prepare(listed)) == listed


def test_columns_of_different_lengths_are_no_list() -> None:
    prepared = prepare(read_ranges(document(GOOD, ipv6_prefixes=[])))
    assert prepared.endswith(b']],"6":[]}}')
    with pytest.raises(ValueError, match="shorter"):
        read_prepared(prepared.replace(b']],"6"', b'],[]],"6"'))


def test_the_one_of_the_package_is_that_of_its_document() -> None:
    folder = files("nearbucket.regions")
    body, prepared = (
        gzip.decompress((folder / f"ip-ranges.{kind}.gz").read_bytes())
        for kind in ("json", "prepared")
    )
    made = subprocess.run(
        [sys.executable, "-m", prepared_list.__name__], input=body, capture_output=True, check=True
    )
    assert made.stdout == prepared, "run: make ranges"
