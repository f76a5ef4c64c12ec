"""What the tests of real clients share: the way to the objects, redirected and streamed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.clients import open_way

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import LocalS3
    from tests.e2e.clients import Way


_SHORT = {"test_clients_browser.py", "test_clients_git.py", "test_clients_packages.py"}


def pytest_itemcollected(item: pytest.Item) -> None:
    """Leave to ``make test-long`` what these programs are streamed.

    ``test_clients.py`` has five others stream each time.
    """
    values = (
        item.callspec.params
        if isinstance(item, pytest.Function) and hasattr(item, "callspec")
        else {}
    )
    if item.path.name in _SHORT and values.get("the_way") is False:
        item.add_marker(pytest.mark.long)


@pytest.fixture(scope="session", autouse=True)
def _commands(commands: None) -> None:
    """Have commands of the product started as forks."""


@pytest.fixture(scope="module", params=[True, False], ids=["redirect", "stream"])
def the_way(
    request: pytest.FixtureRequest, s3: LocalS3, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Way]:
    with open_way(s3, tmp_path_factory.mktemp("way"), redirected=request.param) as way:
        yield way


@pytest.fixture
def way(the_way: Way) -> Way:
    the_way.forget()
    return the_way
