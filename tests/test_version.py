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


def test_a_checkout_does_not_know_its_commit() -> None:
    assert (version.commit(), version.version_text()) == (None, VERSION)


@pytest.mark.parametrize("written", ["", "$Format:%H$\n", f"{'0123456789' * 4}\n"])
def test_a_package_has_that_of_its_build(
    written: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "commit.txt").write_text(written, encoding="ascii")
    monkeypatch.setattr(version, "files", lambda _: tmp_path)
    shown = f"{VERSION} (commit 012345678901)" if written.startswith("0") else VERSION
    assert version.version_text() == shown
