"""How durations, sizes and rates are written: as in the file, and so that they are read again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from nearbucket.config.aws_endpoints import known_regions
from nearbucket.config.value_types import (
    Duration,
    DurationOrOff,
    DurationOrZero,
    KeyFile,
    Rate,
    Size,
    nearest,
)

if TYPE_CHECKING:
    from pathlib import Path

DURATION: TypeAdapter[Any] = TypeAdapter(Duration)
SIZE: TypeAdapter[Any] = TypeAdapter(Size)
RATE: TypeAdapter[Any] = TypeAdapter(Rate)
MOST_SECONDS, MOST_BYTES = 30 * 86400, 50 * 1000**4


@pytest.mark.parametrize(
    ("kind", "value", "written"),
    [
        (Duration, "1h", "1h"),
        (Duration, "1.5h", "90m"),
        (Duration, "1.1h", "66m"),
        (Duration, "0.009s", "9ms"),
        (Duration, "60s", "1m"),
        (Duration, 90, "90s"),
        (Duration, "250ms", "250ms"),
        (Duration, 0.0001, 0.0001),
        (DurationOrZero, 0, "0s"),
        (DurationOrOff, "off", "off"),
        (DurationOrOff, None, "off"),
        (DurationOrOff, "7d", "7d"),
        (Size, 0, 0),
        (Size, 65536, "64KiB"),
        (Size, "2GB", "2GB"),
        (Size, 1_000_001, 1_000_001),
        (Rate, "1KiB/s", "1KiB/s"),
        (Rate, 0, 0),
    ],
)
def test_a_value_is_shown_as_it_is_written_in_the_file(kind: Any, value: Any, written: Any) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    assert adapter.dump_python(adapter.validate_python(value), mode="json") == written


@given(
    st.one_of(
        st.tuples(st.just(DURATION), st.floats(0, MOST_SECONDS, exclude_min=True)),
        st.tuples(st.just(DURATION), st.integers(1, 1000 * MOST_SECONDS).map("{}ms".format)),
        st.tuples(st.just(SIZE), st.integers(0, MOST_BYTES)),
        st.tuples(st.just(RATE), st.integers(0, MOST_BYTES)),
    )
)
def test_what_is_shown_is_read_as_the_same_value(case: tuple[TypeAdapter[Any], Any]) -> None:
    adapter, value = case
    read = adapter.validate_python(value)
    assert adapter.validate_python(adapter.dump_python(read, mode="json")) == read


@pytest.mark.parametrize(
    ("typo", "meant"),
    [
        ("us-est-1", "us-east-1"),  # us-west-1 lacks as few letters, but another one begins it
        ("us-estt-1", "us-east-1"),
        ("us-est-2", "us-east-2"),
        ("us-wst-2", "us-west-2"),
        ("us-esat-1", "us-east-1"),
        ("sp-east-1", "sa-east-1"),
        ("eu-cenrtal-1", "eu-central-1"),
        ("US_EAST_1", "us-east-1"),
        ("eu-west", "eu-west-1"),
    ],
)
def test_of_equally_similar_words_the_one_that_begins_alike_is_meant(typo: str, meant: str) -> None:
    assert nearest(typo, sorted(known_regions())) == meant


def test_a_word_like_none_of_them_is_not_corrected() -> None:
    assert nearest("moon", sorted(known_regions())) is None


def test_a_path_that_looks_like_a_key_is_one_unless_its_file_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "keys" / "SecretKey2OfTheProductionSiteABCDEF"
    name, kind = str(file.relative_to(tmp_path)), TypeAdapter[Any](KeyFile)
    with pytest.raises(ValueError, match="is a secret"):
        kind.validate_python(name)
    file.parent.mkdir()
    file.write_text("key")
    assert kind.validate_python(name) == file.relative_to(tmp_path)
