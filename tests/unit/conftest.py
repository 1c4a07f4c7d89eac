"""Unit tests run in virtual time: no lease, back-off or pause is ever waited for."""

from collections.abc import Callable, Mapping

import pytest
from hypothesis import settings

from tests.builders import World
from tests.unit.virtual_time import VirtualTimeLoop

settings.register_profile("unit", deadline=None)  # how fast the machine is proves nothing
settings.load_profile("unit")


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], VirtualTimeLoop]]:
    return {"virtual-time": VirtualTimeLoop}


@pytest.fixture
def world() -> World:
    return World()
