"""What every clock promises."""

from datetime import timedelta

import pytest

from adapters.clock import SystemClock
from application.ports.clock import Clock
from tests.fakes import SettableClock


@pytest.fixture(params=[SystemClock, SettableClock])
def clock(request: pytest.FixtureRequest) -> Clock:
    clock: Clock = request.param()
    return clock


def test_it_says_what_time_it_is_in_utc_and_never_goes_back(clock: Clock) -> None:
    first, second = clock.now(), clock.now()

    assert first <= second
    assert first.tzname() == second.tzname() == "UTC"
    assert first.utcoffset() == timedelta()
