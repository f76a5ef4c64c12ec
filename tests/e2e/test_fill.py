"""The script that fills the buckets of a trial, against a real S3 server."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import LocalS3

FILL = Path(__file__).parents[2] / "deploy/compose/fill.py"


async def test_a_server_that_does_not_accept_the_keys_is_named_and_given_up(
    s3: LocalS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = runpy.run_path(str(FILL))["main"]
    main.__globals__["REFUSED_PATIENCE"] = 0.0
    for name, value in {
        "FILL_ENDPOINT": s3.server.endpoint,
        "FILL_BUCKETS": "downloads",
        "AWS_ACCESS_KEY_ID": "of-another-server",
        "AWS_SECRET_ACCESS_KEY": "of-another-server",
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit, match=r"(?s)InvalidAccessKeyId.*Does another server") as ended:
        await main()
    assert str(ended.value).startswith(s3.server.endpoint)
