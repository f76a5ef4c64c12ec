"""The prepared list of a document: the same list, and of no other document."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nearbucket.config.settings import AWS_LIST
from nearbucket.regions import prepared_list
from nearbucket.regions.built_in_list import built_in_list
from nearbucket.regions.ip_ranges import read_ranges
from nearbucket.regions.ip_ranges_source import RangesCache, read_ranges_file
from nearbucket.regions.prepared_list import prepare, read_list
from tests.ranges_lists import GOOD, RangesList, document, each_list

if TYPE_CHECKING:
    from pathlib import Path

ONE = document(GOOD, syncToken="1")
TWO = document(GOOD, syncToken="2")
WITH_JUNK = document(GOOD, "junk", ipv6_prefixes=[])


@pytest.fixture
def not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No document is read."""
    monkeypatch.delattr(prepared_list, "read_ranges")


@each_list
@pytest.mark.usefixtures("not_parsed")
def test_a_whole_list_is_read_as_from_its_document(ranges_list: RangesList) -> None:
    body = ranges_list.path.read_bytes()
    listed = read_ranges(body)
    assert read_list(body, prepare(listed, body)) == listed


@pytest.mark.usefixtures("not_parsed")
def test_a_list_of_one_family_is_read_with_what_was_left_out() -> None:
    listed = read_ranges(WITH_JUNK)
    assert listed.skipped_rows == 1
    assert read_list(WITH_JUNK, prepare(listed, WITH_JUNK)) == listed


def test_another_document_is_read_itself_and_so_is_that_of_a_damaged_file() -> None:
    prepared = prepare(read_ranges(ONE), ONE)
    flipped = prepared.replace(b'"token":1', b'"token":7')
    for document_, kept in ((TWO, prepared), (ONE, flipped), (ONE, prepared[:-1]), (ONE, b"")):
        assert read_list(document_, kept) == read_ranges(document_)


def test_the_copy_on_disk_has_a_prepared_list_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = RangesCache(tmp_path / "list.json", "http://a/")
    cache.save(TWO, None, read_ranges(TWO))
    monkeypatch.delattr(prepared_list, "read_ranges")
    assert cache.load().ranges.token == read_ranges_file(tmp_path / "list.json").token == 2


def test_a_copy_that_was_replaced_without_it_is_read_itself(tmp_path: Path) -> None:
    cache = RangesCache(tmp_path / "list.json", "http://a/")
    cache.save(ONE, None, read_ranges(ONE))
    (tmp_path / "list.json").write_bytes(TWO)
    assert cache.load().ranges.token == 2
    (tmp_path / "list.json.prepared").unlink()
    assert cache.load().ranges.token == 2


@pytest.mark.usefixtures("not_parsed")
def test_the_built_in_list_is_prepared() -> None:
    assert built_in_list(AWS_LIST) is not None
