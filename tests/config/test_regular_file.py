"""Files that are read, and what is not waited for in their place."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from nearbucket.config.regular_file import expanded, read_regular_file

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_and_a_link_to_one_are_read_from_the_beginning(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"text")
    (tmp_path / "link").symlink_to("file")
    assert read_regular_file(tmp_path / "link") == b"text"
    assert read_regular_file(tmp_path / "file", 2) == b"te"


def test_a_fifo_a_socket_and_a_device_are_errors_that_name_them(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
    (tmp_path / "device").symlink_to(os.devnull)
    for name in ("fifo", "socket", "device"):
        with pytest.raises(OSError, match=name):
            read_regular_file(tmp_path / name)


@pytest.mark.usefixtures("no_home_folder")
def test_a_file_in_the_home_of_a_user_without_one_is_not_there(tmp_path: Path) -> None:
    assert expanded(tmp_path / "~") == tmp_path / "~"
    with pytest.raises(FileNotFoundError, match="~/file"):
        read_regular_file(expanded(type(tmp_path)("~/file")))
