"""What tests of the storage side share: a session, and the bucket of samples opened with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nearbucket.origin.client import Origin
from nearbucket.s3.http_session import client_session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import ClientSession

    from tests.conftest import LocalS3


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with client_session() as one:
        yield one


@pytest.fixture
async def downloads(s3: LocalS3, session: ClientSession) -> Origin:
    return Origin(s3.entry(), session)
