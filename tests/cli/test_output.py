"""Files that commands write are whole, and stay those of their owner."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from nearbucket.cli.output import write_whole


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that was there before."""
    path = tmp_path / "report.html"
    path.write_text("before")
    return path


@pytest.mark.parametrize(
    ("owner", "name", "number"),
    [
        (Path, "touch", errno.EACCES),  # the folder takes no other file
        (Path, "touch", errno.EROFS),
        (os, "chown", errno.EPERM),  # it is somebody else's, who lets us write
        (os, "chown", errno.EINVAL),  # who has no number in this container
        (Path, "replace", errno.EBUSY),  # it is mounted into a container
    ],
)
def test_a_file_that_cannot_be_replaced_is_written_to(
    file: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, number: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    inode = file.stat().st_ino
    monkeypatch.setattr(owner, name, refuse)
    write_whole(file, "after")
    assert (file.read_text(), file.stat().st_ino) == ("after", inode)
    assert list(file.parent.iterdir()) == [file]


def test_the_new_file_belongs_to_the_owner_of_the_one_before(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []
    monkeypatch.setattr(os, "chown", lambda _path, *ids: given.append(ids))
    write_whole(file, "after")
    assert given == [(os.getuid(), os.getgid())]
    write_whole(file.with_name("new.html"), "after")
    assert len(given) == 1


def test_a_name_may_be_as_long_as_a_file_s_can_be(tmp_path: Path) -> None:
    write_whole(tmp_path / ("n" * 255), "text")
    assert [len(each.name) for each in tmp_path.iterdir()] == [255]


def test_whatever_ends_the_writing_leaves_no_other_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_text", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_whole(file, "after")
    assert list(file.parent.iterdir()) == [file]
    assert file.read_text() == "before"
