"""The certificate of the public port."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nearbucket.config.settings import Tls
from nearbucket.errors import ConfigError
from nearbucket.supervisor.sockets.listener_tls import Certificate

if TYPE_CHECKING:
    from pathlib import Path


def test_files_that_are_no_certificate_are_named(tmp_path: Path) -> None:
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).write_text("junk", encoding="ascii")
    tls = Tls(certificate=tmp_path / "cert.pem", key=tmp_path / "key.pem")
    with pytest.raises(ConfigError, match=r"cert\.pem"):
        Certificate(tls)
