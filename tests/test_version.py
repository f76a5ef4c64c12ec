"""The version that people see: with the commit in a built package, without it in a checkout."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nearbucket import version
from tests.build import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _asked_again() -> Iterator[None]:
    version.commit.cache_clear()
    yield
    version.commit.cache_clear()


@pytest.fixture(params=["", "compiled"])
def note(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a build says of itself."""
    note: str = request.param
    monkeypatch.setattr(version, "is_compiled", lambda: note != "")
    return note


def test_a_checkout_does_not_know_its_commit(note: str) -> None:
    assert version.commit() is None
    assert version.version_text() == (f"{VERSION} ({note})" if note else VERSION)


@pytest.mark.parametrize("written", ["", "$Format:%H$\n", f"{'0123456789' * 4}\n"])
def test_a_package_has_that_of_its_build(
    written: str, note: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "commit.txt").write_text(written, encoding="ascii")
    monkeypatch.setattr(version, "files", lambda _: tmp_path)
    known = "commit 012345678901" if written.startswith("0") else ""
    notes = ", ".join(filter(None, (known, note)))
    assert version.version_text() == (f"{VERSION} ({notes})" if notes else VERSION)
