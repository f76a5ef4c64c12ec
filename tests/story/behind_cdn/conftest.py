"""The product behind a CDN, started once for most tests."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.story.behind_cdn.stand import SECRET, make_buckets, running_product

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.conftest import LocalS3
    from tests.story.behind_cdn.stand import Product


@pytest.fixture(scope="session")
def buckets(s3: LocalS3) -> LocalS3:
    """The S3 server with the origin bucket and one in each of two regions."""
    asyncio.run(make_buckets(s3))
    return s3


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory, buckets: LocalS3) -> Iterator[Product]:
    """The running product."""
    yield from running_product(tmp_path_factory.mktemp("behind-cdn"), buckets)


@pytest.fixture
def own_product(tmp_path: Path, buckets: LocalS3) -> Iterator[Product]:
    """A running product for a test that stops it."""
    yield from running_product(tmp_path, buckets)


@pytest.fixture
async def operated(product: Product) -> AsyncIterator[Product]:
    """The product, for a test that changes its configuration."""
    yield product
    await product.change((SECRET,))
