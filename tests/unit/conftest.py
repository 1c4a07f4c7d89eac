"""Unit tests run in virtual time: no lease, back-off or pause is ever waited for."""

from collections.abc import Callable, Mapping

import pytest

from tests.builders import World
from tests.unit.virtual_time import VirtualTimeLoop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], VirtualTimeLoop]]:
    return {"virtual-time": VirtualTimeLoop}


@pytest.fixture
def world() -> World:
    return World()
