"""The admin port of a supervisor with fixed values, and a client of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nearbucket.supervisor.admin.admin_api import application
from tests.supervisor.admin.fixed_view import NAMED, Fake

if TYPE_CHECKING:
    from aiohttp.pytest_plugin import AiohttpClient
    from aiohttp.test_utils import TestClient


@pytest.fixture
def view() -> Fake:
    return Fake(NAMED)


@pytest.fixture
async def client(view: Fake, aiohttp_client: AiohttpClient) -> TestClient[Any, Any]:
    return await aiohttp_client(application(view))
